"""The flag --workers: processes on this machine."""

from __future__ import annotations

import argparse
import os

from data.errors import UserError

_MAX_WORKERS = 1024
_WORKER_BYTES = 2**20  # of input, below which another process takes longer to start than it saves


def add_workers_flag(parser: argparse.ArgumentParser) -> None:
    """Add --workers."""
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes on this machine (default: one per core, fewer for little text)",
    )


def choose_workers(given: int | None, *, num_bytes: int) -> int:
    """Return the number of processes.

    Args:
      given: value of the flag; None takes all cores, but fewer for little text.
      num_bytes: size of the input.

    Raises:
      UserError: the number is out of range.
    """
    if given is None:
        return min(len(os.sched_getaffinity(0)), 1 + num_bytes // _WORKER_BYTES)
    if not 1 <= given <= _MAX_WORKERS:
        raise UserError(f"--workers {given}: must be between 1 and {_MAX_WORKERS}")
    return given
