"""The pictures of the page, as SVG whose colours the page's style sheet decides.

Matplotlib draws with colours that stand for names; in the SVG they become CSS variables, so that
one picture is right in light and in dark mode. Text stays text.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from data.stages import accounting

# Names of CSS variables. A colour is "#0a0b" and the place of its name, in hexadecimal.
_NAMES = (
    *("ink", "grid", "train", "eval", "padding"),
    *("kept", "markup", "sections", "skipped", "rejected", "contaminated"),
    *("exact", "near", "paragraph"),
)
_COLOURS = {name: f"#0a0b{place:02x}" for place, name in enumerate(_NAMES)}
_WIDE, _HALF = 9.6, 4.7  # inches: the width of the page, and half of it
# What the picture of the bytes shows, in this order: counters by the start of their names.
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
    """Where the bytes of each source went: one bar a source, as shares of it.

    Args:
      outcomes: `accounting.outcomes` in bytes, by source.
    """
    sources = list(outcomes)
    totals = np.array([sum(found.values()) for found in outcomes.values()], np.int64)

    def draw(axes: Axes) -> None:
        left = np.zeros(len(sources))
        for name, (label, start) in BYTES.items():
            amount = [
                sum(n for counter, n in found.items() if counter.startswith(start))
                for found in outcomes.values()
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
    """A histogram of lengths in bins of accounting.BIN_TOKENS, the splits on top of each other.

    Args:
      counts: of each bin, by split.
      unit: what has a length: "sentence" or "sequence".
      whole: whether the axis goes to the greatest length; else the last 0.5% are one bar.
    """
    step = accounting.BIN_TOKENS
    reached = np.cumsum(np.sum(list(counts.values()), axis=0))
    enough = reached[-1] if whole else 0.995 * reached[-1]
    num_bins = int(np.searchsorted(reached, enough)) + 1
    is_open = num_bins == len(reached) or reached[num_bins - 1] < reached[-1]

    def draw(axes: Axes) -> None:
        bottom = np.zeros(num_bins)
        for split, of_split in counts.items():
            height = np.append(of_split[: num_bins - 1], sum(of_split[num_bins - 1 :]))
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
    """What the positions of each shard hold: a shard that sticks out is skew.

    Args:
      names: of the shards, like "eval 0"; the split decides the colour.
      tokens: text tokens of each.
      separators: [CLS] and [SEP] of each.
      padding: empty positions of each.
    """
    place = np.arange(len(names))
    filled = np.array(tokens) + np.array(separators)

    def draw(axes: Axes) -> None:
        for split in ("train", "eval"):
            chosen = np.array([name.startswith(split) for name in names])
            if chosen.any():
                label = f"tokens, [CLS], [SEP] ({split})"
                axes.bar(place[chosen], filled[chosen], 0.8, color=_COLOURS[split], label=label)
        axes.bar(place, padding, 0.8, bottom=filled, color=_COLOURS["padding"], label="padding")
        if len(names) <= 24:
            axes.set_xticks(place, [name.replace(" ", "\n") for name in names])
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
    """One bar a source, with its number."""

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
    """How often the piece of each rank occurs, both axes logarithmic.

    Args:
      counts: of the pieces that occur, in falling order.
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
    """Numbers on an axis: 1,500 or 2M, never 1e6."""
    del position
    for letter, size in (("B", 1e9), ("M", 1e6)):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:,.0f}" if value >= 1 or value == 0 else f"{value:g}"


def _thousands(axis) -> None:
    axis.set_major_formatter(FuncFormatter(_short))


def _svg(name: str, draw: Callable[[Axes], None], *, width: float, height: float) -> str:
    """Draws on new axes; returns an <svg> element that needs nothing from outside."""
    ink, grid = _COLOURS["ink"], _COLOURS["grid"]
    settings = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,  # so that ids repeat from run to run, not from picture to picture
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
        **dict.fromkeys(("text.color", "axes.labelcolor"), ink),
        **{f"{axis}tick.labelcolor": ink for axis in "xy"},
    }
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure.add_subplot())
        file = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", svg)  # nobody refers to these, and they repeat
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*pt"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*pt"', r"\1", svg, count=1)
    return re.sub("#0a0b([0-9a-f]{2})", lambda m: f"var(--{_NAMES[int(m[1], 16)]})", svg)
