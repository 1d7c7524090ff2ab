"""The rows of metrics.jsonl."""

from __future__ import annotations

import json
import os

from data import files

METRICS_FILE = "metrics.jsonl"


def read_metrics(model_dir: str | os.PathLike) -> list[dict]:
    """The rows of metrics.jsonl up to the first line that is none, as a crash leaves the last."""
    path = files.join(model_dir, METRICS_FILE)
    if not files.exists(path):
        return []
    rows = []
    for line in files.read_bytes(path).decode(errors="replace").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            break
        if not isinstance(row, dict) or not isinstance(row.get("step"), int):
            break
        rows.append(row)
    return rows
