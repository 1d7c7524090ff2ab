"""Exit handling: preemption, lost workers, and readable errors from TensorFlow's runtime."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator

import tensorflow as tf
from absl import logging

from data.errors import StorageError, UserError, first_line
from launch.config import RESTART_CODE
from pretrain.train.preemption import INTERRUPT, INTERRUPT_CODE, Preempted


class WorkerLost(Exception):  # noqa: N818
    """Another worker of the job has ended; nothing is wrong with this one."""


@contextlib.contextmanager
def translate_errors(*, is_multi_worker: bool) -> Iterator[None]:
    """Translate errors from TensorFlow's runtime.

    Raises:
      WorkerLost: an operation failed in a job of several workers, or a host of a TPU slice is lost.
    """
    try:
        yield
    except tf.errors.OpError as error:
        if is_multi_worker:
            raise WorkerLost(
                "lost the connection to the other workers, most likely because one of them has ended"
                f" ({type(error).__name__}); start all of them again to resume from the newest"
                " checkpoint"
            ) from error
        if not isinstance(error, tf.errors.UnavailableError):
            raise
        raise WorkerLost(
            f"lost the connection to another host, or to the storage: {_reason(error)}; start all"
            " hosts again to resume from the newest checkpoint"
        ) from error


def _reason(error: tf.errors.OpError) -> str:
    """Return the first line of an error, and the host that it is about, if TensorFlow says so."""
    host = re.search(r"/job:\w+/replica:\d+/task:\d+", error.message)
    return f"{host[0] + ': ' if host else ''}{first_line(error)[:200]}"


@contextlib.contextmanager
def explain_out_of_memory(settings: str) -> Iterator[None]:
    """Raise a UserError that names settings if a device runs out of memory.

    Args:
      settings: what to change, for the error.
    """
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        if "No space left" in str(error):
            raise  # a disk
        raise UserError(
            f"a device has run out of memory: {first_line(error)[:200]}; {settings}. Each of these may"
            " change when the run resumes; launch.plan estimates the memory"
        ) from error


@contextlib.contextmanager
def exit_on_stop(program: str, *, is_multi_worker: bool) -> Iterator[None]:
    """Exit the process with the right code if the run is stopped from outside.

    The exit code is RESTART_CODE after a preemption notice, INTERRUPT_CODE after Ctrl-C, and 1 when
    another worker or the storage is lost.

    Args:
      program: name at the start of printed lines.
      is_multi_worker: whether other processes take part.
    """
    try:
        with translate_errors(is_multi_worker=is_multi_worker):
            yield
    except Preempted as preempted:
        code = INTERRUPT_CODE if preempted.reason == INTERRUPT else RESTART_CODE
        logging.info(
            f"{program}: stopped after step {preempted.step:,} by {preempted.reason}; everything is"
            f" saved, the same command resumes (exit code {code})"
        )
        sys.exit(code)
    except WorkerLost as lost:
        _exit_now(str(lost))
    except StorageError as error:
        if not is_multi_worker:
            raise
        _exit_now(f"{error.filename}: {error.strerror}")


def _exit_now(message: str) -> None:
    """Exit without TensorFlow's shutdown, which would wait for the other workers."""
    sys.stdout.flush()
    print(f"error: {message}", file=sys.stderr, flush=True)
    os._exit(1)
