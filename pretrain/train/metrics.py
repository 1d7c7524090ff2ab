"""Means over the steps between two rows of metrics."""

from __future__ import annotations

import time

import numpy as np

_SUMS = ("loss_sum", "correct_sum", "weight_sum", "grad_norm_sum", "good_steps")


class Window:
    """Sums since the last row.

    They are saved with a checkpoint, so a run that goes on in the middle of a window writes the row
    that it would have written without the stop. The clock leaves out evaluation and saving.
    """

    def __init__(self, saved: dict | None = None):
        """`saved` is what `to_json` gave, or nothing."""
        names = (*_SUMS, "bad_steps", "seconds", "input_wait_seconds")
        self._sums = {**dict.fromkeys(names, 0), **(saved or {})}
        self.restart_clock()

    def to_json(self) -> dict:
        """All that a window is, for its constructor."""
        return dict(self._sums)

    @property
    def has_steps(self) -> bool:
        """Whether there is anything to take means of; bad steps do not count."""
        return self._sums["good_steps"] > 0

    def restart_clock(self) -> None:
        """Leaves out the time since the last call."""
        self._started = time.monotonic()

    def add(self, metrics) -> None:
        """Takes in the steps of a loop."""
        seconds = time.monotonic() - self._started
        added = {name: getattr(metrics, name) for name in _SUMS} | {
            "bad_steps": len(metrics.bad_steps),
            "seconds": seconds,
            # Measured on the devices, with a clock that may be set meanwhile.
            "input_wait_seconds": min(max(metrics.input_wait_seconds, 0.0), seconds),
        }
        for name, value in added.items():
            self._sums[name] += value
        self.restart_clock()

    def row(self, *, global_batch_size: int, accuracy: str = "mlm_accuracy") -> dict[str, float]:
        """Means over the good steps, of which there must be some, and what it cost.

        Args:
          global_batch_size: examples in a step.
          accuracy: what the share of right predictions is called.
        """
        sums = self._sums
        steps = sums["good_steps"] + sums["bad_steps"]
        return {
            "loss": sums["loss_sum"] / sums["weight_sum"],
            accuracy: sums["correct_sum"] / sums["weight_sum"],
            "grad_norm": sums["grad_norm_sum"] / sums["good_steps"],
            "bad_steps": sums["bad_steps"],
            "examples_per_second": steps * global_batch_size / sums["seconds"],
            "input_wait_fraction": sums["input_wait_seconds"] / sums["seconds"],
        }


def spread(name: str, values: list[float]) -> dict[str, float]:
    """Least, middle and greatest of some values, as columns of a row."""
    if not values:
        return {}
    functions = {"min": np.min, "median": np.median, "max": np.max}
    return {f"{name}_{key}": float(function(values)) for key, function in functions.items()}
