"""How a run may end before its end, and what errors of TensorFlow mean for people."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from data.errors import StorageError
from launch.config import RESTART_CODE
from pretrain.train.preemption import Preempted


class WorkerLost(Exception):  # noqa: N818
    """Another worker of the job has ended; nothing is wrong with this one."""


@contextlib.contextmanager
def explained(*, is_multi_worker: bool) -> Iterator[None]:
    """Translates an error out of TensorFlow's runtime.

    Raises:
      WorkerLost: in a job of several workers.
    """
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        if not is_multi_worker:
            raise
        raise WorkerLost(
            "the work with the other workers has broken off, most likely because one of them has"
            f" ended ({type(error).__name__}); start all of them again to go on from the newest"
            " checkpoint"
        ) from error


@contextlib.contextmanager
def ends(program: str, *, is_multi_worker: bool) -> Iterator[None]:
    """Around a run: ends the process in its own way where the run is stopped from outside.

    Args:
      program: what the lines begin with.
      is_multi_worker: whether other processes take part.
    """
    try:
        with explained(is_multi_worker=is_multi_worker):
            yield
    except Preempted as preempted:
        print(
            f"{program}: stopped after step {preempted.step:,} by {preempted.reason}; all is"
            f" saved, the same command goes on (exit code {RESTART_CODE})",
            flush=True,
        )
        sys.exit(RESTART_CODE)
    except WorkerLost as lost:
        _end_alone(str(lost))
    except StorageError as error:
        if not is_multi_worker:
            raise
        _end_alone(f"{error.filename}: {error.strerror}")


def _end_alone(message: str) -> None:
    print(f"error: {message}", file=sys.stderr, flush=True)
    os._exit(1)  # TensorFlow would wait for the others at the end of the process
