"""Draw the figures of the page as SVG with the colours of the page's style sheet.

Matplotlib draws with placeholder colours, which become CSS variables in the SVG, so that one figure
suits light and dark mode. Text stays text.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from data.stages import accounting

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType
# Names of CSS variables. A placeholder colour is "#0a0b" and the index of the name in hexadecimal.
_NAMES = (
    *("ink", "grid", "train", "eval", "padding"),
    *("kept", "markup", "sections", "skipped", "rejected", "contaminated"),
    *("exact", "near", "paragraph"),
)
_COLOURS = {name: f"#0a0b{index:02x}" for index, name in enumerate(_NAMES)}
_WIDE, _HALF = 9.6, 4.7  # inches: the width of the page, and half of it
# Bars of the figure of bytes, in this order: label and prefix of the counters.
BYTES = {
    "kept": ("kept", "bytes_packed"),
    "markup": ("markup removed", accounting.MARKUP),
    "sections": ("sections removed", accounting.SECTIONS),
    "skipped": ("skipped", accounting.SKIPPED),
    "rejected": ("rejected", accounting.REJECTED),
    "contaminated": ("contaminated", accounting.CONTAMINATED),
    "exact": ("duplicate documents", f"bytes_{accounting.EXACT}"),
    "near": ("near-duplicate documents", f"bytes_{accounting.NEAR}"),
    "paragraph": ("duplicate paragraphs", f"bytes_{accounting.PARAGRAPH}"),
}


def bytes_by_source(outcomes: Mapping[str, Mapping[str, int]]) -> str:
    """Draw what became of the bytes of each source, as shares: one bar per source.

    Args:
      outcomes: `accounting.outcomes` in bytes, by source.
    """
    sources = list(outcomes)
    totals = np.array([sum(counts.values()) for counts in outcomes.values()], np.int64)

    def draw(axes: Axes) -> None:
        left = np.zeros(len(sources))
        for name, (label, prefix) in BYTES.items():
            amount = [
                sum(n for counter, n in counts.items() if counter.startswith(prefix))
                for counts in outcomes.values()
            ]
            if not any(amount):
                continue
            share = 100 * np.array(amount) / np.maximum(totals, 1)
            axes.barh(sources, share, left=left, color=_COLOURS[name], label=label, height=0.62)
            left += share
        axes.set_yticks(
            range(len(sources)),
            [f"{s}\n{_short_bytes(n)}" for s, n in zip(sources, totals, strict=True)],
        )
        axes.invert_yaxis()
        axes.set_xlim(0, 100)
        axes.set_xlabel("share of the bytes of a source (%)")
        axes.legend(ncols=4, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.4)
        axes.grid(axis="x")

    return _svg("bytes", draw, width=_WIDE, height=1.25 + 0.55 * len(sources))


def lengths(counts: Mapping[str, Sequence[int]], *, unit: str, whole: bool = True) -> str:
    """Draw a histogram of lengths in bins of accounting.BIN_TOKENS, with the splits stacked.

    Args:
      counts: count of each bin, by split.
      unit: "sentence" or "sequence".
      whole: whether the axis extends to the greatest length; else the last 0.5% are one bar.
    """
    step = accounting.BIN_TOKENS
    cumulative = np.cumsum(np.sum(list(counts.values()), axis=0))
    limit = cumulative[-1] if whole else 0.995 * cumulative[-1]
    num_bins = int(np.searchsorted(cumulative, limit)) + 1
    is_open = num_bins == len(cumulative) or cumulative[num_bins - 1] < cumulative[-1]

    def draw(axes: Axes) -> None:
        bottom = np.zeros(num_bins)
        for split, bins in counts.items():
            height = np.append(bins[: num_bins - 1], sum(bins[num_bins - 1 :]))
            axes.bar(
                np.arange(num_bins) * step,
                height,
                0.92 * step,
                bottom,
                align="edge",
                color=_COLOURS[split],
                label=split,
            )
            bottom += height
        last = f"\n(the last bar: {(num_bins - 1) * step} and more)" if is_open else ""
        axes.set_xlabel(f"tokens in a {unit}, in bars of {step}{last}")
        axes.set_ylabel(f"{unit}s")
        _thousands(axes.yaxis)
        axes.legend(loc="upper left" if bottom.argmax() > num_bins / 2 else "upper right")
        axes.grid(axis="y")

    return _svg(f"lengths of {unit}", draw, width=_HALF, height=3.1)


def shards(
    names: Sequence[str], tokens: Sequence[int], separators: Sequence[int], padding: Sequence[int]
) -> str:
    """Draw what the positions of each shard hold, which shows skew between shards.

    Args:
      names: name of each shard, like "eval 0"; the split selects the colour.
      tokens: text tokens of each shard.
      separators: [CLS] and [SEP] of each shard.
      padding: empty positions of each shard.
    """
    x = np.arange(len(names))
    filled = np.array(tokens) + np.array(separators)

    def draw(axes: Axes) -> None:
        for split in ("train", "eval"):
            chosen = np.array([name.startswith(split) for name in names])
            if chosen.any():
                label = f"tokens, [CLS], [SEP] ({split})"
                axes.bar(x[chosen], filled[chosen], 0.8, color=_COLOURS[split], label=label)
        axes.bar(x, padding, 0.8, bottom=filled, color=_COLOURS["padding"], label="padding")
        if len(names) <= 24:
            axes.set_xticks(x, [name.replace(" ", "\n") for name in names])
            axes.set_xlabel("shard")
        else:
            axes.set_xlabel(f"shard ({names[0]} first, {names[-1]} last)")
        axes.set_xlim(-0.6, len(names) - 0.4)
        axes.set_ylabel("positions")
        _thousands(axes.yaxis)
        axes.legend(ncols=3, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.4)
        axes.grid(axis="y")

    return _svg("shards", draw, width=_WIDE, height=3.0)


def by_source(amounts: Mapping[str, int], *, unit: str) -> str:
    """Draw one bar per source, with its number."""

    def draw(axes: Axes) -> None:
        bars = axes.barh(list(amounts), list(amounts.values()), 0.62, color=_COLOURS["kept"])
        axes.bar_label(bars, [f"{n:,}" for n in amounts.values()], padding=4)
        axes.invert_yaxis()
        axes.margins(x=0.25)
        axes.set_xlabel(unit)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        _thousands(axes.xaxis)
        axes.grid(axis="x")

    return _svg(f"sources, {unit}", draw, width=_HALF, height=1.0 + 0.36 * len(amounts))


def frequencies(counts: np.ndarray) -> str:
    """Draw the frequency of pieces by rank, with logarithmic axes.

    Args:
      counts: counts of the pieces that occur, in descending order.
    """

    def draw(axes: Axes) -> None:
        axes.loglog(np.arange(1, len(counts) + 1), counts, color=_COLOURS["kept"], linewidth=2)
        axes.set_xlabel("rank of the piece (1 is the most frequent)")
        axes.set_ylabel("times it occurs")
        for axis in (axes.xaxis, axes.yaxis):
            _thousands(axis)
        axes.grid(which="major")

    return _svg("frequencies", draw, width=_HALF, height=3.4)


def _short_bytes(amount: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if amount >= size:
            return f"{amount / size:.1f} {unit}"
    return f"{amount} bytes"


def _short(value: float, position: int | None = None) -> str:
    """Return an axis label like 1,500 or 2M, never 1e6."""
    del position
    for letter, size in (("B", 1e9), ("M", 1e6)):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:,.0f}" if value >= 1 or value == 0 else f"{value:g}"


def _thousands(axis: Axis) -> None:
    axis.set_major_formatter(FuncFormatter(_short))


def _svg(name: str, draw: Callable[[Axes], None], *, width: float, height: float) -> str:
    """Draw on new axes and return a self-contained <svg> element."""
    ink, grid = _COLOURS["ink"], _COLOURS["grid"]
    settings: dict[RcKeyType, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,  # ids are the same in every run, and differ between figures
        "font.family": "sans-serif",
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.edgecolor": grid,
        "grid.color": grid,
        "grid.linewidth": 0.6,
        "legend.frameon": False,
        "legend.handlelength": 1.0,
        "legend.handleheight": 1.0,
        "xtick.color": grid,
        "ytick.color": grid,
        "text.color": ink,
        "axes.labelcolor": ink,
        "xtick.labelcolor": ink,
        "ytick.labelcolor": ink,
    }
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure.add_subplot())
        file = io.StringIO()
        no_metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=no_metadata)
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", svg)  # unused, and not unique on the page
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*pt"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*pt"', r"\1", svg, count=1)
    return re.sub("#0a0b([0-9a-f]{2})", lambda m: f"var(--{_NAMES[int(m[1], 16)]})", svg)
