"""Parse the part of gin's language that settings need, without gin.

    # a comment
    include 'other.gin'
    STEPS = 500
    TrainConfig.train_steps = %STEPS
    OptimizerConfig.exclude_from_weight_decay = ['bias', 'LayerNorm']

Values are numbers, text in quotes, True, False, None, macros, and lists or tuples of these. Everything else
of gin's language (imports, references to functions, scopes, blocks, dictionaries) is refused. Nothing is
evaluated, imported or opened here, and depth and length are bounded: the text may be untrusted.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator
from typing import NamedTuple, NoReturn

from data.errors import UserError

MAX_DEPTH = 20  # nested brackets
_MAX_NUMBER = 40  # characters
_SHOWN = 80  # characters of a line in an error

_TOKEN = re.compile(
    r"""(?P<space>[ \t\f]+|\\\n(?!\Z)|\#[^\n]*)
      | (?P<newline>\n)
      | (?P<text>[rR]?(?:'(?:[^'\\\n]|\\[^\n])*'|"(?:[^"\\\n]|\\[^\n])*"))
      | (?P<number>\.?[0-9](?:[eE][-+][0-9]|[0-9A-Za-z_.])*)
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)
      | (?P<sign>[-=,:%@/()\[\]{}])""",
    re.VERBOSE,
)
_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{1,3})|(.))"
)
_ESCAPED = {"\\": "\\", "'": "'", '"': '"', "n": "\n", "t": "\t", "r": "\r"}
_CONSTANTS = {"True": True, "False": False, "None": None}
# Reserved words of gin and Python, which cannot name settings or macros.
_RESERVED = {"include", "import", "from", "as", *_CONSTANTS}


@dataclasses.dataclass(frozen=True)
class Macro:
    """A value that is set elsewhere: %NAME."""

    name: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Include:
    """A statement that reads another file.

    Attributes:
      name: file to read, as written.
      location: file and line of the statement.
    """

    name: str
    location: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Binding:
    """A statement that sets a value.

    Attributes:
      owner: class of settings; "" for a macro.
      name: setting or macro.
      value: number, text, True, False, None, `Macro`, or a list or tuple of these.
      location: file and line of the statement.
    """

    owner: str
    name: str
    value: object
    location: str


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


def parse(text: str, origin: str) -> Iterator[Include | Binding]:
    """Yield the statements of a text.

    Args:
      text: content of a file or parameter.
      origin: the file or parameter, for errors.

    Raises:
      UserError: the text is malformed, or needs more of gin than this module reads.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for tokens in _statements("\n".join(lines), origin, lines):
        yield _Statement(tokens, origin, lines).parse()


def render(value: object) -> str:
    """Return a value as text that `parse` and gin read as the same value."""
    match value:
        case Macro():
            return f"%{value.name}"
        case list():
            return f"[{', '.join(map(render, value))}]"
        case tuple():
            return f"({''.join(f'{render(item)}, ' for item in value)})"
        case _:
            return repr(value)


def printable(text: str, limit: int = _SHOWN) -> str:
    """Return the first characters of a text in one line that is safe to print.

    Args:
      text: any text.
      limit: number of characters.
    """
    shown = text if len(text) <= limit else f"{text[:limit]}..."
    return "".join(c if c.isprintable() else "?" for c in shown)


def _statements(text: str, origin: str, lines: list[str]) -> Iterator[list[_Token]]:
    """Yield the tokens of each statement, which ends with its line unless a bracket is open."""
    tokens: list[_Token] = []
    position, line, depth = 0, 1, 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if not match:
            raise _syntax_error("unexpected character or unfinished text", origin, line, lines)
        kind, found = match.lastgroup or "", match[0]
        if kind == "newline" and not depth:
            if tokens:
                yield tokens
            tokens = []
        elif kind not in ("newline", "space"):
            tokens.append(_Token(kind, found, line))
            depth += (found in tuple("([{")) - (found in tuple(")]}"))
            if not 0 <= depth <= MAX_DEPTH:
                problem = (
                    f"brackets nest deeper than {MAX_DEPTH}" if depth > 0 else "no open bracket"
                )
                raise _syntax_error(problem, origin, line, lines)
        line += kind != "text" and found.endswith("\n")
        position = match.end()
    if depth:
        raise _syntax_error("a bracket is not closed", origin, tokens[0].line, lines)
    if tokens:
        yield tokens


class _Statement:
    """Recursive descent over the tokens of one statement."""

    def __init__(self, tokens: list[_Token], origin: str, lines: list[str]):
        self._tokens, self._next = tokens, 0
        self._origin, self._lines = origin, lines
        self._location = f"{origin}, line {tokens[0].line}"

    def parse(self) -> Include | Binding:
        self._refuse_code()
        name = self._take("name")
        statement: Include | Binding
        if name == "include" and self._is("text"):
            statement = Include(name=self._text(), location=self._location)
        else:
            if not self._accept("="):
                self._fail("expected NAME = VALUE")
            if reserved := _RESERVED.intersection(name.split(".")):
                self._fail(f"{min(reserved)!r} is not a name")
            owner, _, name = name.rpartition(".")
            value = self._value()
            statement = Binding(owner=owner, name=name, value=value, location=self._location)
        if self._next < len(self._tokens):
            self._fail("expected the end of the line")
        return statement

    def _refuse_code(self) -> None:
        first, *rest = [token.text for token in self._tokens]
        if first in ("import", "from") and rest[:1] != ["="]:
            module = "".join(rest).replace("import", ".", first == "from")
            raise UserError(
                f"{self._origin} imports {printable(module)!r}, which --strict_gin refuses: it would"
                " run the module"
            )
        if "@" in rest:
            name = "".join(rest[rest.index("@") + 1 :][:1])
            raise UserError(
                f"{self._origin} refers to @{printable(name)}, which --strict_gin refuses: gin would"
                " call it"
            )

    def _value(self) -> object:
        if self._accept("("):
            items, has_comma = self._items(")")
            return items[0] if len(items) == 1 and not has_comma else tuple(items)
        if self._accept("["):
            return self._items("]")[0]
        if self._is("text"):
            return self._text()
        if self._accept("%"):
            return Macro(self._take("name"))
        negative = self._accept("-")
        if self._is("number"):
            number = self._number(self._take("number"))
            return -number if negative else number
        if not negative and self._is("name") and self._tokens[self._next].text in _CONSTANTS:
            return _CONSTANTS[self._take("name")]
        return self._fail("expected a value: a number, or text in quotes")

    def _items(self, end: str) -> tuple[list[object], bool]:
        items: list[object] = []
        has_comma = False
        while not self._accept(end):
            items.append(self._value())
            if self._accept(","):
                has_comma = True
            elif not self._is_sign(end):
                self._fail(f"expected ',' or {end!r}")
        return items, has_comma

    def _text(self) -> str:
        parts = []
        while self._is("text"):
            token = self._take("text")
            if token in ("''", '""') and self._is("text"):
                self._fail("text in triple quotes is not read")
            body = token[2:-1] if token[0] in "rR" else _ESCAPE.sub(self._unescape, token[1:-1])
            parts.append(body)
        return "".join(parts)

    def _unescape(self, match: re.Match[str]) -> str:
        hexadecimal = match[1] or match[2] or match[3]
        if not hexadecimal and not match[4]:
            if match[5] == "N":
                self._fail("names of characters (\\N) are not read")
            return _ESCAPED.get(match[5], match[0])  # as Python keeps the backslash of '\d'
        code = int(hexadecimal, 16) if hexadecimal else int(match[4], 8)
        if code > 0x10FFFF:
            self._fail(f"{match[0]} is not a character")
        return chr(code)

    def _number(self, text: str) -> int | float:
        is_whole = re.fullmatch(r"[0-9_]+|0[xXoObB][0-9a-fA-F_]+", text)
        try:
            if len(text) > _MAX_NUMBER:
                raise ValueError
            number = int(text, 0) if is_whole else float(text)
        except ValueError:
            return self._fail(
                f"{printable(text)} is not a number of up to {_MAX_NUMBER} characters"
            )
        return number if math.isfinite(number) else self._fail(f"{text} is too large")

    def _is(self, kind: str) -> bool:
        return self._next < len(self._tokens) and self._tokens[self._next].kind == kind

    def _is_sign(self, sign: str) -> bool:
        return self._is("sign") and self._tokens[self._next].text == sign

    def _accept(self, sign: str) -> bool:
        found = self._is_sign(sign)
        self._next += found
        return found

    def _take(self, kind: str) -> str:
        if not self._is(kind):
            self._fail("expected NAME = VALUE")
        self._next += 1
        return self._tokens[self._next - 1].text

    def _fail(self, problem: str) -> NoReturn:
        line = self._tokens[min(self._next, len(self._tokens) - 1)].line
        raise _syntax_error(problem, self._origin, line, self._lines)


def _syntax_error(problem: str, origin: str, line: int, lines: list[str]) -> UserError:
    return UserError(f"{origin}, line {line}: {problem}: {printable(lines[line - 1].strip())}")
