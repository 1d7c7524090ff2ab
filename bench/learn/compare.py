"""Comparison of two trainers by pairs of runs that start from the same weights.

The end of the unigram plateau comes suddenly and at another step for each seed, so single runs differ
by points. The difference of a pair has less of this chance, and the interval over all pairs says how
much is left.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence

from scipy import stats

LAMBERT, TF_MODELS = "lambert", "tf-models"
NO_QUERY_GRADIENTS = "lambert without query gradients"  # the control, which must be found worse
PLATEAU_MULTIPLE = 2  # hidden accuracy over the share of the most frequent piece at the departure
_CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean of paired differences and its confidence interval."""

    mean: float
    low: float
    high: float


def paired_difference(ours: Sequence[float], theirs: Sequence[float]) -> Interval:
    """Return the mean of ours - theirs with its 95% interval (Student's t).

    Args:
      ours: a figure of our runs, by seed; at least two.
      theirs: the same of the runs that they are paired with.
    """
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    mean, spread = statistics.fmean(differences), statistics.stdev(differences)
    quantile = stats.t.ppf((1 + _CONFIDENCE) / 2, len(differences) - 1)
    half = float(quantile) * spread / math.sqrt(len(differences))
    return Interval(mean=mean, low=mean - half, high=mean + half)


def reached_at(curve: Sequence[dict], accuracy: float, clock: str) -> float:
    """Return when held-out hidden accuracy first reached a value, interpolated; infinity if never.

    Args:
      curve: evaluations of a run.
      accuracy: value to reach.
      clock: "step" or "cpu_seconds".
    """
    before = {"hidden_accuracy": 0.0, clock: 0.0}
    for point in curve:
        if point["hidden_accuracy"] >= accuracy:
            gained = point["hidden_accuracy"] - before["hidden_accuracy"]
            share = (accuracy - before["hidden_accuracy"]) / gained
            return before[clock] + share * (point[clock] - before[clock])
        before = point
    return math.inf


def figures(row: dict) -> dict[str, float]:
    """Return the compared figures of a run: accuracy in percent, loss in nats, and departure."""
    departure = PLATEAU_MULTIPLE * row["most_frequent_piece"]
    return {
        "hidden accuracy, %": 100 * row["held_out_hidden_accuracy"],
        "loss": row["held_out_loss"],
        "departure, step": reached_at(row["curve"], departure, "step"),
        "departure, CPU s": reached_at(row["curve"], departure, "cpu_seconds"),
    }


def comparison(rows: Sequence[dict]) -> str:
    """Format all runs by seed, the paired differences from tf-models, and the verdicts.

    Ours passes if the interval of its difference in hidden accuracy does not lie below 0. That says
    something only if the control fails the same test.

    Args:
      rows: rows of the first part, with the same seeds for all implementations.
    """
    names = list(figures(rows[0]))
    runs = {
        name: [figures(row) for row in rows if row["implementation"] == name]
        for name in dict.fromkeys(row["implementation"] for row in rows)
    }
    lines = [f"  {'':<34}" + "".join(f"{name:>26}" for name in names)]
    for implementation, columns in runs.items():
        for seed, values in enumerate(columns):
            title = implementation if seed == 0 else ""
            lines.append(f"  {title:<34}" + "".join(_cell(values[name]) for name in names))
    for implementation in (LAMBERT, NO_QUERY_GRADIENTS):
        if implementation in runs and len(runs[TF_MODELS]) > 1:
            lines.append(_differences(implementation, runs, names))
            lines.append(f"  {'':<34}" + _verdict(implementation, runs, names[0]))
    return "\n".join(lines)


def _differences(implementation: str, runs: dict[str, list[dict]], names: Sequence[str]) -> str:
    cells = "".join(_difference_cell(implementation, runs, name) for name in names)
    return f"  {'difference from tf-models':<34}{cells}"


def _verdict(implementation: str, runs: dict[str, list[dict]], name: str) -> str:
    is_worse = _difference(implementation, runs, name).high < 0
    if implementation == NO_QUERY_GRADIENTS:
        return f"the control is found worse: {'reached' if is_worse else 'MISSED'}"
    return f"ours is not found worse: {'MISSED' if is_worse else 'reached'}"


def _difference(implementation: str, runs: dict[str, list[dict]], name: str) -> Interval:
    ours, theirs = ([run[name] for run in runs[key]] for key in (implementation, TF_MODELS))
    return paired_difference(ours, theirs)


def _difference_cell(implementation: str, runs: dict[str, list[dict]], name: str) -> str:
    if any(math.isinf(run[name]) for key in (implementation, TF_MODELS) for run in runs[key]):
        return f"{'-':>26}"  # a run that never left the plateau
    interval = _difference(implementation, runs, name)
    return f"{interval.mean:+.3g} ({interval.low:+.3g}, {interval.high:+.3g})".rjust(26)


def _cell(value: float) -> str:
    return f"{'never':>26}" if math.isinf(value) else f"{value:>26,.4g}"
