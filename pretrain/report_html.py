"""The content of a report: figures, curves and tables, for one run or for several side by side."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from data import page
from data.page import escape, plain_table, short
from pretrain.curves import Curve, plot
from pretrain.run_record import RunRecord, differing_settings

_STYLE_FILE = Path(__file__).with_name("report.css")
_GROUP_NAMES = {
    "": "all",
    "mixed": "mixed sources",
    "same_document": "one document",
    "cross_boundary": "across documents",
}
_PACKAGES = ("tensorflow", "tensorflow-text", "tf-models-official", "tf_keras", "numpy")


def page_of(records: Sequence[RunRecord]) -> str:
    """The whole page."""
    title = " and ".join(record.name for record in records)
    body = _one(records[0]) if len(records) == 1 else _several(records)
    return "\n".join([*page.head(f"{title}: training", _STYLE_FILE), *body, "</body></html>\n"])


def _one(record: RunRecord) -> Iterator[str]:
    yield '<p class="soft">Lambert run</p>'
    yield f"<h1>{escape(record.name)}</h1>"
    yield f'<p class="soft">{escape(_subtitle(record))}</p>'
    yield from _notes(record)
    yield from page.tiles(_figures(record))
    yield from _section("Held-out text", [*_evaluation_tables(record), *_held_out([record])])
    yield from _section("Training", _training([record]))
    yield from _section("Speed", _speed([record]))
    yield from _section("Data", _data(record))
    yield from _section("Configuration", _configuration(record))
    yield from _section("Environment", _environment(record))


def _several(records: Sequence[RunRecord]) -> Iterator[str]:
    yield '<p class="soft">Lambert runs, side by side</p>'
    yield f"<h1>{escape(', '.join(record.name for record in records))}</h1>"
    for record in records:
        yield from _notes(record)
    yield from _section("What differs", [_differences(records)])
    yield from _section("Held-out text", [_comparison(records), *_held_out(records)])
    yield from _section("Training", _training(records))
    yield from _section("Speed", _speed(records))


def _section(title: str, parts: Sequence[str] | Iterator[str]) -> Iterator[str]:
    """A heading and what is below it; neither if there is nothing."""
    parts = [part for part in parts if part]
    if parts:
        yield f"<h2>{title}</h2>"
        yield from parts


def _pairs(figures: Sequence[str]) -> Iterator[str]:
    """Pictures, two side by side where there is room."""
    figures = [figure for figure in figures if figure]
    if figures:
        yield f'<div class="pair">{"".join(figures)}</div>'


def _subtitle(record: RunRecord) -> str:
    encoder, train = record.run.config.encoder, record.run.config.train
    return (
        f"L={encoder.num_hidden_layers} H={encoder.hidden_size} A={encoder.num_attention_heads},"
        f" {encoder.vocab_size:,} pieces; {record.run.config.optimizer.label};"
        f" {train.train_steps:,} steps of {train.global_batch_size:,} sequences;"
        f" data {record.run.data_sha256[:12]}"
    )


def _notes(record: RunRecord) -> Iterator[str]:
    notes = []
    if not record.rows:
        notes.append("No metrics yet: the run has not reached its first TrainConfig.log_interval.")
    elif not record.evaluations:
        notes.append("Not evaluated on held-out text yet.")
    if record.lost_lines:
        notes.append(
            f"metrics.jsonl has a broken line, as a killed process leaves it: {record.lost_lines:,}"
            " of its lines are not shown."
        )
    for note in notes:
        yield f'<p class="note">{escape(record.name)}: {escape(note)}</p>'


def _figures(record: RunRecord) -> dict[str, str]:
    train = record.run.config.train
    step = max((row["step"] for row in record.rows), default=0)
    found = {f"of {train.train_steps:,} steps": f"{step:,}"}
    if record.evaluations:
        last = record.evaluations[-1]
        found |= {
            "held-out loss": _cell(last, "eval_loss", _three),
            "held-out accuracy": _cell(last, "eval_mlm_accuracy", _percent),
            "where the piece is hidden": _cell(last, "eval_hidden_accuracy", _percent),
        }
        if record.best_step is not None:
            found["best step, held out"] = f"{record.best_step:,}"
    if record.training:
        last = record.training[-1]
        found |= {
            "training loss": _cell(last, "loss", _three),
            "sequences seen": short(step * train.global_batch_size),
            "tokens/s": _cell(last, "tokens_per_second", short),
            "of the bfloat16 peak": _cell(last, "peak_share", _percent),
        }
    return {label: figure for label, figure in found.items() if figure}


def _evaluation_tables(record: RunRecord) -> Iterator[str]:
    evaluations = {row["step"]: row for row in record.evaluations}
    if not evaluations:
        return
    last = max(evaluations)
    yield _evaluation_table(
        evaluations[last], "the last" + " and the best" * (last == record.best_step)
    )
    if record.best_step in evaluations and record.best_step != last:
        yield _evaluation_table(evaluations[record.best_step], "the best")


def _evaluation_table(row: dict, which: str) -> str:
    suffixes = [key.removeprefix("eval_loss") for key in row if key.startswith("eval_loss")]
    names = ("predictions", "loss", "perplexity", "mlm_accuracy", "hidden_accuracy")
    shows = (_count, _three, _three, _percent, _percent)
    rows = [
        (
            _GROUP_NAMES.get(suffix.removeprefix("/"), suffix.removeprefix("/")),
            *(
                _cell(row, f"eval_{name}{suffix}", show)
                for name, show in zip(names, shows, strict=True)
            ),
        )
        for suffix in suffixes
    ]
    head = ("", "predictions", "loss", "perplexity", "accuracy", "hidden")
    baseline = _cell(row, "eval_baseline_accuracy", _percent)
    return (
        f'<div class="card evaluation"><h3>Step {row["step"]:,}: {which}</h3>'
        f'{plain_table(head, rows, numbers=5)}<p class="soft small">Always guessing'
        f" the most frequent piece: {baseline}. Hidden: accuracy where the input does not show the"
        " piece. Each sequence counts for its source or for several, and by whether a separator parts"
        " two documents (or chapters) in it.</p></div>"
    )


def _held_out(records: Sequence[RunRecord]) -> Iterator[str]:
    several = len(records) > 1
    losses, accuracies, by_source = [], [], []
    for colour, record in _coloured(records):
        name = f"{record.name}, " if several else ""
        losses += [
            Curve(
                label=f"{name}training",
                points=_points(record.training, "loss"),
                colour=colour if several else "var(--train)",
                style="faint",
                is_listed=not several,
            ),
            Curve(
                label=record.name if several else "held out",
                points=_points(record.evaluations, "eval_loss"),
                colour=colour if several else "var(--eval)",
                style="dots",
            ),
        ]
        for label, key, style in (
            ("all predictions", "eval_mlm_accuracy", "dots"),
            ("hidden pieces", "eval_hidden_accuracy", "dashed"),
            ("always the most frequent piece", "eval_baseline_accuracy", "faint"),
        ):
            accuracies.append(
                Curve(
                    label=f"{name}{label}" if not several or style != "dots" else record.name,
                    points=_points(record.evaluations, key),
                    colour=colour if several or style != "faint" else "var(--soft)",
                    style=style,
                    is_listed=not several or style == "dots",
                )
            )
    if not several:
        by_source = _by_group(records[0])
    dashes = " (dashed: hidden pieces)" if several else ""
    loss = "Loss, in nats" + (" (thin: training)" if several else "")
    yield from _pairs(
        [
            plot(loss, losses, show=_three),
            plot(f"Held-out accuracy{dashes}", accuracies, show=_percent, from_zero=True),
            plot("Held-out loss by source and boundary", by_source, show=_three),
        ]
    )


def _by_group(record: RunRecord) -> list[Curve]:
    keys = dict.fromkeys(
        key for row in record.evaluations for key in row if key.startswith("eval_loss/")
    )
    return [
        Curve(
            label=_GROUP_NAMES.get(name := key.partition("/")[2], name),
            points=_points(record.evaluations, key),
            colour=f"var(--run-{index % 8})",
            style="dots",
        )
        for index, key in enumerate(keys)
    ]


def _training(records: Sequence[RunRecord]) -> Iterator[str]:
    def curves(key: str) -> list[Curve]:
        return [
            Curve(label=record.name, points=_points(record.training, key), colour=colour)
            for colour, record in _coloured(records)
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
                points=_points(record.training, f"trust_ratio_{name}"),
                colour="var(--run-0)",
                style=style,
            )
            for name, style in (("max", "dashed"), ("median", "line"), ("min", "faint"))
        ]
        figures.append(plot("Trust ratios of all variables", spread, show=_general, log=True))
        caption = "Trust ratios by layer, median of its variables"
        figures.append(plot(caption, _by_layer(record), show=_general, log=True))
    yield from _pairs(figures)


def _by_layer(record: RunRecord) -> list[Curve]:
    """A curve a layer; colours run from the first one to the last."""
    points: dict[str, list] = {}
    for row in record.training:
        groups: dict[str, list[float]] = {}
        for name, ratio in row.get("trust_ratios", {}).items():
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


def _speed(records: Sequence[RunRecord]) -> Iterator[str]:
    def figure(caption: str, key: str, show) -> str:
        curves = [
            Curve(label=record.name, points=_points(record.training, key), colour=colour)
            for colour, record in _coloured(records)
        ]
        return plot(caption, curves, show=show, from_zero=True)

    has_tokens = any("tokens_per_second" in row for r in records for row in r.training)
    yield from _pairs(
        [
            figure("Tokens a second, padding included", "tokens_per_second", short)
            if has_tokens
            else figure("Sequences a second", "examples_per_second", _general),
            figure("Share of the time spent waiting for input", "input_wait_fraction", _percent),
            figure("Share of the devices' bfloat16 peak", "peak_share", _percent),
        ]
    )


def _differences(records: Sequence[RunRecord]) -> str:
    settings = differing_settings(records)
    heads = "".join(
        f'<th class="number"><i class="swatch" style="color:{colour}"></i>{escape(record.name)}</th>'
        for colour, record in _coloured(records)
    )
    rows = "".join(
        f"<tr><td>{escape(name)}</td>"
        + "".join(f'<td class="number">{escape(value)}</td>' for value in values)
        + "</tr>"
        for name, values in settings.items()
    )
    nothing = "" if settings else '<p class="soft small">No setting differs.</p>'
    return (
        f'<div class="card"><table class="text"><thead><tr><th>setting</th>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table>{nothing}</div>"
    )


def _comparison(records: Sequence[RunRecord]) -> str:
    rows = []
    for record in records:
        if not record.evaluations:
            rows.append((record.name, *[""] * 6))
            continue
        last = record.evaluations[-1]
        best = min(record.evaluations, key=lambda row: row["eval_loss"])
        rows.append(
            (
                record.name,
                f"{last['step']:,}",
                _cell(last, "eval_loss", _three),
                _cell(last, "eval_mlm_accuracy", _percent),
                _cell(last, "eval_hidden_accuracy", _percent),
                f"{best['step']:,}",
                _cell(best, "eval_loss", _three),
            )
        )
    head = ("run", "last step", "loss", "accuracy", "hidden", "best step", "loss")
    return f'<div class="card">{plain_table(head, rows, numbers=6)}</div>'


def _data(record: RunRecord) -> Iterator[str]:
    if not (data := record.data):
        yield (
            '<div class="card"><p>Not recorded: the run was begun by an older version. The manifest of'
            f" its data has the sha256 <code>{escape(record.run.data_sha256)}</code>.</p></div>"
        )
        return
    units = ("sequences", "documents", "tokens")
    splits = [
        (split, *(f"{counts[unit]:,}" for unit in units))
        for split, counts in data["splits"].items()
    ]
    sources = [
        (source, *(f"{counts[unit]:,}" for unit in ("documents", "tokens", "bytes")))
        for source, counts in data["sources"].items()
    ]
    facts = [
        ("manifest sha256", data["sha256"]),
        ("vocabulary", f"{data['vocab_pieces']:,} pieces, sha256 {data['vocab_sha256']}"),
        *((f"BuildConfig.{name}", value) for name, value in data["build"].items()),
    ]
    yield '<div class="pair">'
    yield f'<div class="card">{plain_table(("split", *units), splits, numbers=3)}</div>'
    head = ("source, as packed", "documents", "tokens", "bytes")
    yield f'<div class="card">{plain_table(head, sources, numbers=3)}</div></div>'
    yield _folded("How it was built", plain_table(("", ""), facts))


def _configuration(record: RunRecord) -> Iterator[str]:
    for name, text in record.texts.items():
        meaning = "what was asked for" if name == "config.gin" else "what is in force"
        yield _folded(f"{name}: {meaning}", f"<pre>{escape(text.strip())}</pre>")


def _environment(record: RunRecord) -> Iterator[str]:
    if not (environment := record.environment):
        return
    packages = environment["packages"]
    rows = [
        ("command", " ".join(environment["command"])),
        ("machine", environment["machine"]),
        ("python", environment["python"]),
        ("git commit", environment["git_commit"] or "unknown"),
        *((name, packages[name]) for name in _PACKAGES if name in packages),
    ]
    yield f'<div class="card">{plain_table(("of the last start", ""), rows)}</div>'
    yield _folded(f"All {len(packages):,} packages", plain_table(("", ""), packages.items()))


def _folded(summary: str, content: str) -> str:
    return f'<details class="card"><summary>{escape(summary)}</summary>{content}</details>'


def _coloured(records: Sequence[RunRecord]) -> list[tuple[str, RunRecord]]:
    return [(f"var(--run-{index})", record) for index, record in enumerate(records)]


def _points(rows: Sequence[dict], key: str) -> list[tuple[float, float]]:
    return [(row["step"], row[key]) for row in rows if isinstance(row.get(key), (int, float))]


def _cell(row: dict, key: str, show: Callable[[float], str]) -> str:
    """A value as text; none if the version that wrote the row did not have it."""
    value = row.get(key)
    return show(value) if isinstance(value, (int, float)) else ""


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _three(value: float) -> str:
    return f"{value:,.3f}" if value < 1000 else short(value)


def _percent(value: float) -> str:
    return f"{value:.2%}" if value < 0.1 else f"{value:.1%}"


def _general(value: float) -> str:
    return f"{value:.3g}"


def _scientific(value: float) -> str:
    return f"{value:.2g}"
