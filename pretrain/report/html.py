"""Render the sections and tables of a report, for one run or several side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from data.view import page
from data.view.page import escape, plain_table, short
from pretrain.report.curves import STYLE_FILE
from pretrain.report.figures import (
    GROUP_NAMES,
    held_out_figures,
    percent,
    speed_figures,
    three_decimals,
    training_figures,
    with_colours,
)
from pretrain.report.run_record import RunRecord, differing_settings
from pretrain.train.metrics_log import PLATEAU_NOTE, is_on_plateau

_PACKAGES = ("tensorflow", "tensorflow-text", "tf-models-official", "tf_keras", "numpy")


def render_page(records: Sequence[RunRecord]) -> str:
    """Return the whole page."""
    title = " and ".join(record.name for record in records)
    body = _run_body(records[0]) if len(records) == 1 else _comparison_body(records)
    return "\n".join([*page.head(f"{title}: training", STYLE_FILE), *body, "</body></html>\n"])


def _run_body(record: RunRecord) -> Iterator[str]:
    yield '<p class="soft">Lambert run</p>'
    yield f"<h1>{escape(record.name)}</h1>"
    yield f'<p class="soft">{escape(_subtitle(record))}</p>'
    yield from notes(record)
    yield from page.tiles(_tiles(record))
    yield from section("Held-out text", [*_evaluation_tables(record), *held_out_figures([record])])
    yield from section("Training", training_figures([record]))
    yield from section("Speed", speed_figures([record]))
    yield from section("Data", _data(record))
    yield from section("Configuration", configuration(record))
    yield from section("Environment", environment(record))


def _comparison_body(records: Sequence[RunRecord]) -> Iterator[str]:
    yield '<p class="soft">Lambert runs, side by side</p>'
    yield f"<h1>{escape(', '.join(record.name for record in records))}</h1>"
    for record in records:
        yield from notes(record)
    yield from section("Settings that differ", [_differences(records)])
    yield from section("Held-out text", [_comparison(records), *held_out_figures(records)])
    yield from section("Training", training_figures(records))
    yield from section("Speed", speed_figures(records))


def section(title: str, parts: Sequence[str] | Iterator[str]) -> Iterator[str]:
    """Yield a heading and the parts below it; nothing if all parts are empty."""
    parts = [part for part in parts if part]
    if parts:
        yield f"<h2>{title}</h2>"
        yield from parts


def _subtitle(record: RunRecord) -> str:
    encoder, train = record.run.config.encoder, record.run.config.train
    return (
        f"L={encoder.num_hidden_layers} H={encoder.hidden_size} A={encoder.num_attention_heads},"
        f" {encoder.vocab_size:,} pieces; {record.run.config.optimizer.label};"
        f" {train.train_steps:,} steps of {train.global_batch_size:,} sequences;"
        f" data {record.run.data_sha256[:12]}"
    )


def notes(record: RunRecord) -> Iterator[str]:
    """Yield notes about missing records, and about an encoder that does not use context."""
    texts = []
    if not record.rows:
        texts.append("No metrics yet: the run has not reached its first TrainConfig.log_interval.")
    elif not record.evaluations:
        texts.append("Not evaluated on held-out text yet.")
    elif is_on_plateau(last := record.evaluations[-1]):
        texts.append(
            f"After {last['step']:,} steps {PLATEAU_NOTE}: hidden tokens are predicted less than twice as"
            f" well ({cell(last, 'eval_hidden_accuracy', percent)}) as by always guessing the most frequent"
            f" one ({cell(last, 'eval_hidden_baseline_accuracy', percent)}), so the encoder does not use"
            " context yet."
        )
    if record.unread_lines:
        texts.append(
            f"metrics.jsonl has a broken line, perhaps from a killed process: {record.unread_lines:,}"
            " of its lines are not shown."
        )
    for text in texts:
        yield f'<p class="note">{escape(record.name)}: {escape(text)}</p>'


def _tiles(record: RunRecord) -> dict[str, str]:
    train = record.run.config.train
    step = max((row["step"] for row in record.rows), default=0)
    tiles = {f"of {train.train_steps:,} steps": f"{step:,}"}
    if record.evaluations:
        last = record.evaluations[-1]
        tiles |= {
            "held-out loss": cell(last, "eval_loss", three_decimals),
            "held-out accuracy": cell(last, "eval_mlm_accuracy", percent),
            "accuracy, hidden tokens": cell(last, "eval_hidden_accuracy", percent),
        }
        if record.best_step is not None:
            tiles["best step, held out"] = f"{record.best_step:,}"
    if record.training:
        last = record.training[-1]
        tiles |= {
            "training loss": cell(last, "loss", three_decimals),
            "sequences seen": short(step * train.global_batch_size),
            "tokens/s": cell(last, "tokens_per_second", short),
            "of the bfloat16 peak": cell(last, "peak_share", percent),
        }
    return {label: figure for label, figure in tiles.items() if figure}


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


def _evaluation_table(row: dict[str, Any], which: str) -> str:
    suffixes = [key.removeprefix("eval_loss") for key in row if key.startswith("eval_loss")]
    names = ("predictions", "loss", "perplexity", "mlm_accuracy", "hidden_accuracy")
    formats = (_count, three_decimals, _one_digit, percent, percent)
    rows = [
        (
            GROUP_NAMES.get(suffix.removeprefix("/"), suffix.removeprefix("/")),
            *(
                cell(row, f"eval_{name}{suffix}", format_value)
                for name, format_value in zip(names, formats, strict=True)
            ),
        )
        for suffix in suffixes
    ]
    head = ("", "predictions", "loss", "perplexity", "accuracy", "hidden")
    baseline = cell(row, "eval_baseline_accuracy", percent)
    if hidden := cell(row, "eval_hidden_baseline_accuracy", percent):
        baseline += f" ({hidden} of the hidden ones)"
    return (
        f'<div class="card evaluation"><h3>Step {row["step"]:,}: {which}</h3>'
        f'{plain_table(head, rows, numbers=5)}<p class="soft small">Always guessing'
        f" the most frequent token: {baseline}. Hidden: accuracy where the input does not show the"
        " token. Each sequence belongs to one source or to mixed sources, and to one group by whether it"
        " crosses a boundary of documents (or chapters).</p></div>"
    )


def _differences(records: Sequence[RunRecord]) -> str:
    settings = differing_settings(records)
    heads = "".join(
        f'<th class="number"><i class="swatch" style="color:{colour}"></i>{escape(record.name)}</th>'
        for colour, record in with_colours(records)
    )
    rows = "".join(
        f"<tr><td>{escape(name).replace('.', '.<wbr>')}</td>"
        + "".join(f'<td class="number">{escape(value)}</td>' for value in values)
        + "</tr>"
        for name, values in settings.items()
    )
    none = "" if settings else '<p class="soft small">No setting differs.</p>'
    return (
        f'<div class="card"><table class="text"><thead><tr><th>setting</th>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table>{none}</div>"
    )


def _comparison(records: Sequence[RunRecord]) -> str:
    rows = []
    for record in records:
        if not record.evaluations:
            rows.append((record.name, *[""] * 5))
            continue
        last = record.evaluations[-1]
        finite = [row for row in record.evaluations if row["eval_loss"] is not None]
        best = min(finite, key=lambda row: row["eval_loss"], default=None)
        rows.append(
            (
                record.name,
                f"{last['step']:,}",
                cell(last, "eval_loss", three_decimals),
                cell(last, "eval_mlm_accuracy", percent),
                cell(last, "eval_hidden_accuracy", percent),
                f"{cell(best, 'eval_loss', three_decimals)} at {best['step']:,}" if best else "",
            )
        )
    head = ("run", "step", "loss", "accuracy", "hidden", "best loss")
    return f'<div class="card comparison">{plain_table(head, rows, numbers=5)}</div>'


def _data(record: RunRecord) -> Iterator[str]:
    if not (data := record.data):
        yield (
            '<div class="card"><p>Not recorded: an older version started the run. The manifest of its data'
            f" has sha256 <code>{escape(record.run.data_sha256)}</code>.</p></div>"
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
    settings = [(f"BuildConfig.{name}", value) for name, value in data["build"].items()]
    facts = [
        ("manifest", f"sha256 {data['sha256']}"),
        ("vocabulary", f"{data['vocab_pieces']:,} pieces, sha256 {data['vocab_sha256']}"),
    ]
    yield '<div class="pair">'
    yield f'<div class="card">{plain_table(("split", *units), splits, numbers=3)}</div>'
    head = ("source, as packed", "documents", "tokens", "bytes")
    yield f'<div class="card">{plain_table(head, sources, numbers=3)}</div></div>'
    yield f'<div class="card">{plain_table(("name", ""), facts)}</div>'
    yield collapsible("Build settings", plain_table(("setting", "value"), settings))


def configuration(record: RunRecord) -> Iterator[str]:
    """Yield config.gin and operative_config.gin of a run."""
    for name, text in record.gin_texts.items():
        meaning = "settings given" if name == "config.gin" else "settings in effect"
        yield collapsible(f"{name}: {meaning}", f"<pre>{escape(text.strip())}</pre>")


def environment(record: RunRecord) -> Iterator[str]:
    """Yield machine, command and versions of the last start."""
    if not (values := record.environment):
        return
    packages = values["packages"]
    rows = [
        ("command", " ".join(values["command"])),
        ("machine", values["machine"]),
        ("python", values["python"]),
        ("git commit", values.get("git_commit") or "unknown"),
        *((name, packages[name]) for name in _PACKAGES if name in packages),
    ]
    yield f'<div class="card">{plain_table(("last start", ""), rows)}</div>'
    yield collapsible(f"All {len(packages):,} packages", plain_table(("", ""), packages.items()))


def collapsible(summary: str, content: str) -> str:
    """Return content that is hidden until its summary is clicked."""
    return f'<details class="card"><summary>{escape(summary)}</summary>{content}</details>'


def cell(row: dict[str, Any], key: str, show: Callable[[float], str]) -> str:
    """Return a value as text; "" if the row lacks it, as rows of older versions may."""
    value = row.get(key)
    return show(value) if isinstance(value, (int, float)) else ""


def _one_digit(value: float) -> str:
    return f"{value:,.1f}" if value < 10**6 else short(value)


def _count(value: float) -> str:
    return f"{value:,.0f}"
