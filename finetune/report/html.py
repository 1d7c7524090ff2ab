"""Render report pages of fine-tuning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from data.errors import UserError
from data.view import page
from data.view.page import escape, plain_table
from pretrain.checkpoints.model_dir import DATA_FILE
from pretrain.report.curves import STYLE_FILE, Curve, plot
from pretrain.report.figures import (
    percent,
    points_of,
    speed_figures,
    three_decimals,
    training_figures,
    two_columns,
    with_colours,
)
from pretrain.report.html import cell, collapsible, configuration, environment, notes, section
from pretrain.report.run_record import RunRecord


def data_of(record: RunRecord) -> dict[str, Any]:
    """Return the record of a task's data; raise a UserError if it is missing."""
    if record.data is None:
        raise UserError(f"{record.name} has no {DATA_FILE}; copy the model directory again")
    return record.data


def page_of_seed(record: RunRecord, scores: Mapping[str, Any] | None) -> str:
    """Return the page of one seed.

    Args:
      record: record of the seed's run, with the data of a task.
      scores: content of metrics.json; None if the run is not finished.
    """
    task = data_of(record)["task"]
    parts = [
        '<p class="soft">Lambert fine-tuning</p>',
        f"<h1>{escape(task)}: {escape(record.name)}</h1>",
        f'<p class="soft">{escape(_subtitle(record))}</p>',
        *notes(record),
        *_collapse_note(scores),
        *page.tiles(_figures(record, scores)),
        *section("Scores", [_score_table(record, scores), *_curves([record])]),
        *section("Training", training_figures([record])),
        *section("Speed", speed_figures([record])),
        *section("Data", _data(record)),
        *section("Configuration", configuration(record)),
        *section("Environment", environment(record)),
    ]
    return _document(f"{task}: {record.name}", parts)


def page_of_seeds(name: str, summary: Mapping[str, Any], records: Sequence[RunRecord]) -> str:
    """Return the page of all seeds.

    Args:
      name: name of the model directory.
      summary: content of summary.json, see `finetune.summary.summarize`.
      records: records of the seeds to plot.
    """
    task, metric = data_of(records[0])["task"], summary["main_metric"]
    num_seeds = len(summary["seeds"])
    num_omitted = num_seeds - len(records)
    parts = [
        '<p class="soft">Lambert fine-tuning, all seeds</p>',
        f"<h1>{escape(task)}: {escape(name)}</h1>",
        f'<p class="soft">{escape(_subtitle(records[0]))}</p>',
        *page.tiles(
            {
                "seeds": str(num_seeds),
                "collapsed": str(summary["num_collapsed"]),
                **{
                    f"{statistic} dev {metric}": three_decimals(summary["dev"][statistic])
                    for statistic in ("best", "median", "mean")
                },
            }
        ),
        *section("Seeds", [_seed_table(summary), *_curves(records)]),
        *(
            [f'<p class="note">{num_omitted} more seeds are not plotted.</p>']
            if num_omitted
            else []
        ),
        *section("Training", training_figures(records)),
        *section("Data", _data(records[0])),
        *section("Configuration of the first seed", configuration(records[0])),
    ]
    return _document(f"{task}: {name}", parts)


def _document(title: str, parts: Sequence[str]) -> str:
    return "\n".join([*page.head(title, STYLE_FILE), *parts, "</body></html>\n"])


def _subtitle(record: RunRecord) -> str:
    config = record.run.config
    encoder, train = config.encoder, config.train
    start = (
        data_of(record)["encoder"] if config.finetune.initialize == "encoder" else "random weights"
    )
    return (
        f"{data_of(record)['kind']} from {start}; L={encoder.num_hidden_layers} H={encoder.hidden_size}"
        f" A={encoder.num_attention_heads}; {config.optimizer.label}, peak"
        f" {config.optimizer.peak_learning_rate:g}; {train.train_steps:,} steps of"
        f" {train.global_batch_size:,} sequences of {config.task.max_seq_length} tokens"
    )


def _collapse_note(scores: Mapping[str, Any] | None) -> Iterator[str]:
    if scores and scores["collapse"]:
        collapse = scores["collapse"]
        text = f"Collapsed, detected at step {collapse['step']:,}: {collapse['reason']}."
        yield f'<p class="note">{escape(text)}</p>'


def _figures(record: RunRecord, scores: Mapping[str, Any] | None) -> dict[str, str]:
    metric = data_of(record)["main_metric"]
    step = max((row["step"] for row in record.rows), default=0)
    figures = {f"of {record.run.config.train.train_steps:,} steps": f"{step:,}"}
    if scores:
        figures |= {
            f"{split} {metric}": cell(values, metric, three_decimals)
            for split, values in scores["splits"].items()
        }
    elif record.evaluations:
        figures[f"dev {metric}, the last"] = cell(
            record.evaluations[-1], f"eval_{metric}", three_decimals
        )
    if record.best_step is not None:
        figures["best step, dev"] = f"{record.best_step:,}"
    if record.training:
        figures["training loss"] = cell(record.training[-1], "loss", three_decimals)
    return {label: figure for label, figure in figures.items() if figure}


def _score_table(record: RunRecord, scores: Mapping[str, Any] | None) -> str:
    if not scores:
        return ""
    baseline = data_of(record)["baseline"]
    rows = [
        (split, name, f"{value:.4f}", cell(baseline.get(split, {}), name, lambda v: f"{v:.4f}"))
        for split, values in scores["splits"].items()
        for name, value in values.items()
    ]
    table = plain_table(("split", "metric", "score", "always the same answer"), rows, numbers=2)
    return (
        f'<div class="card">{table}<p class="soft small">Scores of step {scores["step"]:,}, which was'
        " chosen on dev. Expect slightly lower scores than those on dev for new text.</p></div>"
    )


def _seed_table(summary: Mapping[str, Any]) -> str:
    metric = summary["main_metric"]
    splits = list(dict.fromkeys(name for seed in summary["seeds"] for name in seed["splits"]))
    has_collapsed = summary["num_collapsed"] > 0
    rows = [
        (
            seed["seed"],
            *([(seed["collapse"] or {}).get("reason", "")] if has_collapsed else []),
            f"{seed['step']:,}",
            *(cell(seed["splits"].get(s, {}), metric, lambda v: f"{v:.4f}") for s in splits),
        )
        for seed in summary["seeds"]
    ]
    columns = ("step", *(f"{split} {metric}" for split in splits))
    head = ("seed", *(["collapsed"] if has_collapsed else []), *columns)
    return f'<div class="card">{plain_table(head, rows, numbers=len(columns))}</div>'


def _curves(records: Sequence[RunRecord]) -> Iterator[str]:
    """Yield plots of loss and main metric over the steps, with those of a constant answer."""
    data, last = data_of(records[0]), records[0].run.config.train.train_steps
    several, metric = len(records) > 1, data["main_metric"]
    losses: list[Curve] = []
    scores: list[Curve] = []
    for colour, record in with_colours(records):
        losses.append(
            Curve(
                label=f"{record.name}, training" if several else "training",
                points=points_of(record.training, "loss"),
                colour=colour if several else "var(--train)",
                style="faint" if several else "line",
                is_listed=not several,
            )
        )
        for key, curves in (("eval_loss", losses), (f"eval_{metric}", scores)):
            curves.append(
                Curve(
                    label=record.name if several else "dev",
                    points=points_of(record.evaluations, key),
                    colour=colour if several else "var(--eval)",
                    style="dots",
                )
            )
    losses.append(_level("always the same answer", data["majority_entropy"], last))
    scores.append(_level("always the same answer", data["baseline"]["dev"].get(metric), last))
    thin = " (thin: training)" if several else ""
    yield from two_columns(
        [
            plot(f"Loss{thin}", losses, show=three_decimals),
            plot(f"{metric} on dev", scores, show=percent, from_zero=True),
        ]
    )


def _level(label: str, value: float | None, last_step: int) -> Curve:
    """Return a horizontal line; without points if there is no value."""
    points = [] if value is None else [(0, value), (last_step, value)]
    return Curve(label=label, points=points, colour="var(--soft)", style="dashed")


def _data(record: RunRecord) -> Iterator[str]:
    data = data_of(record)
    rows = [
        (
            name,
            "; ".join(f"{count:,} {what}" for what, count in split["notes"].items()),
            "yes" if split["labelled"] else "no",
            f"{len(split['skipped']):,}",
            f"{split['sequences']:,}",
        )
        for name, split in data["splits"].items()
    ]
    head = ("split", "notes", "labelled", "skipped", "sequences")
    yield f'<div class="card">{plain_table(head, rows, numbers=3)}</div>'
    facts = [("labels", ", ".join(data["labels"]))] if data["labels"] else []
    facts.append(("train and dev", f"sha256 {data['sha256']}"))
    yield f'<div class="card">{plain_table(("name", ""), facts)}</div>'
    skipped = [
        (s["where"], s["reason"]) for split in data["splits"].values() for s in split["skipped"]
    ]
    if skipped:
        yield collapsible(f"All {len(skipped):,} skipped", plain_table(("where", "why"), skipped))
