"""Draw the curves of a report, for one run or several side by side."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from data.view.page import short
from pretrain.report.curves import Curve, plot
from pretrain.report.run_record import RunRecord

# Display names of the groups of pretrain.train.evaluation; sources keep their names.
GROUP_NAMES = {
    "": "all",
    "mixed": "mixed sources",
    "same_document": "one document",
    "cross_boundary": "across documents",
}


def held_out_figures(records: Sequence[RunRecord]) -> Iterator[str]:
    """Yield loss and accuracy, with training loss; for one run, also loss by group."""
    several = len(records) > 1
    runs = with_colours(records)
    losses = [curve for run in runs for curve in _losses(*run, several=several)]
    accuracies = [curve for run in runs for curve in _accuracies(*run, several=several)]
    groups = [] if several else _by_group(records[0])
    thin, dashed = (" (thin: training)", " (dashed: hidden tokens)") if several else ("", "")
    yield from two_columns(
        [
            plot(f"Loss, in nats{thin}", losses, show=three_decimals),
            plot(f"Held-out accuracy{dashed}", accuracies, show=percent, from_zero=True),
            plot("Held-out loss by source and boundary", groups, show=three_decimals),
        ]
    )


def _losses(colour: str, record: RunRecord, *, several: bool) -> list[Curve]:
    """Return training and held-out loss, in two colours or in that of the run."""
    training = Curve(
        label=f"{record.name}, training" if several else "training",
        points=points_of(record.training, "loss"),
        colour=colour if several else "var(--train)",
        style="faint",
        is_listed=not several,
    )
    held_out = Curve(
        label=record.name if several else "held out",
        points=points_of(record.evaluations, "eval_loss"),
        colour=colour if several else "var(--eval)",
        style="dots",
    )
    return [training, held_out]


def _accuracies(colour: str, record: RunRecord, *, several: bool) -> list[Curve]:
    """Return accuracy on all predictions and on hidden tokens; for one run, also of a constant guess."""
    everything = Curve(
        label=record.name if several else "all predictions",
        points=points_of(record.evaluations, "eval_mlm_accuracy"),
        colour=colour,
        style="dots",
    )
    hidden = Curve(
        label=f"{record.name}, hidden tokens" if several else "hidden tokens",
        points=points_of(record.evaluations, "eval_hidden_accuracy"),
        colour=colour,
        style="dashed",
        is_listed=not several,
    )
    constant = Curve(
        label="always the most frequent token",
        points=[] if several else points_of(record.evaluations, "eval_baseline_accuracy"),
        colour="var(--soft)",
        style="faint",
    )
    return [everything, hidden, constant]


def _by_group(record: RunRecord) -> list[Curve]:
    keys = dict.fromkeys(
        key for row in record.evaluations for key in row if key.startswith("eval_loss/")
    )
    return [
        Curve(
            label=GROUP_NAMES.get(name := key.partition("/")[2], name),
            points=points_of(record.evaluations, key),
            colour=f"var(--run-{index % 8})",
            style="dots",
        )
        for index, key in enumerate(keys)
    ]


def training_figures(records: Sequence[RunRecord]) -> Iterator[str]:
    """Yield learning rate, gradient norm and trust ratios; for one run, also ratios by layer."""

    def curves(key: str) -> list[Curve]:
        return [
            Curve(label=record.name, points=points_of(record.training, key), colour=colour)
            for colour, record in with_colours(records)
        ]

    figures = [
        plot("Learning rate", curves("learning_rate"), show=_scientific, from_zero=True),
        plot("Norm of the gradient, before clipping", curves("grad_norm"), show=_general, log=True),
    ]
    if len(records) > 1:
        medians = curves("trust_ratio_median")
        figures.append(plot("Trust ratio, median", medians, show=_general, log=True))
    else:
        (record,) = records
        spread = [
            Curve(
                label=name,
                points=points_of(record.training, f"trust_ratio_{name}"),
                colour="var(--run-0)",
                style=style,
            )
            for name, style in (("max", "dashed"), ("median", "line"), ("min", "faint"))
        ]
        figures.append(plot("Trust ratios of all variables", spread, show=_general, log=True))
        caption = "Trust ratios by layer, median of its variables"
        figures.append(plot(caption, _by_layer(record), show=_general, log=True))
    yield from two_columns(figures)


def _by_layer(record: RunRecord) -> list[Curve]:
    """Return a curve per layer, coloured by depth."""
    points: dict[str, list[Any]] = {}
    for row in record.training:
        groups: dict[str, list[float]] = {}
        for name, ratio in row.get("trust_ratios", {}).items():
            if ratio is not None:
                groups.setdefault(_layer_of(name), []).append(ratio)
        for layer, ratios in groups.items():
            points.setdefault(layer, []).append((row["step"], statistics.median(ratios)))
    layers = sorted((name for name in points if name.isdecimal()), key=int)
    listed = set(layers if len(layers) <= 6 else (layers[0], layers[len(layers) // 2], layers[-1]))
    curves = [
        Curve(
            label=f"layer {layer}",
            points=points[layer],
            colour=f"color-mix(in oklab, var(--last) {100 * index // max(len(layers) - 1, 1)}%,"
            " var(--first))",
            is_listed=layer in listed,
        )
        for index, layer in enumerate(layers)
    ]
    others = {"embeddings": "var(--eval)", "head": "var(--run-3)"}
    return curves + [
        Curve(label=name, points=points[name], colour=colour, style="dashed")
        for name, colour in others.items()
        if name in points
    ]


def _layer_of(variable: str) -> str:
    if found := re.search(r"layer_(\d+)/", variable):
        return found[1]
    return "embeddings" if variable.startswith("encoder/") else "head"


def speed_figures(records: Sequence[RunRecord]) -> Iterator[str]:
    """Yield throughput, input wait, and the share of peak FLOP/s if known."""

    def figure(caption: str, key: str, show: Callable[[float], str]) -> str:
        curves = [
            Curve(label=record.name, points=points_of(record.training, key), colour=colour)
            for colour, record in with_colours(records)
        ]
        return plot(caption, curves, show=show, from_zero=True)

    has_tokens = any("tokens_per_second" in row for r in records for row in r.training)
    yield from two_columns(
        [
            figure("Tokens a second, padding included", "tokens_per_second", short)
            if has_tokens
            else figure("Sequences a second", "examples_per_second", _general),
            figure("Share of the time spent waiting for input", "input_wait_fraction", percent),
            figure("Share of the devices' bfloat16 peak", "peak_share", percent),
        ]
    )


def two_columns(figures: Sequence[str]) -> Iterator[str]:
    """Yield figures in two columns where the page is wide enough."""
    figures = [figure for figure in figures if figure]
    if figures:
        yield f'<div class="pair">{"".join(figures)}</div>'


def with_colours(records: Sequence[RunRecord]) -> list[tuple[str, RunRecord]]:
    """Return each run with its colour."""
    return [(f"var(--run-{index})", record) for index, record in enumerate(records)]


def points_of(rows: Sequence[dict[str, Any]], key: str) -> list[tuple[float, float]]:
    """Return (step, value) of the rows that have a value for `key`."""
    return [(row["step"], row[key]) for row in rows if isinstance(row.get(key), (int, float))]


def three_decimals(value: float) -> str:
    """Format a value with three decimals, or shortened if it is large."""
    return f"{value:,.3f}" if value < 1000 else short(value)


def percent(value: float) -> str:
    """Format a fraction as a percentage, with two decimals if it is small."""
    return f"{value:.2%}" if value < 0.1 else f"{value:.1%}"


def _general(value: float) -> str:
    return f"{value:.3g}"


def _scientific(value: float) -> str:
    return f"{value:.2g}"
