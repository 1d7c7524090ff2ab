"""What is started again, and what is not; the commands are small programs without TensorFlow."""

import os
import signal
import subprocess
import sys

import pytest

from data.errors import UserError
from launch import supervise

# Ends with the next of the exit codes given as arguments; negative ones are signals.
PROGRAM = """
import os, pathlib, sys
count = pathlib.Path(sys.argv[1])
turn = int(count.read_text()) if count.exists() else 0
count.write_text(str(turn + 1))
code = int(sys.argv[2 + turn])
os.kill(os.getpid(), -code) if code < 0 else sys.exit(code)
"""


def run(tmp_path, codes, crashes=0) -> tuple[int, int]:
    """The exit code of the supervisor, and how often it has started the program."""
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "count"), *map(str, codes)]
    code = supervise.supervise(command, crashes=crashes, wait_seconds=0.001)
    return code, int((tmp_path / "count").read_text())


@pytest.mark.parametrize(
    ("codes", "crashes", "expected"),
    [
        ([0], 0, (0, 1)),
        ([42, 42, 42, 0], 0, (0, 4)),
        ([2], 9, (2, 1)),  # a wrong setting stays wrong
        ([42, 2], 9, (2, 2)),
        ([1], 0, (1, 1)),
        ([1, 1, 0], 2, (0, 3)),
        ([1, -9, 1], 2, (1, 3)),
        ([-9], 0, (137, 1)),
        ([1, 42, 1, 42, 0], 1, (0, 5)),  # crashes in a row
    ],
)
def test_exit_codes(tmp_path, codes, crashes, expected):
    assert run(tmp_path, codes, crashes) == expected


def test_waits_longer_each_time(tmp_path, monkeypatch, capsys):
    waits = []
    monkeypatch.setattr(supervise.time, "sleep", waits.append)
    command = [sys.executable, "-c", "raise SystemExit(1)"]
    assert supervise.supervise(command, crashes=3, wait_seconds=200) == 1
    assert waits == [200, 400, 600]
    assert "crash 4 (exit code 1); --crashes=3 is used up" in capsys.readouterr().err


def test_sigterm_is_handed_on_and_ends_it(tmp_path):
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
    assert process.stdout.read() == ""  # not started again


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "nothing to run"),
        (["--crashes", "-1", "--", "true"], "--crashes -1: must be at least 0"),
        (["--wait_seconds", "-5", "--", "true"], "--wait_seconds -5: must be at least 0"),
        (["--wait_seconds", "nan", "--", "true"], "--wait_seconds nan: must be at least 0"),
        (["--", "python", "-m", "pretrain.run", "--discard_checkpoints"], "would begin at step 0"),
    ],
)
def test_errors(argv, message):
    with pytest.raises(UserError, match=message):
        supervise.main(argv)
