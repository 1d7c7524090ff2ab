"""Pages about runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data.files import join, write_atomically
from pretrain.report.html import page_of
from pretrain.report.run_record import read_record

REPORT_FILE = "report.html"
MOST_RUNS = 8  # more colours could not be told apart


def write_report(model_dirs: Sequence[str], output_file: str) -> None:
    """Writes the page.

    Raises:
      UserError: see `read_record`.
    """
    names = [Path(model_dir).resolve().name for model_dir in model_dirs]
    if len(set(names)) < len(names):
        names = list(map(str, model_dirs))
    records = [read_record(*pair) for pair in zip(model_dirs, names, strict=True)]
    write_atomically(output_file, page_of(records).encode())


def write_run_report(model_dir: str) -> None:
    """Write the page of one model directory into it."""
    write_report([model_dir], join(model_dir, REPORT_FILE))
