"""The rows of metrics.jsonl.

Each has its number in the file, `row`, so that missing rows are noticed, and the `time` when it was written.
Rows of older versions have neither.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from absl import logging

from data import files
from data.checked_json import MAX_BYTES, Record, keep_copy, parse_json_lines, read_at_most
from data.errors import UserError

METRICS_FILE = "metrics.jsonl"
TIME = "time"  # column: seconds since 1970
# Columns that depend on the clock: all others are the same in every run with the same settings and data.
CLOCK_METRICS = frozenset({TIME, "examples_per_second", "tokens_per_second", "input_wait_fraction"})
PLATEAU_NOTE = "still on the unigram plateau"
_GROUPS = ("trust_ratios",)  # columns that have a number for each variable
_MAX_GAPS = 3  # to list in a message


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Content:
    """Intact rows of a file, whether other lines are damaged, and all bytes.

    A last line without an end was cut when a process was killed. The steps of its row come after the
    newest checkpoint, so nothing is lost, and it does not count as damage.
    """

    rows: list[dict[str, Any]]
    damaged_lines: int
    content: bytes


def read_metrics(model_dir: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return the rows of metrics.jsonl; lines that are damaged or cut are left out."""
    return _read(model_dir).rows


def repair_metrics(
    model_dir: str | os.PathLike[str], start_step: int, *, last_row: int | None = None
) -> int:
    """Drop the rows after `start_step`, whose steps are repeated, and damaged lines.

    A file with damaged lines is kept under another name. Lost rows are reported once: then the others
    are numbered again.

    Args:
      model_dir: model directory of the run.
      start_step: number of updates so far.
      last_row: step of the last row of training metrics before `start_step`; None if unknown.

    Returns:
      Number of the next row.
    """
    path, found = files.join(model_dir, METRICS_FILE), _read(model_dir)
    kept = [row for row in found.rows if row["step"] <= start_step]
    gaps = _gaps(kept)
    if found.damaged_lines:
        copy = keep_copy(path, found.content)
        logging.warning(
            f"training: {path} has {found.damaged_lines:,} damaged lines; the other"
            f" {len(found.rows):,} rows are kept, and the damaged file is {copy}"
        )
    if sum(gap.num_rows for gap in gaps) > found.damaged_lines:
        text = "; ".join(map(str, gaps[:_MAX_GAPS])) + "; ..." * (len(gaps) > _MAX_GAPS)
        logging.warning(f"training: {path} lacks {text}; the others are kept")
    last = max((row["step"] for row in kept if "loss" in row), default=0)
    if last_row is not None and last < last_row:
        logging.warning(f"training: {path} lacks rows of the steps {last + 1:,} to {last_row:,}")
    numbered = [
        {**row, "row": number} if "row" in row else row for number, row in enumerate(kept, 1)
    ]
    files.write_atomically(path, "".join(f"{json.dumps(row)}\n" for row in numbered).encode())
    return len(kept) + 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Gap:
    """Rows that are missing between two others, and the steps of these."""

    num_rows: int
    after_step: int
    before_step: int

    def __str__(self) -> str:
        rows = f"{self.num_rows:,} row{'s' * (self.num_rows > 1)}"
        return f"{rows} between the steps {self.after_step:,} and {self.before_step:,}"


def _gaps(rows: Sequence[dict[str, Any]]) -> list[_Gap]:
    """Return where rows are missing, by their numbers; rows of older versions have none."""
    gaps, number, step = [], 0, 0
    for row in rows:
        found = row.get("row")
        expected, number = number + 1, found if isinstance(found, int) else number + 1
        if number > expected:
            gaps.append(_Gap(num_rows=number - expected, after_step=step, before_step=row["step"]))
        step = row["step"]
    return gaps


def _read(model_dir: str | os.PathLike[str]) -> _Content:
    path = files.join(model_dir, METRICS_FILE)
    content = read_at_most(path, MAX_BYTES) if files.exists(path) else b""
    if len(content) > MAX_BYTES:
        raise UserError(f"{path} has more than {MAX_BYTES:,} bytes; move it away")
    rows, num_damaged = [], 0
    complete, _, last_line = content.rpartition(b"\n")
    is_cut = last_line.startswith(b"{") and b"\x00" not in last_line
    for part in (complete, last_line):
        for _, record in parse_json_lines(part, path):
            if record is not None and _is_row(record):
                rows.append(record.fields)
            else:
                num_damaged += not (is_cut and part is last_line)
    return _Content(rows=rows, damaged_lines=num_damaged, content=content)


def _is_row(record: Record) -> bool:
    """Return whether a record is a row: a step, numbers by name, and groups of numbers by name."""
    values = dict(record.fields)
    step, groups = values.get("step"), [values.pop(name, {}) for name in _GROUPS]
    if not all(isinstance(group, dict) for group in groups):
        return False
    numbers = [value for group in (values, *groups) for value in group.values()]
    return (
        type(step) is int
        and 0 <= step < 2**63
        and all(number is None or type(number) in (int, float) for number in numbers)
    )


def is_on_plateau(row: Mapping[str, Any]) -> bool:
    """Return whether an evaluation shows an encoder that has not learned to use context.

    Encoders leave the unigram plateau suddenly, so the exact limit matters little: hidden tokens are
    predicted less than twice as well as by the most frequent piece. Where that piece is more than a third
    of the tokens, half of the way from its share to 100% counts instead.

    Args:
      row: evaluation row of metrics.jsonl. Those of older versions lack the share; the answer is then no.
    """
    accuracy, share = (row.get(f"eval_hidden_{name}") for name in ("accuracy", "baseline_accuracy"))
    if accuracy is None or share is None:
        return False
    return bool(accuracy < min(2 * share, (1 + share) / 2))
