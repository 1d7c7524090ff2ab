"""Check the wording of docstrings: `python .ci/wording.py [FILE ...]`, all our files by default.

Prints `file:line: message` for each finding and exits with 1 if there is any. CONTRIBUTING.md states the
rules; ruff checks the rest of a docstring.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIRECTORIES = (
    *(".ci", "bench", "data", "docs", "finetune", "launch", "model", "optim", "pretrain", "tests"),
)
# A description is a noun phrase; one that starts so continues the name instead.
_CONTINUES_NAME = re.compile(r"(?:as )?of\b|that\b|which\b", re.IGNORECASE)
_RIDDLE = re.compile(r"(?:Of|What|Whether any way)\b")
# Verbs that docstrings tend to begin with. "Copies of the corpus" is a noun phrase.
_THIRD_PERSON = re.compile(
    r"(?:Adds|Applies|Asks|Assigns|Brings|Builds|Calls|Checks|Closes|Compares|Compiles|Computes|"
    r"Converts|Copies|Counts|Creates|Cuts|Decides|Deletes|Describes|Draws|Drops|Evaluates|Exports|"
    r"Fills|Finds|Formats|Generates|Gets|Gives|Goes|Holds|Imports|Keeps|Learns|Lets|Lists|Loads|"
    r"Looks|Makes|Maps|Marks|Measures|Merges|Moves|Opens|Packs|Parses|Prepares|Prints|Puts|Raises|"
    r"Reads|Refuses|Removes|Replaces|Reports|Returns|Runs|Saves|Says|Sends|Sets|Shows|"
    r"Sorts|Splits|Starts|Stops|Sums|Takes|Tells|Tokenizes|Trains|Tries|Turns|Updates|Uses|Waits|"
    r"Walks|Writes|Yields)\b(?! of\b)"
)
_SECTION = re.compile(r"\s*(Args|Attributes|Returns|Yields):\s*(.*)")
_ENTRY = re.compile(r"\s*\*{0,2}\w+(?: \([^)]*\))?: ?(.*)")

_Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def findings(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and message of each wording to change.

    Args:
      source: text of a Python file.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, _Documented) and ast.get_docstring(node) is not None:
            text = node.body[0].value
            lines = text.value.splitlines()
            for offset, message in _in_docstring(lines, node):
                yield text.lineno + offset, message


def _in_docstring(lines: list[str], node: _Documented) -> Iterator[tuple[int, str]]:
    first = next(i for i, line in enumerate(lines) if line.strip())
    summary = lines[first].strip()
    if _RIDDLE.match(summary):
        yield first, f'summary begins with "{summary.split()[0]}": name the thing itself'
    if _is_action(node) and (verb := _THIRD_PERSON.match(summary)):
        yield first, f'summary begins with "{verb[0]}": use the imperative'
    for offset, section, description in _descriptions(lines):
        if start := _CONTINUES_NAME.match(description):
            yield offset, f'{section}: a description begins with "{start[0]}": use a noun phrase'


def _is_action(node: _Documented) -> bool:
    """Return whether a node is a function that is called: no property, and no test."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    decorators = map(ast.unparse, node.decorator_list)
    is_property = any(name.endswith("property") for name in decorators)
    return not is_property and not node.name.startswith("test_")


def _descriptions(lines: list[str]) -> Iterator[tuple[int, str, str]]:
    """Yield line, section and start of each description of an argument, attribute or result."""
    section, indent, entry_indent = "", 0, None
    for offset, line in enumerate(lines):
        if not line.strip():
            continue
        depth = len(line) - len(line.lstrip())
        if header := _SECTION.fullmatch(line):
            section, indent, entry_indent = header[1], depth, None
            if header[2]:
                yield offset, section, header[2]
        elif not section or depth <= indent:
            section = ""
        elif entry_indent in (None, depth):
            is_first, entry_indent = entry_indent is None, depth
            if section in ("Returns", "Yields"):
                if is_first:
                    yield offset, section, line.strip()
            elif entry := _ENTRY.fullmatch(line):
                yield offset, section, entry[1]


def main(arguments: Sequence[str]) -> int:
    """Print the findings in the named files, or in all of ours; return the exit status."""
    everything = (path for name in DIRECTORIES for path in (ROOT / name).rglob("*.py"))
    files = [Path(name) for name in arguments] or sorted(everything)
    count = 0
    for file in files:
        for line, message in sorted(findings(file.read_text(encoding="utf-8"))):
            name = file.resolve()
            name = name.relative_to(ROOT) if name.is_relative_to(ROOT) else name
            print(f"{name}:{line}: {message}")
            count += 1
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
