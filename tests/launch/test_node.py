"""A job on one of its machines."""

import subprocess
from pathlib import Path

import pytest

from data import files
from launch import node
from launch.config import LaunchConfig
from launch.jobs.job import Job
from tests.support.jobs import RUN_GIN, upload


def test_node_copies_data_runs_the_preflight_and_supervises_the_run(
    small_build, tmp_path, monkeypatch
):
    """The exit code is that of the run, or of a preflight that failed."""
    upload(small_build, "ram://node/data")
    settings = dict(bucket="ram://node", data_dir="ram://node/data", accelerator="cpu")
    job = Job(
        config=LaunchConfig(scratch_dir=str(tmp_path), crashes=5, **settings), run_gin=RUN_GIN
    )
    for name, content in job.files().items():
        files.write_atomically(f"ram://node/lambert/{name}", content)
    calls = []

    def supervise(command, *, crashes, wait_seconds):
        gin_file = command[command.index("--gin_file") + 1]
        calls.append((Path(gin_file).read_text(), command[-3:], crashes))
        return 7

    def run(command, code):
        calls.append(command[2:])
        return subprocess.CompletedProcess(command, code)

    monkeypatch.setattr(node, "supervise", supervise)
    monkeypatch.setattr(node.subprocess, "run", lambda command: run(command, 0))
    for expected in (7, 2):
        with pytest.raises(SystemExit) as caught:
            node.main(["ram://node/lambert"])
        assert caught.value.code == expected
        monkeypatch.setattr(node.subprocess, "run", lambda command: run(command, 2))
    (directory,) = map(str, tmp_path.iterdir())
    model_dir = ["--model_dir", "ram://node/lambert/model"]
    preflight = ["launch.preflight", "--data_dir", directory, "--sizes_only", *model_dir]
    settings = ["--strict_gin", "--gin_file", "run.gin", "--accelerator", "cpu"]
    for preflight_call in calls[::2]:
        preflight_call[-3] = Path(preflight_call[-3]).name
        assert preflight_call == [*preflight, *settings]
    assert calls[1:2] == [(RUN_GIN, [directory, *model_dir], 5)]
