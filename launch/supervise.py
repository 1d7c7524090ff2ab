"""Runs a command again when it asks for it, and after crashes if it is told to.

    python -m launch.supervise [--crashes N] [--wait_seconds S] -- python -m pretrain.run ...

Exit code 42 of a run says that its state is saved and that it wants to be started again. 0 is the
end, and errors that only the user can mend (exit code 2) and Ctrl-C end it too. Anything else is a
crash. SIGTERM is handed on, and then nothing is started again: the machine is going away.
"""

from __future__ import annotations

import argparse
import math
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from data.errors import UserError, run_main
from launch.config import DISCARD_FLAG, RESTART_CODE

_FINAL_CODES = (0, 2, 130)
_LONGEST_WAIT_SECONDS = 600.0
# A command that has run for so long has got over the crashes before.
_HEALTHY_SECONDS = 600.0


def main(argv: Sequence[str]) -> None:
    """Parses the command line, and ends with the exit code of the last run."""
    parser = argparse.ArgumentParser(
        prog="python -m launch.supervise",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument(
        "--crashes", type=int, default=0, help="start again after so many crashes in a row"
    )
    parser.add_argument(
        "--wait_seconds",
        type=float,
        default=10.0,
        help="before starting again after a crash; doubled each time",
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, help="after --")
    args = parser.parse_args(argv)
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        raise UserError("there is nothing to run: give the command after --")
    if DISCARD_FLAG in command:
        raise UserError(
            f"{DISCARD_FLAG} would begin at step 0 after every stop; run the command with it once,"
            " without launch.supervise, and without it from then on"
        )
    for name in ("crashes", "wait_seconds"):
        if not 0 <= getattr(args, name) < math.inf:
            raise UserError(f"--{name} {getattr(args, name):g}: must be at least 0")
    sys.exit(supervise(command, crashes=args.crashes, wait_seconds=args.wait_seconds))


def supervise(command: Sequence[str], *, crashes: int, wait_seconds: float) -> int:
    """Runs a command until it is done.

    Args:
      command: program and arguments.
      crashes: how many in a row are forgiven.
      wait_seconds: before the start after the first crash.

    Returns:
      The exit code of the last run; 128 + n if signal n ended it, as in a shell.
    """
    crashed = 0
    while True:
        started = time.monotonic()
        code, was_told_to_stop = _run(command)
        if code in _FINAL_CODES or was_told_to_stop:
            return code
        if code == RESTART_CODE:
            _say("the run has saved its state; starting it again")
            crashed = 0
            continue
        crashed = 1 if time.monotonic() - started > _HEALTHY_SECONDS else crashed + 1
        if crashed > crashes:
            _say(f"crash {crashed} (exit code {code}); --crashes={crashes} is used up")
            return code
        wait = min(wait_seconds * 2 ** (crashed - 1), _LONGEST_WAIT_SECONDS)
        _say(f"crash {crashed} of {crashes} (exit code {code}); starting again in {wait:g} s")
        time.sleep(wait)


def _run(command: Sequence[str]) -> tuple[int, bool]:
    """The exit code, and whether SIGTERM came meanwhile."""
    told = []
    process = None

    def hand_on(*_):
        told.append(True)
        if process:
            process.send_signal(signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, hand_on)
    try:
        process = subprocess.Popen(command)
        while True:
            try:
                code = process.wait()
                break
            except KeyboardInterrupt:
                continue  # the command has got it too, and says what becomes of it
    finally:
        signal.signal(signal.SIGTERM, before)
    return (code if code >= 0 else 128 - code), bool(told)


def _say(text: str) -> None:
    print(f"supervise: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    run_main(main)
