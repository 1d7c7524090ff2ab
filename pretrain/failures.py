"""What errors of TensorFlow mean for people."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator


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


def reason(error: Exception) -> str:
    """The first line of an error's message, without the operation that TensorFlow puts before it."""
    lines = re.sub(r"^\{\{.*?\}\} ", "", str(error).strip()).splitlines()
    return lines[0] if lines else type(error).__name__
