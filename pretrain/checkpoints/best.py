"""Record which step of a run did best on held-out data."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping

from data import files
from data.checked_json import read_json

BEST_FILE = "best.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Criterion:
    """Metric that decides which of two evaluations is better.

    Attributes:
      metric: column of the evaluation rows in metrics.jsonl.
      is_more_better: whether larger values are better.
    """

    metric: str = "eval_loss"
    is_more_better: bool = False

    @property
    def name(self) -> str:
        """Name of the metric in best.json."""
        return self.metric.removeprefix("eval_")

    def is_better(self, one: float, other: float) -> bool:
        """Return whether the first value is better than the second."""
        return one > other if self.is_more_better else one < other


LEAST_LOSS = Criterion()


def record_best(
    model_dir: str | os.PathLike[str],
    step: int,
    metrics: Mapping[str, float],
    criterion: Criterion = LEAST_LOSS,
) -> bool:
    """Record a step if it did better on held-out data than all before; ties keep the earlier step.

    A record of this step or a later one dates from before a restart, whose steps are repeated: it
    is replaced.

    Args:
      model_dir: model directory of the run.
      step: step that was evaluated.
      metrics: its metrics, the criterion's among them.
      criterion: what makes an evaluation better.

    Returns:
      Whether the step is the best so far. NaN and Inf never are.

    Raises:
      UserError: best.json is damaged.
    """
    value, best = metrics[criterion.metric], _read(model_dir)
    if not math.isfinite(value):
        return False
    if best and best[0] < step and not criterion.is_better(value, best[1]):
        return False
    content = json.dumps({"step": step, criterion.name: value})
    files.write_atomically(files.join(model_dir, BEST_FILE), content.encode())
    return True


def best_step(model_dir: str | os.PathLike[str]) -> int | None:
    """Return the recorded step, or None if no evaluation was recorded.

    Raises:
      UserError: best.json is damaged.
    """
    best = _read(model_dir)
    return best and best[0]


def _read(model_dir: str | os.PathLike[str]) -> tuple[int, float] | None:
    """Return step and value of the record."""
    try:
        best = read_json(files.join(model_dir, BEST_FILE), remedy="delete it")
    except FileNotFoundError:
        return None
    names = best.fields.keys() - {"step"}
    if len(names) != 1:
        raise best.damaged(f"it has {len(names)} values, must have one")
    return best.integer("step", minimum=0), best.number(names.pop())
