"""Run a command; exit codes of all commands, and their behaviour without standard streams."""

from __future__ import annotations

import errno
import os
import re
import select
import sys
from collections.abc import Callable, Sequence
from typing import Any

from data.cli import logs
from data.errors import StorageError, UserError, shorten

# What a write to a full or failing disk, or beyond `ulimit -f`, raises; usually without a file name.
_WRITE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
# Exit code after SIGPIPE, as shells report it.
_CLOSED_PIPE_CODE = 141


def _expand_home(argument: str) -> str:
    """Replace "~" at the start of an argument or of a flag's value; shells do not after "="."""
    match = re.fullmatch(r"(--?\w+=)?(~(?:/.*)?)", argument, re.S)
    return f"{match[1] or ''}{os.path.expanduser(match[2])}" if match else argument


def run_main(main: Callable[[Sequence[str]], None], argv: Sequence[str] | None = None) -> None:
    """Run a command; print user-facing errors as one line.

    The exit code is 2 for an error that the user has to fix, 1 if a retry may succeed, 130 after Ctrl-C,
    and 141 if nobody reads the output any more. Standard streams that are closed do not count as errors;
    if standard error is one of them, errors are printed on standard output.

    Args:
      main: function of the command's arguments.
      argv: arguments; by default those of this process.
    """
    _open_closed_streams()
    logs.start()
    code: Any = 0
    try:
        main(list(map(_expand_home, sys.argv[1:] if argv is None else argv)))
    except SystemExit as stop:
        code = stop.code or 0
    except UserError as error:
        code = _report(shorten(f"error: {error}"), 2)
    except StorageError as error:
        code = _report(f"error: {error.filename}: {error.strerror}", 1)
    except OSError as error:
        code = _report_os_error(error)
    except KeyboardInterrupt:
        code = _report("\ninterrupted; run the same command again to resume", 130)
    except Exception:
        logs.record_error("the program has failed", exc_info=True)
        raise
    if (lost := _flush_output()) is not None and not code:
        code = _report_os_error(lost)
    if code:
        sys.exit(code)


def _open_closed_streams() -> None:
    """Open closed standard streams on /dev/null.

    Otherwise Python has None in their place, and the next file that is opened gets their number: what
    TensorFlow or a child process prints would be written into it.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is not None:
            continue
        null = os.open(os.devnull, os.O_RDWR)
        try:
            os.fstat(descriptor)
        except OSError:
            os.dup2(null, descriptor)
        if null > 2:
            os.close(null)
        setattr(sys, name, open(os.devnull, "w" if descriptor else "r"))  # noqa: SIM115


def _report_os_error(error: OSError) -> int:
    """Print an error of a file in one line and return the exit code; raise it if it is a bug."""
    if error.filename is not None:
        return _report(shorten(f"error: {error.filename}: {error.strerror}"), 2)
    if error.errno == errno.EPIPE and any(map(_has_no_reader, (1, 2))):
        _flush_output()
        return _CLOSED_PIPE_CODE  # as `head` expects: without a word
    if error.errno not in _WRITE_ERRORS:
        raise error
    path = "standard output: " if _is_full(1) else ""
    return _report(f"error: {path}{error.strerror}", 2)


def _report(message: str, code: int) -> int:
    """Print a message on standard error, or on standard output if that is closed; return the code."""
    logs.record_error(message)
    for stream in (sys.stderr, sys.stdout):
        if getattr(stream, "name", "") == os.devnull:  # see `_open_closed_streams`
            continue
        try:
            print(message, file=stream, flush=True)
            return code
        except OSError:
            continue
    return code


def _flush_output() -> OSError | None:
    """Flush standard output; if it cannot be written, discard what is left and return the error."""
    try:
        sys.stdout.flush()
    except OSError as error:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
        return error
    return None


def _is_full(descriptor: int) -> bool:
    """Return whether nothing more can be written to a descriptor; if it can, one empty line is."""
    try:
        os.write(descriptor, b"\n")
    except OSError:
        return True
    return False


def _has_no_reader(descriptor: int) -> bool:
    """Return whether a descriptor is a pipe whose other end is closed."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return any(events & (select.POLLERR | select.POLLNVAL) for _, events in poll.poll(0))
