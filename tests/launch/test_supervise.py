"""Restarts of a command; the commands are small programs without TensorFlow."""

import os
import signal
import subprocess
import sys

import pytest

from data.errors import UserError
from launch import supervise

# Exits with the next of the codes given as arguments; negative ones are signals.
PROGRAM = """
import os, pathlib, sys
count = pathlib.Path(sys.argv[1])
run = int(count.read_text()) if count.exists() else 0
count.write_text(str(run + 1))
code = int(sys.argv[2 + run])
os.kill(os.getpid(), -code) if code < 0 else sys.exit(code)
"""


def run(tmp_path, codes, crashes=0) -> tuple[int, int]:
    """Return the exit code of the supervisor, and how often it started the program."""
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "count"), *map(str, codes)]
    code = supervise.supervise(command, crashes=crashes, wait_seconds=0.001)
    return code, int((tmp_path / "count").read_text())


@pytest.mark.parametrize(
    ("codes", "crashes", "expected"),
    [
        ([0], 0, (0, 1)),
        ([42, 42, 42, 0], 0, (0, 4)),
        ([2], 9, (2, 1)),  # an invalid setting remains invalid
        ([42, 2], 9, (2, 2)),
        ([1], 0, (1, 1)),
        ([1, 1, 0], 2, (0, 3)),
        ([1, -9, 1], 2, (1, 3)),
        ([-9], 0, (137, 1)),
        ([1, 42, 1, 42, 0], 1, (0, 5)),  # only consecutive crashes count
    ],
)
def test_restarts_by_exit_code(tmp_path, codes, crashes, expected):
    assert run(tmp_path, codes, crashes) == expected


def test_wait_doubles_with_each_crash(tmp_path, monkeypatch, capsys):
    waits = []
    monkeypatch.setattr(supervise.time, "sleep", waits.append)
    command = [sys.executable, "-c", "raise SystemExit(1)"]
    assert supervise.supervise(command, crashes=3, wait_seconds=200) == 1
    assert waits == [200, 400, 600]
    assert "crash 4 (exit code 1); --crashes=3 is used up" in capsys.readouterr().err


def test_sigterm_is_forwarded_and_prevents_restarts(tmp_path):
    program = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(42))
print("ready", flush=True)
time.sleep(60)
"""
    command = [sys.executable, "-m", "launch.supervise", "--", sys.executable, "-c", program]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(timeout=60) == 42
    assert process.stdout.read() == ""  # not restarted


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "no command: give it after --"),
        (["--crashes", "-1", "--", "true"], "--crashes -1: must be at least 0"),
        (["--wait_seconds", "-5", "--", "true"], "--wait_seconds -5: must be at least 0"),
        (["--wait_seconds", "nan", "--", "true"], "--wait_seconds nan: must be at least 0"),
        (
            ["--", "python", "-m", "pretrain.run", "--discard_checkpoints"],
            "--discard_checkpoints would restart at step 0",
        ),
    ],
)
def test_invalid_command_lines_are_errors(argv, message):
    with pytest.raises(UserError, match=message):
        supervise.main(argv)
