"""User-facing errors: one line with the remedy, no stack trace.

Standard library only. `UserError` is for what a user can fix (a setting, a path, a file). Any other
exception is a bug and keeps its stack trace.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


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


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, without TensorFlow's prefix of the operation."""
    lines = re.sub(r"^\{\{.*?\}\} ", "", str(error).strip()).splitlines()
    return lines[0] if lines else type(error).__name__


def _expand_home(argument: str) -> str:
    """Replace "~" at the start of an argument or of a flag's value; shells do not after "="."""
    match = re.fullmatch(r"(--?\w+=)?(~(?:/.*)?)", argument, re.S)
    return f"{match[1] or ''}{os.path.expanduser(match[2])}" if match else argument


def run_main(main: Callable[[Sequence[str]], None], argv: Sequence[str] | None = None) -> None:
    """Run a command; print user-facing errors as one line.

    The exit code is 2 for an error that the user has to fix, 1 if a retry may succeed, and 130 after
    Ctrl-C.

    Args:
      main: function of the command's arguments.
      argv: arguments; by default those of this process.
    """
    # TensorFlow logs a lot when it starts; without a GPU this includes an error about CUDA.
    level = "2" if Path("/dev/nvidia0").exists() else "3"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", level)
    try:
        main(list(map(_expand_home, sys.argv[1:] if argv is None else argv)))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except StorageError as error:
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        # A path, a permission or a full disk; any other error without a file name is a bug.
        if error.filename is None and error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        path = f"{error.filename}: " if error.filename else ""
        print(f"error: {path}{error.strerror}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("\ninterrupted; run the same command again to resume", file=sys.stderr)
        sys.exit(130)
