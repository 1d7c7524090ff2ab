"""Plot of the learning curves of `make learn`, for the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

from bench.learn import continued, fresh
from bench.learn.compare import LAMBERT, NO_QUERY_GRADIENTS, TF_MODELS

_TITLES = {"fresh": fresh.TITLE, "continued": continued.TITLE}
_COLOURS = {LAMBERT: "#1f6feb", TF_MODELS: "#d4731c", NO_QUERY_GRADIENTS: "#8b949e"}


def draw(rows: Sequence[dict], path: Path) -> None:
    """Write an SVG of held-out accuracy on hidden tokens over steps: a panel per part, a line per run."""
    parts = [part for part in _TITLES if any(row["part"] == part for row in rows)]
    if not parts:
        return
    # A fixed salt makes the file reproducible.
    plt.rcParams.update({"svg.hashsalt": "learn", "svg.fonttype": "none", "font.size": 11})
    figure, axes = plt.subplots(1, len(parts), figsize=(5 * len(parts), 3.4), squeeze=False)
    for axis, part in zip(axes[0], parts, strict=True):
        _draw_part(axis, [row for row in rows if row["part"] == part])
        axis.set_title(_TITLES[part], fontsize=11)
    axes[0][0].set_ylabel("held-out accuracy, hidden tokens")
    axes[0][0].set_ylim(top=1.3 * axes[0][0].get_ylim()[1])  # room for the legend
    axes[0][0].legend(frameon=False, loc="upper left", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _draw_part(axis: plt.Axes, rows: Sequence[dict]) -> None:
    labelled = set()
    for row in rows:
        name = row["implementation"]
        steps, accuracies = zip(
            *((point["step"], point["hidden_accuracy"]) for point in row["curve"]), strict=True
        )
        label = None if name in labelled else name
        axis.plot(steps, accuracies, color=_COLOURS[name], linewidth=1.5, alpha=0.8, label=label)
        labelled.add(name)
    if share := rows[0].get("most_frequent_piece"):
        axis.axhline(share, color="0.6", linestyle=":", label="most frequent token")
    axis.set_xlabel("step")
    axis.set_xlim(left=0)
    axis.set_ylim(bottom=0)
    axis.yaxis.set_major_locator(matplotlib.ticker.MultipleLocator(0.05))
    axis.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1, decimals=0))
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
