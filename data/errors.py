"""Errors for people: one clear line with the way out, no stack trace.

Standard library only. `UserError` is for what a user can mend (a setting, a path, a file);
anything else is a defect of ours and keeps its stack trace.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path


class UserError(ValueError):
    """Something the user asked for cannot be done; the message names it and says what to do."""


class StorageError(OSError):
    """Storage elsewhere, like a bucket, cannot be reached or refuses; it may be another time."""


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, without the operation TensorFlow puts before it."""
    lines = re.sub(r"^\{\{.*?\}\} ", "", str(error).strip()).splitlines()
    return lines[0] if lines else type(error).__name__


def run_main(main: Callable[[Sequence[str]], None], argv: Sequence[str] | None = None) -> None:
    """Runs a command: errors for people become one line.

    The exit code is 2 where only the user can mend it, 1 where another try may do, 130 after Ctrl-C.
    """
    # TensorFlow's start-up messages bury our own lines. Without a GPU they include an error about CUDA.
    level = "2" if Path("/dev/nvidia0").exists() else "3"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", level)
    try:
        main(sys.argv[1:] if argv is None else argv)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except StorageError as error:
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        # A path, a permission or a full disk; anything without a file is a defect of ours.
        if error.filename is None and error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        place = f"{error.filename}: " if error.filename else ""
        print(f"error: {place}{error.strerror}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("\ninterrupted; run the same command again to go on", file=sys.stderr)
        sys.exit(130)
