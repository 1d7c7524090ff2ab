"""Parser of the command lines of all programs."""

from __future__ import annotations

import argparse
import difflib
import importlib.metadata
import os
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from data.cli import logs
from data.errors import UserError

DISTRIBUTION = "lambert-pretrain"  # name of the installed package


class _HelpFormatter(argparse.RawTextHelpFormatter):
    """Shows texts as they are written, and whether an option is required or what its default is."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = action.help or ""
        if action.option_strings and action.required:
            return f"{text} (required)"
        has_none = action.default is None or action.default is False or action.default == []
        if has_none or action.default is argparse.SUPPRESS or "default" in text:
            return text
        return f"{text} (default: %(default)s)"


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


class _Verbosity(argparse.Action):
    """Set the level of the messages as soon as it is parsed."""

    def __call__(self, parser: object, namespace: object, value: Any, *_: object) -> None:
        logs.set_verbosity(value)


class _LogDir(argparse.Action):
    """Open the log file as soon as its folder is parsed."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: object, value: Any, *_: object
    ) -> None:
        if "://" in value:
            raise UserError(f"--log_dir {value}: must be a local folder")
        logs.open_file(value, parser.prog.split()[-1])


class CommandParser(argparse.ArgumentParser):
    """Parser of a command line that raises a UserError, with the nearest flag, for a wrong argument."""

    _arguments: Sequence[str] = ()
    _completes = False

    def __init__(self, *args: Any, **kwargs: Any):
        """Create the parser as its base class does, with the flags that every program has."""
        super().__init__(*args, **{"formatter_class": _HelpFormatter, **kwargs})
        self.add_argument("--version", action=_Version, help="print the version and exit")
        # They have no attribute in the result: a program has nothing to do for them.
        self.add_argument(
            "--verbosity",
            action=_Verbosity,
            choices=logs.LEVELS,
            default=argparse.SUPPRESS,
            help=f"least level of the messages to show (default: {logs.DEFAULT_LEVEL}); with debug\n"
            "those of TensorFlow and other libraries, too",
        )
        self.add_argument(
            "--log_dir",
            action=_LogDir,
            default=argparse.SUPPRESS,
            metavar="L",
            help="append the messages to a file in this folder, too (default: no file)",
        )

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Remember the arguments, for `error`; parse them as the base class does."""
        self._arguments = sys.argv[1:] if args is None else list(args)
        if "_ARGCOMPLETE" in os.environ and not CommandParser._completes:  # for a shell
            import argcomplete

            CommandParser._completes = True  # it parses, too
            argcomplete.autocomplete(self)
        return super().parse_known_args(args, namespace)

    def flags(self) -> Iterator[str]:
        """Yield the flags, those of subcommands included."""
        return _flags(self)

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
