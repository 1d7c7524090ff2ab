"""Run a command, and restart it when it asks for that, or after crashes.

    python -m launch.supervise [--crashes N] [--wait_seconds S] -- python -m pretrain.run ...

A run that exits with 42 has saved its state and asks to be restarted. Success (0), errors that only the user
can fix (2) and Ctrl-C are final. Everything else is a crash. SIGTERM is forwarded, and then nothing is
restarted, because the machine is about to stop.
"""

from __future__ import annotations

import argparse
import math
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from absl import logging

from data.cli.main import run_main
from data.cli.parser import CommandParser
from data.errors import UserError
from launch.config import DISCARD_FLAG, RESTART_CODE

_FINAL_CODES = (0, 2, 130)
_LONGEST_WAIT_SECONDS = 600.0
# After this time crashes no longer count as consecutive.
_HEALTHY_SECONDS = 600.0


def main(argv: Sequence[str]) -> None:
    """Parse the command line, and exit with the exit code of the last run."""
    parser = CommandParser(
        prog="python -m launch.supervise",
        description=__doc__,
    )
    parser.add_argument(
        "--crashes", type=int, default=0, help="consecutive crashes after which it restarts"
    )
    parser.add_argument(
        "--wait_seconds",
        type=float,
        default=10.0,
        help="seconds before the restart after a crash; doubled each time",
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, help="after --")
    args = parser.parse_args(argv)
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        raise UserError("no command: give it after --")
    if DISCARD_FLAG in command:
        raise UserError(
            f"{DISCARD_FLAG} would restart at step 0 every time; run the command with it once, without"
            " launch.supervise, and without it from then on"
        )
    for name in ("crashes", "wait_seconds"):
        if not 0 <= getattr(args, name) < math.inf:
            raise UserError(f"--{name} {getattr(args, name):g}: must be at least 0")
    sys.exit(supervise(command, crashes=args.crashes, wait_seconds=args.wait_seconds))


def supervise(command: Sequence[str], *, crashes: int, wait_seconds: float) -> int:
    """Run a command until an exit code is final.

    Args:
      command: program and arguments.
      crashes: consecutive crashes after which it restarts.
      wait_seconds: seconds before the restart after the first crash.

    Returns:
      Exit code of the last run; 128 + n if signal n ended it, as in a shell.
    """
    num_crashes = 0
    while True:
        started = time.monotonic()
        code, was_terminated = _run(command)
        if code in _FINAL_CODES or was_terminated:
            return code
        if code == RESTART_CODE:
            _say("the run has saved its state; restarting it")
            num_crashes = 0
            continue
        num_crashes = 1 if time.monotonic() - started > _HEALTHY_SECONDS else num_crashes + 1
        if num_crashes > crashes:
            _say(f"crash {num_crashes} (exit code {code}); --crashes={crashes} is used up")
            return code
        wait = min(wait_seconds * 2 ** (num_crashes - 1), _LONGEST_WAIT_SECONDS)
        _say(f"crash {num_crashes} of {crashes} (exit code {code}); restarting in {wait:g} s")
        time.sleep(wait)


def _run(command: Sequence[str]) -> tuple[int, bool]:
    """Return the exit code, and whether SIGTERM was received meanwhile."""
    received = []
    process: subprocess.Popen[bytes] | None = None

    def forward(*_: object) -> None:
        received.append(True)
        if process:
            process.send_signal(signal.SIGTERM)

    previous = signal.signal(signal.SIGTERM, forward)
    try:
        process = subprocess.Popen(command)
        while True:
            try:
                code = process.wait()
                break
            except KeyboardInterrupt:
                continue  # the command receives it too, and its exit code decides
    finally:
        signal.signal(signal.SIGTERM, previous)
    return (code if code >= 0 else 128 - code), bool(received)


def _say(text: str) -> None:
    logging.info(f"supervise: {text}")


if __name__ == "__main__":
    run_main(main)
