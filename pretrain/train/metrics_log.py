"""The rows of metrics.jsonl."""

from __future__ import annotations

import json
import os
from typing import Any

from data import files

METRICS_FILE = "metrics.jsonl"


def read_metrics(model_dir: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return the rows of metrics.jsonl before the first malformed one; a crash may cut the last."""
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
