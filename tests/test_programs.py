"""Flags and messages that all programs share."""

import importlib
import subprocess
import sys
from unittest import mock

import pytest

from data.cli.parser import CommandParser
from tests.support.sources import MODULES

PROGRAMS = sorted(
    name
    for name, path in MODULES.items()
    if not name.startswith("bench")
    and name != "launch.rehearse.fake_gcloud"  # stands in for a program of another project
    and "run_main(main)" in path.read_text()
)


class Parsing(Exception):  # noqa: N818  not an error
    """Carries the parser of a program, instead of parsing."""


def parser_of(module: str) -> CommandParser:
    """Return the parser of a program."""

    def stop(self, *_):
        raise Parsing(self)

    with (
        mock.patch.object(CommandParser, "parse_known_args", stop),
        pytest.raises(Parsing) as found,
    ):
        importlib.import_module(module).main([])
    return found.value.args[0]


def test_programs_are_found():
    assert {"data.build", "data.vocab.__main__", "pretrain.run", "launch.gke"} <= set(PROGRAMS)


@pytest.mark.parametrize("module", PROGRAMS)
def test_every_program_has_the_common_flags(module):
    flags = {flag for action in parser_of(module)._actions for flag in action.option_strings}
    assert {"--help", "--version", "--verbosity", "--log_dir"} <= flags


@pytest.mark.parametrize("module", PROGRAMS)
def test_every_option_says_what_it_means_and_its_default(module):
    """A choice that is required, on or off, or a list that is empty at first, has none to say."""
    parser = parser_of(module)
    assert all(action.help for action in parser._actions)
    shown = parser._get_formatter()._get_help_string
    silent = [
        action.option_strings
        for action in parser._actions
        if action.option_strings
        and action.nargs != 0
        and action.default != []
        and "default" not in shown(action)
        and "(required)" not in shown(action)
    ]
    # One of the two is required.
    assert [flags for flags in silent if flags not in (["--model_dir"], ["--export"])] == []


def test_defaults_are_shown_as_values(capsys):
    with pytest.raises(SystemExit):
        importlib.import_module("pretrain.fill_mask").main(["--help"])
    text = capsys.readouterr().out
    assert "number of answers (default: 5)" in text
    assert "an older name of this flag (required)" in text


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("lambert-pretrain --mo", {"--model_dir", "--mode"}),
        ("lambert-pretrain --mode ev", {"eval"}),
        ("lambert-view --split ", {"train", "eval"}),
    ],
)
def test_shells_complete_flags_and_choices(line, expected, tmp_path):
    """As the shell function of argcomplete asks for completions, through descriptor 8."""
    found = tmp_path / "completions"
    script = "import sys; sys.argv[0] = '/bin/' + sys.argv.pop(1); from pretrain.console import main; main()"
    environment = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(found),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "PYTHONPATH": ".",
    }
    command = [sys.executable, "-c", script, line.split()[0]]
    subprocess.run(command, env=environment, check=False, capture_output=True)
    assert {text.strip() for text in found.read_text().split("\n")} == expected


@pytest.mark.parametrize(
    "code",
    [
        "import tensorflow as tf; tf.constant(1.0) + 1",
        "import subprocess, sys;"
        "subprocess.run([sys.executable, '-c', 'import tensorflow as tf; tf.constant(1.0) + 1'])",
        "import multiprocessing as m; p = m.get_context('spawn').Process(target=print, args=('x',));"
        "import tensorflow as tf; p.start(); p.join()",
    ],
)
def test_tensorflow_starts_without_a_word(code):
    """In the program, and in processes that it starts, as Beam starts its workers."""
    program = f"from data.cli.main import run_main\nrun_main(lambda argv: exec({code!r}))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={"PYTHONPATH": "."}
    )
    assert (done.returncode, done.stderr) == (0, "")
