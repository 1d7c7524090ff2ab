"""Draw curves as HTML: lines in a stretched SVG, labels as text of fixed size.

A figure fits screens of any width, and its colours come from the style sheet of the page. Hovering
shows the values at that step.
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from data.view.page import escape, figure

_WIDTH, _HEIGHT = 1000, 400  # SVG units; the page stretches them
STYLE_FILE = Path(__file__).with_name("report.css")
_MAX_POINTS, _MAX_COLUMNS = 600, 120

Point = tuple[float, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curve:
    """A line of a figure.

    Attributes:
      label: name in the legend.
      points: (step, value) in ascending order of steps.
      colour: CSS colour.
      style: "line", "dots" (a line with a dot at each point), "faint" or "dashed".
      is_listed: whether the legend lists it.
    """

    label: str
    points: Sequence[Point]
    colour: str
    style: str = "line"
    is_listed: bool = True


def plot(
    caption: str,
    curves: Sequence[Curve],
    *,
    show: Callable[[float], str],
    log: bool = False,
    from_zero: bool = False,
    end: float | None = None,
    x_name: str = "step",
    x_marks: Sequence[float] = (),
) -> str:
    """Return a figure of curves; empty text if no curve has points.

    Args:
      caption: quantity and unit.
      curves: curves to draw; those without points are skipped.
      show: function that formats a value.
      log: logarithmic y axis; values that are not positive are skipped.
      from_zero: start the y axis at 0.
      end: end of the x axis; None for the end of the curves.
      x_name: quantity of the x axis.
      x_marks: ticks of a logarithmic x axis, ascending; empty for a linear axis from 0.
    """
    curves = [
        dataclasses.replace(curve, points=downsample(points))
        for curve in curves
        if (points := [(x, y) for x, y in curve.points if math.isfinite(y) and (y > 0 or not log)])
    ]
    if not curves:
        return ""
    xs = [x for curve in curves for x, _ in curve.points]
    ys = [y for curve in curves for _, y in curve.points]
    x_axis = (
        _Axis(x_marks[0], x_marks[-1], log=True) if x_marks else _Axis(0, max(*xs, end or 0, 1))
    )
    y_ticks = log_ticks(min(ys), max(ys)) if log else ticks(0 if from_zero else min(ys), max(ys))
    y_axis = _Axis(y_ticks[0], y_ticks[-1], log)
    x_ticks = x_marks or [tick for tick in ticks(0, x_axis.stop, 4) if tick <= x_axis.stop]
    parts = [
        *_legend(curves),
        '<div class="plot">',
        *_svg(curves, x_axis, y_axis, y_ticks, show, x_name),
        *(
            f'<span class="y" style="bottom:{y_axis(t):.2%}">{_tick_label(show(t))}</span>'
            for t in y_ticks
        ),
        *(f'<span class="x" style="left:{x_axis(t):.2%}">{t:,.0f}</span>' for t in x_ticks),
        "</div>",
    ]
    return figure(caption, "".join(parts))


@dataclasses.dataclass(frozen=True)
class _Axis:
    """Maps values to fractions of an axis."""

    start: float
    stop: float
    log: bool = False

    def __call__(self, value: float) -> float:
        start, stop = self.start, self.stop
        if self.log:
            value, start, stop = math.log(value), math.log(start), math.log(stop)
        return (value - start) / (stop - start)


def ticks(start: float, stop: float, most: int = 5) -> list[float]:
    """Return evenly spaced round values that enclose [start, stop]."""
    if start == stop:
        start, stop = (start - 1, stop + 1) if start else (0, 1)
    rough = (stop - start) / most
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= rough * (1 - 1e-9))
    first, last = math.floor(start / step + 1e-9), math.ceil(stop / step - 1e-9)
    return [index * step for index in range(first, last + 1)]


def log_ticks(start: float, stop: float) -> list[float]:
    """Return powers of ten that enclose [start, stop]; for a short range, 2 and 5 times these too."""
    first, last = math.floor(math.log10(start)), math.ceil(math.log10(stop))
    if last - first <= 2:
        fine = [m * 10.0**power for power in range(first, last + 1) for m in (1, 2, 5)]
        low = max((t for t in fine if t <= start), default=fine[0])
        high = min((t for t in fine if t >= stop and t > low), default=10.0 ** (last + 1))
        return [t for t in fine if low <= t <= high] or [low, high]
    every = -(-(last - first) // 5)
    # Beyond the largest float there is no power.
    powers = [min(power, sys.float_info.max_10_exp) for power in range(first, last + every, every)]
    return [10.0**power for power in dict.fromkeys(powers)]


def downsample(points: Sequence[Point]) -> list[Point]:
    """Reduce points to at most 600, keeping the minimum and maximum of each bin, so that peaks remain."""
    if len(points) <= _MAX_POINTS:
        return list(points)
    size = -(-len(points) // (_MAX_POINTS // 2))
    extremes = []
    for start in range(0, len(points), size):
        part = points[start : start + size]
        extremes += sorted({min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1])})
    return extremes


def _tick_label(text: str) -> str:
    """Return the label of a tick without trailing zeros: 9 for 9.000, 20% for 20.0%."""
    return escape(re.sub(r"\.?0+(?=%?$)", "", text) if "." in text else text)


def _legend(curves: Sequence[Curve]) -> Iterator[str]:
    listed = [curve for curve in curves if curve.is_listed]
    if len(listed) < 2:
        return
    yield '<p class="legend">'
    for curve in listed:
        yield f'<span><i class="{curve.style}" style="color:{curve.colour}"></i>'
        yield f"{escape(curve.label)}</span>"
    yield "</p>"


def _svg(
    curves: Sequence[Curve],
    x_axis: _Axis,
    y_axis: _Axis,
    y_ticks: Sequence[float],
    show: Callable[[float], str],
    x_name: str,
) -> Iterator[str]:
    def coordinates(point: Point) -> str:
        return f"{x_axis(point[0]) * _WIDTH:.1f} {(1 - y_axis(point[1])) * _HEIGHT:.1f}"

    yield f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none">'
    rules = "".join(f"M0 {(1 - y_axis(t)) * _HEIGHT:.1f}H{_WIDTH}" for t in y_ticks)
    yield f'<path class="rules" d="{rules}"/>'
    for curve in curves:
        line = "M" + "L".join(map(coordinates, curve.points))
        yield f'<path class="{curve.style}" style="stroke:{curve.colour}" d="{line}"/>'
        if curve.style == "dots" or len(curve.points) == 1:
            dots = "".join(f"M{coordinates(point)}h0" for point in curve.points)
            yield f'<path class="dot" style="stroke:{curve.colour}" d="{dots}"/>'
    yield from _columns(curves, x_axis, show, x_name)
    yield "</svg>"


def _columns(
    curves: Sequence[Curve], x_axis: _Axis, show: Callable[[float], str], x_name: str
) -> Iterator[str]:
    """Yield invisible columns around steps, whose titles are the values of the curves there."""
    steps = sorted({x for curve in curves for x, _ in curve.points})
    steps = steps[:: -(-len(steps) // _MAX_COLUMNS)]
    borders = [(a + b) / 2 for a, b in itertools.pairwise(steps)]
    for step, left, right in zip(
        steps, [x_axis.start, *borders], [*borders, x_axis.stop], strict=True
    ):
        lines = [f"{x_name} {step:,.0f}"]
        for curve in curves:
            index = bisect.bisect_right(curve.points, (step, math.inf)) - 1
            if index >= 0 and left <= curve.points[index][0] <= right:
                lines.append(f"{curve.label} {show(curve.points[index][1])}")
        x, width = x_axis(left) * _WIDTH, (x_axis(right) - x_axis(left)) * _WIDTH
        title = escape("\n".join(lines))
        yield f'<rect x="{x:.1f}" y="0" width="{width:.1f}" height="{_HEIGHT}"><title>{title}'
        yield "</title></rect>"
