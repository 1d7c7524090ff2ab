"""A cluster of processes on this machine; the workers are small programs without TensorFlow."""

import os
import signal
import subprocess
import sys

import pytest

from data.errors import UserError
from launch import local

PROGRAM = """
import json, os, signal, sys, time
config = json.loads(os.environ["TF_CONFIG"])
index = config["task"]["index"]
print(config["task"]["type"], index, "of", len(set(config["cluster"]["worker"])), flush=True)
{}
"""


def run(capfd, body, workers=2) -> tuple[int, list[str], str]:
    code = local.run_workers([sys.executable, "-c", PROGRAM.format(body)], workers)
    output, errors = capfd.readouterr()
    return code, sorted(output.splitlines()), errors


def test_every_worker_has_its_task_and_its_prefix(capfd):
    assert run(capfd, "", workers=3) == (
        0,
        [f"[worker {i}] worker {i} of 3" for i in range(3)],
        "",
    )


def test_cores_are_divided_among_workers(capfd, monkeypatch):
    cores = sorted(os.sched_getaffinity(0))
    body = "while len(cores := os.sched_getaffinity(0)) > 1: time.sleep(0.01)\nprint(list(cores))"
    lines = run(capfd, body, workers=len(cores))[1]
    assert [line for line in lines if "of" not in line] == [
        f"[worker {i}] [{core}]" for i, core in enumerate(cores)
    ]
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2, 4, 5, 7})
    assert local._divide_cores(2) == [{0, 2}, {4, 5}]
    assert local._divide_cores(6) == [{0, 2, 4, 5, 7}] * 6


@pytest.mark.parametrize(
    ("failure", "code", "description"),
    [
        ("sys.exit(2)", 2, "with exit code 2"),
        ("os.kill(os.getpid(), signal.SIGKILL)", 137, "by signal SIGKILL"),
    ],
)
def test_failed_worker_stops_the_others(capfd, monkeypatch, failure, code, description):
    monkeypatch.setattr(local, "_GRACE_SECONDS", 0.1)
    job_code, _, errors = run(capfd, f"if index: {failure}\ntime.sleep(600)")
    assert job_code == code
    assert errors == f"error: worker 1 ended {description}; the others are stopped\n"


def test_restart_code_is_the_exit_code_of_the_job(capfd):
    assert run(capfd, "time.sleep(0.3 * index); sys.exit(42)")[0] == 42


def test_worker_that_does_not_end_is_stopped(capfd, monkeypatch):
    monkeypatch.setattr(local, "_GRACE_SECONDS", 0.3)
    code, _, errors = run(capfd, "if index: time.sleep(600)")
    assert code == 1
    assert "worker 1 was stopped because it still ran 0 s after the first had ended" in errors


def test_sigterm_is_forwarded_to_all_workers():
    program = PROGRAM.format(
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(42))\nprint('ready', flush=True)\n"
        "time.sleep(60)"
    )
    command = [sys.executable, "-c", program]
    launcher = f"import sys; from launch.local import *; sys.exit(run_workers({command!r}, 2))"
    process = subprocess.Popen([sys.executable, "-c", launcher], stdout=subprocess.PIPE, text=True)
    ready = 0
    while ready < 2:
        ready += "ready" in process.stdout.readline()
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(timeout=60) == 42
    process.stdout.close()


@pytest.mark.parametrize("argv", [["--workers", "0", "--", "x"], ["--workers", "2"]])
def test_invalid_command_lines_are_errors(argv):
    with pytest.raises(
        UserError, match=r"--workers 0: must be at least 1|no arguments: give those"
    ):
        local.main(argv)
