"""Flags, programs and results of runs that all rehearsals share."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.cli.parser import CommandParser
from data.errors import UserError
from pretrain.train.metrics_log import CLOCK_METRICS


def parser(prog: str, description: str) -> argparse.ArgumentParser:
    """Return a parser of the flags that all rehearsals have."""
    flags = CommandParser(
        prog=f"python -m {prog}",
        description=description,
    )
    flags.add_argument("--data_dir", required=True, help="small build, as of gin/data_tiny.gin")
    flags.add_argument("--work_dir", required=True, help="empty folder", metavar="W")
    flags.add_argument(
        "--gin_file", default="gin/lambert_tiny.gin", help="settings of the run", metavar="F"
    )
    flags.add_argument(
        "--gin_param",
        action="append",
        default=[],
        help="in addition to those of the rehearsal",
        metavar="P",
    )
    return flags


def empty_folder(work_dir: str) -> Path:
    """Return --work_dir as an absolute path, or raise a UserError if it has content."""
    folder = Path(work_dir).resolve()
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"--work_dir {folder}: must be empty; remove it or choose another one")
    return folder


def gin_flags(params: Sequence[str]) -> list[str]:
    """Return gin parameters as flags."""
    return [flag for param in params for flag in ("--gin_param", param)]


def run_module(module: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
    """Run one of our programs, or raise a UserError if it fails."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, env={**os.environ, **(environment or {})}, check=False)
    if done.returncode:
        raise UserError(f"{module} failed with exit code {done.returncode}; its output is above")


def export(model_dir: Path, target: Path) -> Path:
    """Export a run, and return the file of its weights."""
    run_module(
        *("pretrain.export", "--model_dir", str(model_dir)),
        *("--output_dir", str(target), "--hf_dir", f"{target}-hf"),
    )
    return Path(f"{target}-hf", "model.safetensors")


def metric_rows(model_dir: Path) -> list[dict[str, Any]]:
    """Return the rows of metrics.jsonl without the metrics that depend on the clock."""
    rows = map(json.loads, (model_dir / "metrics.jsonl").read_text().splitlines())
    return [{name: row[name] for name in row.keys() - CLOCK_METRICS} for row in rows]


def say(text: str) -> None:
    """Print a line of the rehearsal."""
    print(f"rehearsal: {text}", flush=True)
