"""Write report pages of fine-tuning: one for each seed, and one for all seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from data import files
from finetune.config import FinetuneRunConfig
from finetune.report.html import page_of_seed, page_of_seeds
from finetune.seed_files import read_scores, read_task_data
from pretrain.report.pages import MAX_RUNS, REPORT_FILE
from pretrain.report.run_record import RunRecord, read_record


def write_seed_report(model_dir: str) -> None:
    """Write report.html of a seed, finished or not.

    Args:
      model_dir: model directory of the seed.

    Raises:
      UserError: see `read_record`.
    """
    record = _read_record(model_dir, Path(model_dir).name)
    page = page_of_seed(record, read_scores(model_dir))
    files.write_atomically(files.join(model_dir, REPORT_FILE), page.encode())


def write_report(model_dir: str, summary: dict[str, Any]) -> None:
    """Write report.html of all seeds in a model directory.

    Args:
      model_dir: directory with the model directories of the seeds.
      summary: content of summary.json, see `finetune.summary.summarize`.

    Raises:
      UserError: see `read_record`.
    """
    names = [f"seed-{seed['seed']}" for seed in summary["seeds"][:MAX_RUNS]]
    records = [_read_record(files.join(model_dir, name), name) for name in names]
    page = page_of_seeds(Path(model_dir).resolve().name, summary, records)
    files.write_atomically(files.join(model_dir, REPORT_FILE), page.encode())


def _read_record(model_dir: str, name: str) -> RunRecord:
    return read_record(model_dir, name, FinetuneRunConfig, read_data=read_task_data)
