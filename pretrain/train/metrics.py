"""Training metrics: means over the steps between two rows of metrics.jsonl."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from data.checked_json import Record
from pretrain.train.trainer import LoopMetrics, Trainer

_COUNTS = ("good_steps", "bad_steps")
_SUMS = ("loss_sum", "correct_sum", "weight_sum", "grad_norm_sum", "good_steps")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Workload:
    """Work of one update, by which steps per second become other rates.

    Attributes:
      examples: sequences in a global batch.
      tokens_per_example: length of a sequence.
      flops_per_example: FLOPs of one training sequence; needed with `peak_flops_per_second` only.
      peak_flops_per_second: peak FLOP/s of all devices; None if unknown, as on CPUs.
      accuracy: name of the accuracy in rows; None for models without one.
    """

    examples: int
    tokens_per_example: int
    flops_per_example: float = 0.0
    peak_flops_per_second: float | None = None
    accuracy: str | None = "mlm_accuracy"


class MetricAccumulator:
    """Sums over the steps since the last row.

    A checkpoint holds them, so a run that resumes between two rows writes the same row as an
    uninterrupted run. Evaluation and saving do not count as training time.
    """

    def __init__(self, saved: dict[str, Any] | None = None):
        """Start from nothing, or from what `to_json` returned."""
        names = (*_SUMS, "bad_steps", "seconds", "input_wait_seconds")
        self._sums = {name: (saved or {}).get(name, 0) for name in names}
        self.restart_clock()

    def to_json(self) -> dict[str, Any]:
        """Return the sums, for the constructor."""
        return dict(self._sums)

    @property
    def num_steps(self) -> int:
        """Number of steps since the last row."""
        return self._sums["good_steps"] + self._sums["bad_steps"]

    @property
    def has_steps(self) -> bool:
        """Whether there are good steps, so that means exist."""
        return self._sums["good_steps"] > 0

    def restart_clock(self) -> None:
        """Exclude the time since the last call from training time."""
        self._started = time.monotonic()

    def add(self, metrics: LoopMetrics) -> None:
        """Add the steps of one loop on the devices."""
        seconds = time.monotonic() - self._started
        added = {name: getattr(metrics, name) for name in _SUMS} | {
            "bad_steps": len(metrics.bad_steps),
            "seconds": seconds,
            # The devices measure it with the wall clock, which may be set meanwhile.
            "input_wait_seconds": min(max(metrics.input_wait_seconds, 0.0), seconds),
        }
        for name, value in added.items():
            self._sums[name] += value
        self.restart_clock()

    def means(self, workload: Workload) -> dict[str, float]:
        """Return means over the good steps, of which there must be some, and rates over all."""
        sums = self._sums
        steps = sums["good_steps"] + sums["bad_steps"]
        accuracy = {}
        if workload.accuracy:
            accuracy[workload.accuracy] = sums["correct_sum"] / sums["weight_sum"]
        return {
            "loss": sums["loss_sum"] / sums["weight_sum"],
            **accuracy,
            "grad_norm": sums["grad_norm_sum"] / sums["good_steps"],
            "bad_steps": sums["bad_steps"],
            "examples_per_second": steps * workload.examples / sums["seconds"],
            "input_wait_fraction": sums["input_wait_seconds"] / sums["seconds"],
        }


def read_notes(notes: Record) -> dict[str, Any]:
    """Return the notes of a commit record: `window`, what `MetricAccumulator.to_json` returned.

    Raises:
      DamagedRecord: a value has a wrong type.
    """
    window = notes.mapping("window", default=None)
    if window is None:
        return {}
    sums = {name: window.number(name) for name in window.fields if name not in _COUNTS}
    return {"window": sums | {name: window.integer(name, minimum=0) for name in _COUNTS}}


def training_row(
    accumulator: MetricAccumulator, trainer: Trainer, workload: Workload
) -> dict[str, Any]:
    """Return a row of metrics.jsonl for the accumulated steps.

    Args:
      accumulator: steps since the last row, at least one of them good.
      trainer: where the last update left the optimizer.
      workload: size of an update.
    """
    row: dict[str, Any] = {**accumulator.means(workload)}
    examples_per_second = row["examples_per_second"]
    ratios = trainer.trust_ratios()
    row["learning_rate"] = trainer.learning_rate
    row |= _spread("trust_ratio", list(ratios.values()))
    if ratios:
        row["trust_ratios"] = ratios
    row["tokens_per_second"] = examples_per_second * workload.tokens_per_example
    if workload.peak_flops_per_second:
        flops_per_second = examples_per_second * workload.flops_per_example
        row["peak_share"] = flops_per_second / workload.peak_flops_per_second
    return row


def _spread(name: str, values: list[float]) -> dict[str, float]:
    """Return minimum, median and maximum as columns of a row; none for no values."""
    if not values:
        return {}
    functions: dict[str, Callable[[list[float]], Any]] = {
        "min": np.min,
        "median": np.median,
        "max": np.max,
    }
    return {f"{name}_{key}": float(function(values)) for key, function in functions.items()}
