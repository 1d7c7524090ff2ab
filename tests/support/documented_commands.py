"""Check commands of the documentation without running them: programs only parse their arguments."""

import argparse
import configparser
import contextlib
import importlib
import inspect
import io
import re
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from unittest import mock

from data.stages.runner import check_flags, pipeline_options
from tests.support.markdown import LEFT_OUT
from tests.support.paths import ROOT
from tests.support.sources import PACKAGES

MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))


class _Parsed(Exception):  # noqa: N818  not an error
    """Stops a program after it has parsed its arguments; the first argument is the result."""


@contextlib.contextmanager
def _parse_only() -> Iterator[None]:
    """Raise `_Parsed` after an argument parser has run; reject abbreviated flags."""
    depth = 0

    def stopping(parse: Callable) -> Callable:
        def parse_and_stop(parser, args, namespace=None):
            nonlocal depth
            parser.allow_abbrev = False
            if LEFT_OUT in args:
                args = [argument for argument in args if argument != LEFT_OUT]
                for action in parser._actions:
                    action.required = False
            depth += 1  # parse_args calls parse_known_args, and parsers call those of subcommands
            try:
                result = parse(parser, args, namespace)
            finally:
                depth -= 1
            if depth == 0:
                raise _Parsed(result)
            return result

        return parse_and_stop

    with contextlib.ExitStack() as patches:
        for name in ("parse_args", "parse_known_args"):
            real = getattr(argparse.ArgumentParser, name)
            patches.enter_context(mock.patch.object(argparse.ArgumentParser, name, stopping(real)))
        yield


def _parse(main: Callable, arguments: list[str]) -> object:
    """Return what the argument parser of a program returns."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed), _parse_only():
            main(arguments)
    except _Parsed as parsed:
        return parsed.args[0]
    except SystemExit as error:
        raise AssertionError(printed.getvalue().strip().rpartition("\n")[-1]) from error
    raise AssertionError("the program does not parse its arguments")


def _check_program(name: str, arguments: list[str]) -> None:
    """Let one of our programs parse its arguments; a command after `--` is checked too."""
    spec = find_spec(name)
    assert spec, f"there is no module {name}"
    is_package = spec.submodule_search_locations
    module = importlib.import_module(f"{name}.__main__" if is_package else name)
    if not inspect.signature(module.main).parameters:
        assert set(arguments) <= {LEFT_OUT}, f"{name} takes no arguments"
        return
    parsed = _parse(module.main, arguments)
    if name == "data.build":
        _, beam_args = parsed
        beam_args = [flag for flag in beam_args if flag != LEFT_OUT]
        check_flags(beam_args, [])
        pipeline_options(beam_args, output_dir="gs://B", paths=[])
    if "--" in arguments:
        _check_python(arguments[arguments.index("--") + 1 :])


def _check_python(words: Sequence[str]) -> None:
    if words[0] not in ("python", ".venv/bin/python") or words[1:] == (LEFT_OUT,):
        return  # another program, another environment, or Python in general
    if words[1] != "-m":
        assert (ROOT / words[1]).is_file(), f"there is no file {words[1]}"
    elif words[2].partition(".")[0] in PACKAGES:
        _check_program(words[2], list(words[3:]))
    else:
        assert find_spec(words[2]), f"there is no module {words[2]}"


def _check_make(words: Sequence[str]) -> None:
    for word in set(words[1:]) - {LEFT_OUT}:
        variable = re.match(r"([A-Z_]+)=", word)
        if variable:
            is_defined = re.search(rf"^{variable[1]} \??= ?", MAKEFILE, re.MULTILINE)
            assert is_defined, f"make has no variable {variable[1]}"
        else:
            assert word in TARGETS, f"make has no target {word}"


def _check_pip(words: Sequence[str]) -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    known = set(setup["options.extras_require"])
    for extras in re.findall(r"\.\[(.+)\]", " ".join(words)):
        assert set(extras.split(",")) <= known, f"setup.cfg has not all of the extras {extras}"


def command_error(words: Sequence[str]) -> str | None:
    """Return why a command would not be accepted, or None if it would."""
    checks = {"make": _check_make, "pip": _check_pip}
    try:
        checks.get(words[0], _check_python)(words)
    except (AssertionError, ValueError) as error:
        return str(error)
    return None
