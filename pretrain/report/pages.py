"""Write report pages of model directories."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data.files import join, write_atomically
from pretrain.report.html import render_page
from pretrain.report.run_record import read_record

REPORT_FILE = "report.html"
MAX_RUNS = 8  # more colours are hard to distinguish


def write_report(model_dirs: Sequence[str], output_file: str) -> None:
    """Write a page about one run, or a comparison of several.

    Raises:
      UserError: see `read_record`.
    """
    names = [Path(model_dir).resolve().name for model_dir in model_dirs]
    if len(set(names)) < len(names):
        names = list(map(str, model_dirs))
    records = [read_record(*pair) for pair in zip(model_dirs, names, strict=True)]
    write_atomically(output_file, render_page(records).encode())


def write_run_report(model_dir: str) -> None:
    """Write report.html of a run into its model directory."""
    write_report([model_dir], join(model_dir, REPORT_FILE))
