"""Runs on a GPU (bench/gpu/training.py): the parts that need none, and the documented figures."""

import json
import re

import numpy as np
import pytest
import tensorflow as tf

from bench.gpu import training
from pretrain.checkpoints.checkpoint import Checkpoints
from tests.support.markdown import table_rows
from tests.support.paths import ROOT

ROWS = json.loads((ROOT / "bench/results/gpu_runs.json").read_text())
SPEEDS = [row for row in ROWS if "sequences_per_second" in row]


def saved(path, weights) -> str:
    """Save a checkpoint at step 3, and return the hash of its values."""
    items = {"weights": tf.Variable(weights), "step": tf.Variable(3, dtype=tf.int64)}
    run = {"config_sha256": "c", "data_sha256": "d"}
    checkpoints = Checkpoints(path, items=items, run=run, keep=1)
    checkpoints.save(3)
    checkpoints.wait()
    return training._weights_sha256(path)


def test_the_hash_of_a_run_depends_on_every_bit(tmp_path):
    weights = np.linspace(-1, 1, 7, dtype=np.float32)
    other = weights.copy()
    other[3] = np.nextafter(other[3], 2)
    assert saved(tmp_path / "a", weights) == saved(tmp_path / "b", weights)
    assert saved(tmp_path / "a2", weights) != saved(tmp_path / "c", other)


def test_without_a_gpu_it_says_so(tmp_path):
    with pytest.raises(SystemExit, match="TensorFlow finds no GPU here"):
        training.main(["--work", str(tmp_path), "--results", str(tmp_path / "rows.json")])
    assert not list(tmp_path.iterdir())


def test_rows_of_other_devices_and_settings_remain(tmp_path):
    results = tmp_path / "rows.json"
    row = {"what": "w", "device": "H100", "deterministic": False, "figure": 1}
    for change in ({}, {"device": "H200"}, {"deterministic": True}, {"figure": 2}):
        training._add({**row, **change}, results)
    found = json.loads(results.read_text())
    assert [(r["device"], r["deterministic"], r["figure"]) for r in found] == [
        ("H200", False, 1),
        ("H100", True, 1),
        ("H100", False, 2),
    ]


def test_a_row_is_described_in_one_line():
    (row,) = (row for row in SPEEDS if row["name"] == "kernel-B32")
    assert training.describe(row) == (
        "kernel-B32: 344 sequences/s, 93.0 ms an update, 0.2% waiting for input, first line after 152 s"
    )


def test_the_documented_figures_are_those_of_the_rows():
    text = (ROOT / "docs/performance.md").read_text().partition("## Runs on a GPU")[2]
    shown = re.findall(
        r"^\| \d+ seq.*\| \**(\d+)\** \| ([\d.]+) \| ([\d.]+)% \|$", text, re.MULTILINE
    )
    assert sorted(shown) == sorted(
        (
            f"{row['sequences_per_second']:.0f}",
            f"{row['milliseconds_an_update']:.1f}",
            f"{100 * row['input_wait_fraction']:.1f}",
        )
        for row in SPEEDS
    )
    (cells,) = (r for r in table_rows(ROOT / "README.md") if "TensorFlow 2.20, input" in r[0])
    assert cells[1] == f"{max(row['sequences_per_second'] for row in SPEEDS):.0f}"
