"""User-facing errors: one line with the remedy, no stack trace; and the exit codes of all commands.

Standard library only. `UserError` is for what a user can fix (a setting, a path, a file). Any other
exception is a bug and keeps its stack trace.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import errno
import importlib.metadata
import os
import re
import select
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

DISTRIBUTION = "lambert-pretrain"  # name of the installed package
# What a write to a full or failing disk, or beyond `ulimit -f`, raises; usually without a file name.
_WRITE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
# Exit code after SIGPIPE, as shells report it.
_CLOSED_PIPE_CODE = 141
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


def _expand_home(argument: str) -> str:
    """Replace "~" at the start of an argument or of a flag's value; shells do not after "="."""
    match = re.fullmatch(r"(--?\w+=)?(~(?:/.*)?)", argument, re.S)
    return f"{match[1] or ''}{os.path.expanduser(match[2])}" if match else argument


class _Version(argparse.Action):
    """Print the version; found out only when it is asked for, since that reads many files."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None):
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        try:
            print(f"Lambert {importlib.metadata.version(DISTRIBUTION)}")
        except importlib.metadata.PackageNotFoundError:
            print("Lambert, not installed")
        parser.exit()


class CommandParser(argparse.ArgumentParser):
    """Parser of a command line that raises a UserError, with the nearest flag, for a wrong argument."""

    _arguments: Sequence[str] = ()

    def __init__(self, *args: Any, **kwargs: Any):
        """Create the parser as its base class does, with a flag --version."""
        super().__init__(*args, **kwargs)
        self.add_argument("--version", action=_Version, help="print the version and exit")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Remember the arguments, for `error`; parse them as the base class does."""
        self._arguments = sys.argv[1:] if args is None else list(args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Raise a UserError; the base class prints its usage in many lines."""
        raise UserError(f"{message}; {self._hint()}")

    def _hint(self) -> str:
        known = list(_flags(self))
        for argument in self._arguments:
            flag = argument.partition("=")[0]
            is_unknown = not any(name.startswith(flag) for name in known)
            nearest = difflib.get_close_matches(flag, known, n=1)
            if re.match("--?[a-zA-Z]", flag) and is_unknown and nearest:
                return f"did you mean {nearest[0]} instead of {flag}?"
        return "see --help"


def _flags(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield the flags of a parser and of its subcommands."""
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for subparser in action.choices.values():
                yield from _flags(subparser)


@contextlib.contextmanager
def name_file(path: str | os.PathLike[str]) -> Iterator[None]:
    """Add the name of a file to errors of its content, which lack it, unlike errors of opening it."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno not in (None, errno.EPIPE):  # a pipe is no file
            error.filename = os.fspath(path)
        raise


def run_main(main: Callable[[Sequence[str]], None], argv: Sequence[str] | None = None) -> None:
    """Run a command; print user-facing errors as one line.

    The exit code is 2 for an error that the user has to fix, 1 if a retry may succeed, 130 after Ctrl-C,
    and 141 if nobody reads the output any more. Standard streams that are closed do not count as errors;
    if standard error is one of them, errors are printed on standard output.

    Args:
      main: function of the command's arguments.
      argv: arguments; by default those of this process.
    """
    # TensorFlow logs a lot when it starts; without a GPU this includes an error about CUDA.
    level = "2" if Path("/dev/nvidia0").exists() else "3"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", level)
    _open_closed_streams()
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
