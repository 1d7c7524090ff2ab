"""Write docs/faults.md, the list of all cases with their results, and read it again for a test."""

from __future__ import annotations

import collections
import re
from collections.abc import Sequence
from pathlib import Path

from tests.faults.case import Row
from tests.faults.fuzz import Fuzzed
from tests.faults.results import Result
from tests.support.paths import ROOT

FILE = "docs/faults.md"
_HEAD = """\
# Damage and hostile input

What happens if files are damaged, exchanged or made by an attacker: every case of `make test-faults`, with what is
right and what came of it. The target writes this page; `tests/faults/table/` is the table behind it.

Each case takes a small build, run, export, task or job, damages one thing, and runs one command. What is right is
in the table. In every case the command must end in time, without a stack trace, a signal or more than 6 GiB of
memory; it may change only what the command writes, or nothing if it refuses; and nothing outside its directory.
"One line" is an error that names the file or setting. "The same result" is compared with the command on undamaged
files: output, checksums of all files, metrics and weights. Damage of "each field" follows the record itself, so
that a new field is covered.

To run some of the cases, give a pattern of their names:

    make test-faults ARGS="--only manifest.json"

## Fuzzing

Inputs are drawn, changed in their fields and bytes, and read by one process for each reader. An input is read,
with a correct result, or refused with one line; nothing is imported and nothing outside the folder is opened. The
target draws 1,000 for each reader. For 100,000, in about 40 minutes:

    make test-faults ARGS="--only '^$' --inputs 100000"
"""  # noqa: E501


def write(rows: Sequence[Row], results: Sequence[Result], fuzzed: Sequence[Fuzzed]) -> None:
    """Write the page after a run in which every case was right."""
    Path(ROOT, FILE).write_text(text_of(rows, results, fuzzed), encoding="utf-8")


def text_of(rows: Sequence[Row], results: Sequence[Result], fuzzed: Sequence[Fuzzed]) -> str:
    """Return the page."""
    counts = collections.Counter(result.row_key for result in results)
    lines = [_HEAD, "| fuzzed | inputs | outcome |", "|---|---|---|"]
    lines += [f"| {entry.name} | {entry.inputs:,} | {entry.outcomes} |" for entry in fuzzed]
    lines += ["", *_summary(rows, results)]
    for area in dict.fromkeys(entry.area for entry in rows):
        lines += [
            "",
            f"## {area}",
            "",
            "| file | damage | command | right | cases |",
            "|---|---|---|---|---|",
        ]
        for entry in rows:
            if entry.area == area:
                key = (area, entry.file, entry.damage, entry.command.name, entry.right.text)
                lines.append(f"{row_text(entry)} {counts[key]} |")
    return "\n".join(lines) + "\n"


def _summary(rows: Sequence[Row], results: Sequence[Result]) -> list[str]:
    lines = [
        "## Cases",
        "",
        "| | cases | refused with one line | correct result | wrong |",
        "|---|---|---|---|---|",
    ]
    table = {
        area: [r for r in results if r.area == area] for area in dict.fromkeys(r.area for r in rows)
    }
    table["all"] = list(results)
    for area, of_area in table.items():
        wrong = sum(bool(result.problems) for result in of_area)
        correct = sum(result.code == 0 for result in of_area)
        lines.append(
            f"| {area} | {len(of_area):,} | {len(of_area) - correct:,} | {correct:,} | {wrong} |"
        )
    return lines


def row_text(entry: Row) -> str:
    """Return the start of a line of the page: what is damaged, and what is right."""
    cells = (entry.file, entry.damage, f"`{entry.command.name}`", entry.right.text)
    return "".join(f"| {cell} " for cell in cells) + "|"


def documented_rows() -> list[str]:
    """Return `row_text` of each row of the page, in order."""
    text = Path(ROOT, FILE).read_text(encoding="utf-8")
    return re.findall(r"^(\|.*\| `.*\|) \d+ \|$", text, re.MULTILINE)
