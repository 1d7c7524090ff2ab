"""Benchmark of learning, at a small size and without targets for accuracy."""

import json
import math

import pytest
import tensorflow as tf

from bench.learn import __main__ as main
from bench.learn import continued, fresh
from bench.learn.compare import (
    LAMBERT,
    NO_QUERY_GRADIENTS,
    TF_MODELS,
    comparison,
    paired_difference,
    reached_at,
)
from bench.learn.shared import Places
from bench.learn.worker import LambertWithoutQueryGradients, curve
from data.manifest import Manifest
from pretrain.config import RunConfig
from pretrain.experiment import build_trainer
from pretrain.gin_files import load_run_config
from pretrain.recipe import resolve

SMALL = [
    "TrainConfig.train_steps = 3",
    "TrainConfig.global_batch_size = 4",
    "EncoderConfig.hidden_size = 8",
    "EncoderConfig.num_hidden_layers = 1",
    "EncoderConfig.num_attention_heads = 2",
    "EncoderConfig.intermediate_size = 16",
    "EncoderConfig.max_position_embeddings = 64",
    "EncoderConfig.hidden_dropout_prob = 0.0",
    "EncoderConfig.attention_probs_dropout_prob = 0.0",
    "OptimizerConfig.peak_learning_rate = 0.005",
    "OptimizerConfig.warmup_steps = 1",
]


def _config():
    return load_run_config([], SMALL, kind=RunConfig)


def test_both_trainers_start_from_the_same_weights_and_learn_alike(small_build):
    ours, theirs = (
        list(curve(name, str(small_build), _config(), evaluate_every=2))
        for name in (LAMBERT, TF_MODELS)
    )
    assert [point["step"] for point in ours] == [point["step"] for point in theirs] == [2, 3]
    for point in (*ours, *theirs):
        # Three small updates: near the logarithm of 1,500 pieces, 7.31.
        assert 7.0 < point["loss"] < 7.45
        assert point["predictions"] == ours[0]["predictions"]
    assert ours[-1]["loss"] == pytest.approx(theirs[-1]["loss"], abs=0.01)


def test_control_trains_everything_but_queries(small_build):
    manifest = Manifest.load(small_build)
    config = resolve(_config(), manifest)
    trainer = build_trainer(config, tf.distribute.get_strategy())
    block = trainer.model.encoder.blocks[0]
    before = {
        name: getattr(block, name).kernel.numpy() for name in ("query", "key", "value", "output")
    }
    learner = LambertWithoutQueryGradients(config, str(small_build), manifest, trainer)
    learner.train(3)
    # LAMB's decay shrinks query weights; their direction stays.
    change = block.query.kernel.numpy() / before["query"]
    assert change == pytest.approx(change.mean(), rel=1e-3)
    for name in ("key", "value", "output"):
        change = getattr(block, name).kernel.numpy() / before[name]
        assert change.std() > 1e-3


def test_paired_difference_of_literal_values():
    # Differences 1, 2, 3: mean 2, standard error 1 / sqrt(3), t quantile 4.3027 of 2 degrees of freedom.
    interval = paired_difference([3.0, 5.0, 9.0], [2.0, 3.0, 6.0])
    assert interval.mean == pytest.approx(2.0)
    assert interval.low == pytest.approx(2 - 4.302653 / math.sqrt(3), abs=1e-5)
    assert interval.high == pytest.approx(2 + 4.302653 / math.sqrt(3), abs=1e-5)


def test_departure_is_interpolated_between_evaluations():
    points = [(100, 0.05), (200, 0.07), (300, 0.13)]
    run = [{"step": step, "cpu_seconds": step / 10, "hidden_accuracy": a} for step, a in points]
    assert reached_at(run, 0.10, "step") == pytest.approx(250)
    assert reached_at(run, 0.10, "cpu_seconds") == pytest.approx(25)
    assert reached_at(run, 0.2, "step") == math.inf


def _row(implementation, accuracy):
    curve = [{"step": 100, "cpu_seconds": 10.0, "hidden_accuracy": accuracy}]
    return {
        "implementation": implementation,
        "held_out_hidden_accuracy": accuracy,
        "held_out_loss": 5.0,
        "most_frequent_piece": 0.04,
        "curve": curve,
    }


@pytest.mark.parametrize(
    ("ours", "control", "verdicts"),
    [
        ((0.19, 0.21, 0.20), (0.07, 0.08, 0.07), ["reached", "reached"]),
        ((0.18, 0.185, 0.18), (0.19, 0.21, 0.20), ["MISSED", "MISSED"]),
    ],
)
def test_verdicts_follow_from_paired_differences(ours, control, verdicts):
    theirs = (0.20, 0.205, 0.20)
    rows = [_row(LAMBERT, accuracy) for accuracy in ours]
    rows += [_row(TF_MODELS, accuracy) for accuracy in theirs]
    rows += [_row(NO_QUERY_GRADIENTS, accuracy) for accuracy in control]
    text = comparison(rows)
    assert [
        line.split()[-1] for line in text.splitlines() if line.endswith(("ed", "ED"))
    ] == verdicts
    assert ("never" in text) == (min(control) < 0.08)


def test_missing_weights_of_the_second_part_are_an_error(tmp_path):
    with pytest.raises(
        SystemExit, match=r"there are no weights in .*/none; make .venv-parity/.installed"
    ):
        main.main(["--parts", "continued", "--weights", str(tmp_path / "none")])


@pytest.mark.slow
def test_rows_tables_and_picture(tmp_path, monkeypatch, small_encoder, capsys):
    monkeypatch.setattr(fresh, "EVALUATE_EVERY", 2)
    results, picture = tmp_path / "learn.json", tmp_path / "learn.svg"
    flags = ["--seeds", "2", "--steps", "3", "--weights", small_encoder, "--work", tmp_path / "w"]
    main.main([*map(str, flags), "--results", str(results), "--picture", str(picture)])
    rows = json.loads(results.read_text())
    by_part = [row["part"] for row in rows]
    assert by_part == ["fresh"] * 6 + ["continued"] * 2 + ["few_labels"] * 3
    for row in rows:
        assert {"stage", "setting", "what", "command", "versions", "machine", "date"} <= row.keys()
    assert all(set(row["by_source"]) == {"books", "wiki"} for row in rows[6:8])
    assert all(len(row["test_accuracy"]) == 2 for row in rows[8:])
    drawn = picture.read_text()
    assert fresh.TITLE in drawn and continued.TITLE in drawn
    printed = capsys.readouterr().out
    assert "gin/demo.gin with 3 updates" in printed
    assert "target for every seed 30%: MISSED" in printed
    assert "the demo's encoder" in printed


def test_build_of_the_first_part_is_that_of_the_demo(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(
        "bench.learn.shared.make_build", lambda *args, **kwargs: calls.append((args, kwargs))
    )
    Places(work=tmp_path, weights=tmp_path).demo_build()
    assert calls == [((tmp_path / "demo", "--gin_file", "gin/data_demo.gin"), {"pieces": 2000})]
