"""What errors of TensorFlow mean for people."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from data.errors import UserError


class WorkerLost(Exception):  # noqa: N818
    """Another worker of the job has ended; nothing is wrong with this one."""


@contextlib.contextmanager
def explained(*, is_multi_worker: bool) -> Iterator[None]:
    """Translates errors out of TensorFlow's runtime.

    Raises:
      UserError: what our own reader had to say, which TensorFlow wraps in a stack trace.
      WorkerLost: in a job of several workers, anything else.
    """
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        if found := re.search(r"\bUserError: (.+)", str(error)):
            raise UserError(found[1]) from error
        if not is_multi_worker:
            raise
        raise WorkerLost(
            "the work with the other workers has broken off, most likely because one of them has"
            f" ended ({type(error).__name__}); start all of them again to go on from the newest"
            " checkpoint"
        ) from error
