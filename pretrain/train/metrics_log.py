"""The rows of metrics.jsonl."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

from data import files
from data.checked_json import MAX_BYTES, Record, keep_copy, parse_json_lines, read_at_most
from data.errors import UserError

METRICS_FILE = "metrics.jsonl"


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Content:
    """Sound rows of a file, whether other lines are damaged, and all bytes.

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
) -> None:
    """Drop the rows after `start_step`, whose steps are repeated, and damaged lines.

    A file with damaged lines is kept under another name. Lost rows are reported.

    Args:
      model_dir: model directory of the run.
      start_step: number of updates so far.
      last_row: step of the last row of training metrics before `start_step`; None if unknown.
    """
    path, found = files.join(model_dir, METRICS_FILE), _read(model_dir)
    kept = [row for row in found.rows if row["step"] <= start_step]
    if found.damaged_lines:
        copy = keep_copy(path, found.content)
        print(
            f"training: {path} has {found.damaged_lines:,} damaged lines; the other"
            f" {len(found.rows):,} rows are kept, and the damaged file is {copy}",
            flush=True,
        )
    last = max((row["step"] for row in kept if "loss" in row), default=0)
    if last_row is not None and last < last_row:
        print(f"training: {path} lacks rows of the steps {last + 1:,} to {last_row:,}", flush=True)
    files.write_atomically(path, "".join(f"{json.dumps(row)}\n" for row in kept).encode())


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
    """Return whether a record is a row: a step, and numbers or groups of numbers by name."""
    step, groups = record.fields.get("step"), [record.fields]
    groups += [value for value in record.fields.values() if isinstance(value, dict)]
    values = [v for group in groups for v in group.values() if not isinstance(v, dict)]
    return (
        type(step) is int
        and 0 <= step < 2**63
        and all(value is None or isinstance(value, (int, float)) for value in values)
    )
