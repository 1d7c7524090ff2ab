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
