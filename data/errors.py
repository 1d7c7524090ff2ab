"""User-facing errors: one line with the remedy, no stack trace.

Standard library only. `UserError` is for what a user can fix (a setting, a path, a file). Any other
exception is a bug and keeps its stack trace.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterable, Iterator, Mapping

_MAX_MESSAGE, _MAX_NAMES = 2000, 20  # characters, names in a list


class UserError(ValueError):
    """A request cannot be fulfilled; the message names the cause and the remedy."""


class StorageError(OSError):
    """Remote storage, such as a bucket, is unreachable or denies a request; a retry may succeed."""


def check_maxima(settings: object, maxima: Mapping[str, int]) -> None:
    """Raise a UserError for the first setting above its maximum.

    Args:
      settings: an instance of a class of settings.
      maxima: largest value of each setting.
    """
    for name, most in maxima.items():
        value = getattr(settings, name)
        if value > most:
            raise UserError(f"{type(settings).__name__}.{name}={value}: must be at most {most:,}")


def shorten(message: str) -> str:
    """Return a message without the middle of a very long one, which repeats what a file or flag says."""
    half = _MAX_MESSAGE // 2
    return message if len(message) <= _MAX_MESSAGE else f"{message[:half]} ... {message[-half:]}"


def list_names(names: Iterable[str]) -> str:
    """Return names for a message, the first of many."""
    names = list(names)
    shown = [name if len(name) <= 60 else f"{name[:60]}..." for name in names[:_MAX_NAMES]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "")


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, without TensorFlow's prefix of the operation."""
    lines = re.sub(r"^\{\{.*?\}\} ", "", str(error).strip()).splitlines()
    return lines[0] if lines else type(error).__name__


@contextlib.contextmanager
def name_file(path: str | os.PathLike[str]) -> Iterator[None]:
    """Add the name of a file to errors of its content, which lack it, unlike errors of opening it."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno not in (None, errno.EPIPE):  # a pipe is no file
            error.filename = os.fspath(path)
        raise
