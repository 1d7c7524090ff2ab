"""A command that does what no command may do, to test the checks of tests.faults."""

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from data.errors import UserError


def main(argv: Sequence[str]) -> None:
    """Do what the first argument says, in a folder with data/."""
    match argv[0]:
        case "trace":
            raise KeyError("seed")
        case "hang":
            time.sleep(60)
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "code":
            sys.exit(3)
        case "write outside":
            Path("../outside/ran").touch()
        case "write elsewhere":
            Path(argv[1]).touch()
        case "change":
            Path("data/vocab.txt").write_text("changed")
            raise UserError("data/vocab.txt is damaged")
        case "two lines":
            print("error: a", file=sys.stderr)
            raise UserError("data/vocab.txt is damaged")
        case "endless line":
            print("error: data/vocab.txt" + "x" * 10_000, file=sys.stderr)
            sys.exit(2)
        case "refuse":
            raise UserError("data/vocab.txt is damaged")
        case "result":
            print(Path("data/vocab.txt").stat().st_size)
