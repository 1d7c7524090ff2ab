"""Runs of pretrain.run, watched from outside as a user sees them."""

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

_STEP = re.compile(r"(?:\[worker 0\] )?step ([\d,]+)/")
_LINES_OF_A_FAILURE = 15


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """A run that has ended.

    Attributes:
      shown: by step, when its line came, in seconds since the start of the command.
      rows: the training rows of metrics.jsonl.
    """

    shown: dict[int, float]
    rows: list[dict]


def timed_run(
    arguments: Sequence[str],
    model_dir: Path,
    *,
    workers: int = 1,
    cores: int | None = None,
    **train,
) -> Run:
    """Trains without evaluation, and notes when each line of a step comes.

    Args:
      arguments: of pretrain.run: gin files, data, parameters.
      model_dir: of the run; one that is there goes on.
      workers: of a cluster on this machine; 1 is no cluster.
      cores: how many of this machine's the command may use; None for all.
      **train: further settings, of TrainConfig.
    """
    arguments = [*arguments, "--mode", "train", "--model_dir", str(model_dir)]
    for name, value in train.items():
        arguments += ["--gin_param", f"TrainConfig.{name} = {value}"]
    command = [sys.executable, "-m", "pretrain.run", *arguments]
    if workers > 1:
        command = [sys.executable, "-m", "launch.local", f"--workers={workers}", "--", *arguments]
    print(f"bench: {' '.join(command[2:])}", flush=True)
    shown, lines = {}, []
    started = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        # Long before it has threads.
        os.sched_setaffinity(process.pid, sorted(os.sched_getaffinity(0))[:cores])
        for line in process.stdout:
            if found := _STEP.match(line):
                shown[int(found[1].replace(",", ""))] = time.perf_counter() - started
            lines.append(line)
    if process.returncode:
        sys.exit(f"bench: that failed:\n{''.join(lines[-_LINES_OF_A_FAILURE:])}")
    rows = map(json.loads, (model_dir / "metrics.jsonl").read_text().splitlines())
    return Run(shown=shown, rows=[row for row in rows if row["step"] in shown])
