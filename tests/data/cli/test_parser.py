"""Errors of command lines, and the flags of every program."""

import pytest

from data.cli.parser import CommandParser
from data.errors import UserError


class TestCommandParser:
    def parser(self) -> CommandParser:
        parser = CommandParser(prog="python -m x")
        parser.add_argument("--vocab_file", required=True)
        parser.add_argument("--number", type=int)
        verbs = parser.add_subparsers()
        verbs.add_parser("run").add_argument("--show_all", action="store_true")
        return parser

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ("--vocabfile x", r"did you mean --vocab_file instead of --vocabfile\?"),
            ("--vocab_file x --numbr=1", r"--numbr=1; did you mean --number instead of --numbr\?"),
            ("--vocab_file x run --showall", r"--showall; did you mean --show_all instead of"),
            ("--vocab_file x --number y", "--number: invalid int value: 'y'; see --help"),
            ("", "arguments are required: --vocab_file; see --help"),
            ("--vocab_file -x", "expected one argument; see --help"),
        ],
    )
    def test_error_is_one_line_with_the_nearest_flag(self, arguments, message):
        with pytest.raises(UserError, match=message) as caught:
            self.parser().parse_args(arguments.split())
        assert "\n" not in str(caught.value)

    def test_help_and_abbreviations_work(self, capsys):
        with pytest.raises(SystemExit) as stop:
            self.parser().parse_args(["--help"])
        assert stop.value.code == 0
        assert "usage: python -m x" in capsys.readouterr().out
        assert self.parser().parse_args(["--vocab", "x"]).vocab_file == "x"
