"""Apply the code of docs/extending.md to a copy of the checkout.

A line such as `# optim/build.py: in _OPTIMIZER_BUILDERS` says where the code below it belongs:

    new file          the whole file
    imports           after the imports
    above NAME        before the statement that defines a name of the module
    instead of NAME   replaces that statement, or a statement in a class
    in NAME           the last entries of a table
"""

from __future__ import annotations

import ast
import dataclasses
import itertools
import re
import shutil
import textwrap
from collections.abc import Iterable
from pathlib import Path

from tests.support.markdown import code_blocks, tokens
from tests.support.paths import ROOT
from tests.support.sources import PACKAGES

PAGE = ROOT / "docs/extending.md"
_PLACE = re.compile(r"^# (\S+\.py): (new file|imports|(?:above|instead of|in) \w+)\n", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Edit:
    """Code of the page: the file it changes, the place there, and the code."""

    path: str
    place: str
    code: str


def edits() -> list[Edit]:
    """Return all code of the page, in order."""
    found = []
    for language, content in code_blocks(PAGE):
        if language == "python":
            before, *parts = _PLACE.split(content)
            assert not before.strip(), f"no place for {before!r}"
            found += map(Edit, parts[::3], parts[1::3], (code.strip() for code in parts[2::3]))
    return found


def edit(path: str, place: str) -> Edit:
    """Return one edit."""
    (found,) = (edit for edit in edits() if (edit.path, edit.place) == (path, place))
    return found


def commands() -> list[str]:
    """Return the commands of the page, each in one line."""
    blocks = [content for language, content in code_blocks(PAGE) if language == "console"]
    return [re.sub(r"\\\n\s*", "", block).strip() for block in blocks]


def errors() -> dict[str, dict[str, str]]:
    """Return the tables of the page: errors by heading and by the part that is forgotten."""
    found: dict[str, dict[str, str]] = {}
    heading, cells = "", []
    for opening, token in itertools.pairwise(tokens(PAGE)):
        if opening.type == "heading_open":
            heading = token.content
        elif opening.type == "td_open":
            cells.append(token.content)
            if len(cells) == 2:
                found.setdefault(heading, {})[cells[0]] = cells[1].strip("`")
                cells = []
    return found


def copy_checkout(target: Path, applied: Iterable[Edit]) -> Path:
    """Copy the packages, settings and tests to a directory, and apply edits there."""
    for name in (*PACKAGES, "gin", "tests"):
        ignored = shutil.ignore_patterns("golden", "__pycache__")
        shutil.copytree(ROOT / name, target / name, ignore=ignored)
    (target / "tests/golden").symlink_to(ROOT / "tests/golden")
    (target / "docs").mkdir()
    for path in (ROOT / "setup.cfg", PAGE):
        shutil.copy(path, target / path.relative_to(ROOT))
    for item in applied:
        apply(target, item)
    return target


def apply(target: Path, item: Edit) -> None:
    """Apply one edit to a copy of the checkout."""
    path = target / item.path
    if item.place == "new file":
        assert not path.exists(), f"{item.path} exists already"
        path.write_text(f"{item.code}\n")
        return
    text = path.read_text()
    verb, _, name = item.place.rpartition(" ")
    lines, tree = text.splitlines(keepends=True), ast.parse(text)
    if item.place == "imports":
        last = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)][-1]
        lines.insert(last.end_lineno, f"{item.code}\n")
    elif verb == "above":
        node = _definition(tree.body, name)
        lines.insert(_first_line(node) - 1, f"{item.code}\n\n\n")
    elif verb == "instead of":
        inside = [n for c in tree.body if isinstance(c, ast.ClassDef) for n in c.body]
        node = _definition([*tree.body, *inside], name)
        indented = textwrap.indent(f"{item.code}\n", " " * node.col_offset)
        lines[_first_line(node) - 1 : node.end_lineno] = [indented]
    else:
        table = _definition(tree.body, name).value
        if isinstance(table, ast.DictComp):  # {row.name: row for row in (...)}
            table = table.generators[0].iter
        row, column = table.end_lineno - 1, table.end_col_offset - 1
        content = "".join(lines[:row]) + lines[row][:column]
        comma = "" if content.rstrip().endswith((",", "(", "{")) else ","
        rest = lines[row][column:] + "".join(lines[row + 1 :])
        lines = [f"{content}{comma}\n", textwrap.indent(item.code, "    "), "\n", rest]
    path.write_text("".join(lines))


def _definition(body: list[ast.stmt], name: str) -> ast.stmt:
    def names(node: ast.stmt) -> set[str]:
        targets = [*getattr(node, "targets", ()), getattr(node, "target", None)]
        return {getattr(node, "name", None), *(getattr(target, "id", None) for target in targets)}

    (found,) = (node for node in body if name in names(node))
    return found


def _first_line(node: ast.stmt) -> int:
    return min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
