"""Benchmark of a run's overhead, on little text and without targets for speed."""

import json

import pytest

from bench.run import __main__ as main
from bench.run.__main__ import INPUT, RESUME, SAVE, SCALING, START
from bench.run.timed import STEP_LINE

SIZES = {
    "rounds": 1,
    "input_steps": 100,
    "save_batches": [4],
    "save_intervals": [4],
    "saves": 4,
    "worker_batch": 2,
    "worker_steps": 20,
}


@pytest.mark.slow
def test_rows_and_lines(small_build, tmp_path, capsys):
    results = tmp_path / "run.json"
    flags = ["--data_dir", str(small_build), "--results", str(results), "--work", str(tmp_path)]
    flags += ["--settings", json.dumps(SIZES), "--gin_param", "EncoderConfig.hidden_size = 16"]
    main.main(flags)
    rows = json.loads(results.read_text())
    assert [row["what"] for row in rows] == [START, RESUME, INPUT, SAVE, SCALING]
    for row in rows:
        assert {
            "implementation",
            "stage",
            "setting",
            "command",
            "versions",
            "machine",
        } <= row.keys()
        assert row["setting"] == "gin/lambert_tiny.gin EncoderConfig.hidden_size = 16"
    start, resume, wait, save, scaling = rows
    assert start["seconds"] > 1
    assert resume["seconds"] > 1
    assert 0 < wait["share_of_step_time"] < 1
    assert save["step_seconds"] > 0
    assert scaling["speedup"] * scaling["tokens_per_second_of_one"] == pytest.approx(
        scaling["tokens_per_second"]
    )
    assert not (tmp_path / "runs").exists()
    output = capsys.readouterr().out
    assert all(main.describe(row) in output for row in rows)


@pytest.mark.parametrize(
    ("line", "step"),
    [
        ("2026-11-28T01:56:14Z INFO step 1,018/1,500  loss 8.2", "1,018"),
        ("2026-11-28T01:56:14Z INFO worker 0: step 18/36  loss 8.2", "18"),
        ("[worker 0] 2026-11-28T01:56:14Z INFO worker 0: step 18/36  loss 8.2", "18"),
        ("[worker 1] 2026-11-28T01:56:14Z INFO worker 1: step 18/36  loss 8.2", None),
        ("2026-11-28T01:56:14Z INFO worker 1: step 18/36  loss 8.2", None),
        ("2026-11-28T01:56:14Z INFO step 18, the best so far  held-out: loss 6.6", None),
    ],
)
def test_lines_of_steps(line, step):
    match = STEP_LINE.match(line)
    assert (match and match[1]) == step


def test_seconds_added_by_a_save():
    """Steps take 1 s; after a save the next takes 1.5 s and the one after that 1.25 s."""
    now, step_seconds = 10.0, {}
    for step in range(1, 25):
        step_seconds[step] = now
        saved = step >= 4 and {0: 0.5, 1: 0.25}.get(step % 4, 0.0)
        now += 1 + saved + (7 if step in (4, 13) else 0)  # the first save, and a disturbance
    assert main.extra_seconds(step_seconds, 4) == 0.75


@pytest.mark.parametrize(
    ("row", "line"),
    [
        (
            {"what": START, "seconds": 12.34},
            "start to first step: seconds 12.34 (target at most 40: reached)",
        ),
        (
            {"what": INPUT, "share_of_step_time": 0.0213},
            "waiting for input: share of step time 0.0213 (target at most 0.02: MISSED)",
        ),
        (
            {"what": SAVE, "batch": 4, "share_of_a_step": 0.5},
            "an asynchronous save, 4 sequences: share of a step 0.5",
        ),
        (
            {"what": SAVE, "batch": 64, "share_of_a_step": 0.04},
            "an asynchronous save, 64 sequences: share of a step 0.04 (target at most 0.05: reached)",
        ),
        (
            {"what": SCALING, "batch": 16, "speedup": 1.75},
            "two workers beside one, 16 sequences: speedup 1.75 (target at least 1.7: reached)",
        ),
        (
            {"what": SCALING, "batch": 16, "speedup": 1.65},
            "two workers beside one, 16 sequences: speedup 1.65 (target at least 1.7: MISSED)",
        ),
    ],
)
def test_line_shows_whether_the_target_is_reached(row, line):
    assert main.describe(row) == line


def test_failed_run_shows_its_last_lines(tmp_path):
    with pytest.raises(SystemExit, match=r"bench: the run failed:\n(?s:.*)hidden_siz"):
        main.timed_run(["--gin_param", "EncoderConfig.hidden_siz = 1"], tmp_path, train_steps=1)
