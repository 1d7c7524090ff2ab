"""The part of gin's language that strict mode reads."""

import pytest

from data.errors import UserError
from pretrain.gin_literals import Binding, Include, Macro, parse, render


def parse_one(text: str) -> Include | Binding:
    (statement,) = parse(text, "a.gin")
    return statement


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        ("-7", -7),
        ("0x1f", 31),
        ("20_000", 20_000),
        ("2.5e-3", 2.5e-3),
        (".5", 0.5),
        ("1.", 1.0),
        ("True", True),
        ("None", None),
        ("'a' \"b\"", "ab"),
        (r"'\\ \' \n \x41 \u00e9 \101 \d'", "\\ ' \n A \u00e9 A \\d"),
        (r"r'\d\n'", r"\d\n"),
        ("'# no comment' # comment", "# no comment"),
        ("[]", []),
        ("['a',\n  'b',  # comment\n]", ["a", "b"]),
        ("\\\n    ['a']", ["a"]),
        ("(1)", 1),
        ("(1,)", (1,)),
        ("(1, [2, %A.B])", (1, [2, Macro("A.B")])),
    ],
)
def test_values(text, value):
    statement = parse_one(f"TrainConfig.seed = {text}")
    assert (statement.owner, statement.name) == ("TrainConfig", "seed")
    assert statement.value == value
    assert type(statement.value) is type(value)
    assert parse_one(f"TrainConfig.seed = {render(value)}").value == value


def test_statements_have_their_lines():
    statements = list(parse("# a\r\nA = [1,\r\n2]\n\n  include 'b.gin'\nC.d = 3", "a.gin"))
    assert statements == [
        Binding(owner="", name="A", value=[1, 2], location="a.gin, line 2"),
        Include(name="b.gin", location="a.gin, line 5"),
        Binding(owner="C", name="d", value=3, location="a.gin, line 6"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A = 1 2", "expected the end of the line: A = 1 2"),
        ("A", "expected NAME = VALUE"),
        ("a/A = 1", "expected NAME = VALUE"),
        ("A. b = 1", "unexpected character"),
        ("A .b = 1", "unexpected character"),
        ("TrainConfig:", "expected NAME = VALUE"),
        ("A = B", "a number, or text in quotes"),
        ("A = --1", "a number, or text in quotes"),
        ("A = -True", "a number, or text in quotes"),
        ("A = {1: 2}", "a number, or text in quotes"),
        ("A = [1 2]", "expected ',' or '\\]'"),
        ("A = 1 \\\n", "unfinished text: A = 1 "),
        ("A = [1)", "expected ',' or '\\]'"),
        ("A = [", "a bracket is not closed"),
        ("A = ]", "no open bracket"),
        (f"A = {'[' * 21}", "brackets nest deeper than 20"),
        (f"A = {'9' * 41}", "not a number of up to 40 characters"),
        ("A = 007", "not a number"),
        ("A = 1j", "not a number"),
        ("A = 1e999", "1e999 is too large"),
        ("A = 'b", "unexpected character or unfinished text"),
        ("A = \x00", "unexpected character or unfinished text"),
        ("A = '''b'''", "triple quotes"),
        (r"A = '\N{SNOWMAN}'", "names of characters"),
        (r"A = '\Uffffffff'", "is not a character"),
        ("include = 1", "'include' is not a name"),
        ("TrainConfig.import = 1", "'import' is not a name"),
    ],
)
def test_malformed_text_names_file_and_line(text, message):
    with pytest.raises(UserError, match=rf"^a\.gin, line 2: .*{message}") as caught:
        list(parse(f"\n{text}", "a.gin"))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200
