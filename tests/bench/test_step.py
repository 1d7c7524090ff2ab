"""Benchmark of the training step, at a small size and without targets for speed."""

import contextlib
import dataclasses
import io
import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tf_keras

from bench.step import __main__ as main
from bench.step import work

SIZES = {
    "hidden": 16,
    "heads": 2,
    "layers": 1,
    "positions": 16,
    "batch": 2,
    "predictions": 3,
    "vocab": 50,
}
SETTINGS = (
    main.Setting(sizes=SIZES, contestants=("lambert-jit", "huggingface")),
    main.Setting(sizes={**SIZES, "hidden": 32}, contestants=("lambert", "tf-models")),
)


@pytest.fixture(autouse=True)
def small_settings(monkeypatch):
    monkeypatch.setattr(main, "SETTINGS", SETTINGS)
    monkeypatch.setattr(main, "MATRIX", {"matrix": 64})
    monkeypatch.setattr(main, "PRECISIONS", ("mixed_bfloat16",))


@pytest.fixture
def in_process(monkeypatch):
    """Run the programs that time a training step in this process, which has loaded TensorFlow.

    The matrix product still has a process of its own.
    """
    start_process = subprocess.run

    def run(command, **options):
        if "-m" not in command or main.CEILING in command:
            return start_process(command, **options)
        output = io.StringIO()
        with monkeypatch.context() as patch, contextlib.redirect_stdout(output):
            patch.setattr(sys, "argv", command[command.index("-m") + 1 :])
            runpy.run_module(sys.argv[0], run_name="__main__")
        return subprocess.CompletedProcess(command, 0, stdout=output.getvalue(), stderr="")

    monkeypatch.setattr(main.subprocess, "run", run)
    yield
    tf_keras.mixed_precision.set_global_policy("float32")


def measured(tmp_path, *flags):
    results = tmp_path / "step.json"
    main.main(["--rounds", "1", "--repeats", "1", "--results", str(results), *flags])
    return json.loads(results.read_text())


@pytest.mark.slow
def test_rows_and_table(in_process, tmp_path, capsys):
    ceiling, *rows = measured(tmp_path, "--without", "huggingface")
    assert [(row["implementation"], "jit" in row["what"]) for row in rows] == [
        ("lambert", True),
        ("lambert", False),
        ("tf-models", False),
    ]
    for row in (ceiling, *rows):
        assert {"stage", "setting", "what", "command", "versions", "machine", "date"} <= row.keys()
    assert ceiling["gflop_per_second"] == pytest.approx(2 * 64**3 / ceiling["seconds"] / 1e9)
    for row in rows:
        assert row["tokens_per_second"] == 2 * 16 / row["seconds"] > 0
        reached = row["model_gflop_per_step"] / row["seconds"]
        share = row["share_of_matmul_ceiling"]
        assert share == pytest.approx(reached / ceiling["gflop_per_second"])
    assert rows[-1]["versions"].keys() == {"python", "tensorflow", "tf_keras", "tf-models-official"}
    assert "H=32 mixed_bfloat16: " in capsys.readouterr().out


@pytest.mark.parity
@pytest.mark.skipif(not main.PEER_PYTHON.exists(), reason="needs .venv-parity: make test-parity")
def test_huggingface_row(tmp_path):
    flags = ["--without", "lambert-jit", "--without", "lambert", "--without", "tf-models"]
    _, row = measured(tmp_path, *flags)
    assert row["implementation"] == "huggingface"
    assert row["tokens_per_second"] == 2 * 16 / row["seconds"] > 0
    assert row["versions"].keys() == {"python", "torch", "transformers"}


def test_missing_environment_is_an_error(monkeypatch):
    peer = dataclasses.replace(main.CONTESTANTS["huggingface"], python=Path("no/python"))
    monkeypatch.setitem(main.CONTESTANTS, "huggingface", peer)
    with pytest.raises(SystemExit, match="no/python is missing; `make bench-step` makes it"):
        main.measure("huggingface", "float32", SIZES, repeats=1)


def test_targets_count_our_step_without_jit_compile():
    rates = [("lambert", 124.0), ("lambert", 999.0), ("huggingface", 30.0)]
    rows = [
        {
            "setting": str(SETTINGS[0]),
            "precision": "mixed_bfloat16",
            "implementation": name,
            "tokens_per_second": rate,
        }
        for name, rate in rates
    ]
    assert (
        main.verdicts(rows, SETTINGS)
        == "H=16 mixed_bfloat16: 4.13 x huggingface (target 4: reached)"
    )
    rows[0]["tokens_per_second"] = 119.0
    assert "3.97 x huggingface (target 4: MISSED)" in main.verdicts(rows, SETTINGS)


def test_target_and_stretch_target():
    rows = [
        {
            "setting": str(SETTINGS[1]),
            "precision": "mixed_bfloat16",
            "implementation": name,
            "tokens_per_second": rate,
        }
        for name, rate in [("lambert", 130.0), ("tf-models", 100.0)]
    ]
    assert main.verdicts(rows, SETTINGS) == (
        "H=32 mixed_bfloat16: 1.30 x tf-models (target 1.25: reached, stretch 1.5: MISSED)"
    )


def test_flops_of_a_model_by_hand():
    sizes = {
        "hidden": 2,
        "heads": 1,
        "layers": 2,
        "positions": 4,
        "predictions": 1,
        "batch": 3,
        "vocab": 10,
    }
    # Multiplications of a sequence in the forward pass: queries, keys, values and output; attention
    # logits and weighted sums; feed-forward (8 wide).
    whole = 4 * (4 * 2 * 2) + 2 * (4 * 4 * 2) + 2 * (4 * 2 * 8)
    last = 2 * (4 * 2 * 2) + 2 * (1 * 2 * 2) + 2 * (1 * 4 * 2) + 2 * (1 * 2 * 8)
    head = 2 * 2 + 2 * 10
    assert work.model_flops(sizes) == 3 * 3 * 2 * (whole + last + head)


def test_batch_labels_distinct_positions():
    batch = work.batch(SIZES)
    for row in batch["masked_lm_positions"]:
        assert len(np.unique(row)) == SIZES["predictions"]
    assert batch["input_mask"].all()


def test_one_setting_replaces_its_own_rows_only():
    def row(setting, seconds, implementation="lambert"):
        return {"implementation": implementation, "setting": setting, "seconds": seconds}

    earlier = [row("4096 rows", 1, main.CEILING), row("large", 2), row("small", 3)]
    measured = [row("4096 rows", 4, main.CEILING), row("small", 5)]
    assert main._with_others(measured, earlier) == [*earlier[:2], row("small", 5)]
