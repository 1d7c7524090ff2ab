"""Runs of pretrain.run, timed by the lines that they print."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

STEP_LINE = re.compile(r"(?:\[worker 0\] )?(?:\S+ INFO )?(?:worker 0: )?step ([\d,]+)/")
_ERROR_LINES = 15


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """Times and metrics of a run.

    Attributes:
      step_seconds: seconds from the start of the command to the line of each logged step.
      rows: training rows of metrics.jsonl.
    """

    step_seconds: dict[int, float]
    rows: list[dict]


def timed_run(
    arguments: Sequence[str],
    model_dir: Path,
    *,
    workers: int = 1,
    cores: int | None = None,
    **train,
) -> Run:
    """Train without evaluation, and record the time of each step's line.

    Args:
      arguments: flags of pretrain.run for gin files, data and parameters.
      model_dir: model directory; an existing run is resumed.
      workers: workers of a cluster on this machine; 1 means no cluster.
      cores: cores that the command may use; None means all.
      **train: further settings of TrainConfig.
    """
    arguments = [*arguments, "--mode", "train", "--model_dir", str(model_dir)]
    for name, value in train.items():
        arguments += ["--gin_param", f"TrainConfig.{name} = {value}"]
    command = [sys.executable, "-m", "pretrain.run", *arguments]
    if workers > 1:
        command = [sys.executable, "-m", "launch.local", f"--workers={workers}", "--", *arguments]
    print(f"bench: {' '.join(command[2:])}", flush=True)
    step_seconds, lines = {}, []
    started = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        # Immediately, before the command starts threads.
        os.sched_setaffinity(process.pid, sorted(os.sched_getaffinity(0))[:cores])
        for line in process.stdout:
            if match := STEP_LINE.match(line):
                step_seconds[int(match[1].replace(",", ""))] = time.perf_counter() - started
            lines.append(line)
    if process.returncode:
        sys.exit(f"bench: the run failed:\n{''.join(lines[-_ERROR_LINES:])}")
    rows = map(json.loads, (model_dir / "metrics.jsonl").read_text().splitlines())
    return Run(step_seconds=step_seconds, rows=[row for row in rows if row["step"] in step_seconds])
