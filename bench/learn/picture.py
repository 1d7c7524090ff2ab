"""Plot of the learning curves of `make learn`, for the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

_TITLES = {"fresh": "fresh weights", "continued": "continued from a published encoder"}
_COLOURS = {"lambert": "#1f6feb", "tf-models": "#d4731c"}


def draw(rows: Sequence[dict], path: Path) -> None:
    """Write an SVG of held-out accuracy over steps: a panel per half, a line per run."""
    halves = list(dict.fromkeys(row["half"] for row in rows))
    # A fixed salt makes the file reproducible.
    plt.rcParams.update({"svg.hashsalt": "learn", "svg.fonttype": "none", "font.size": 11})
    figure, axes = plt.subplots(1, len(halves), figsize=(5 * len(halves), 3.4), squeeze=False)
    for axis, half in zip(axes[0], halves, strict=True):
        labelled = set()
        for row in (row for row in rows if row["half"] == half):
            name = row["implementation"]
            steps, accuracies = zip(
                *((point["step"], point["mlm_accuracy"]) for point in row["curve"]), strict=True
            )
            axis.plot(
                steps,
                accuracies,
                color=_COLOURS[name],
                marker="o",
                markersize=3,
                linewidth=1.5,
                alpha=0.8,
                label=None if name in labelled else name,
            )
            labelled.add(name)
        axis.set_title(_TITLES[half], fontsize=11)
        axis.set_xlabel("step")
        axis.set_xlim(left=0)
        axis.set_ylim(bottom=0)
        axis.yaxis.set_major_locator(matplotlib.ticker.MultipleLocator(0.05))
        axis.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1, decimals=0))
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("held-out MLM accuracy")
    axes[0][0].legend(frameon=False, loc="lower right")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
