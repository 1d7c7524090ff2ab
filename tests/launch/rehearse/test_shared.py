"""Programs, flags and rows of metrics of rehearsals."""

import json

import pytest

from data.errors import UserError
from launch.rehearse import shared


def test_rows_without_metrics_of_the_clock(tmp_path):
    row = {"step": 2, "loss": 1.5, "tokens_per_second": 7.0, "input_wait_fraction": 0.1}
    (tmp_path / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    assert shared.metric_rows(tmp_path) == [{"step": 2, "loss": 1.5}]


def test_programs_that_fail_are_named(capfd):
    with pytest.raises(UserError, match=r"json\.tool failed with exit code 2; its output is above"):
        shared.run_module("json.tool", "--no_such_flag")
    assert "no_such_flag" in capfd.readouterr().err


def test_working_directory_is_empty(tmp_path):
    assert shared.empty_folder(str(tmp_path / "new")) == tmp_path / "new"
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"--work_dir .*: must be empty"):
        shared.empty_folder(str(tmp_path))


def test_flags():
    assert shared.gin_flags(["A.b = 1", "C.d = 2"]) == [
        "--gin_param",
        "A.b = 1",
        "--gin_param",
        "C.d = 2",
    ]
    args = shared.parser("launch.rehearse", "x").parse_args(["--data_dir", "D", "--work_dir", "W"])
    assert (args.gin_file, args.gin_param) == ("gin/lambert_tiny.gin", [])
