"""Write a self-contained HTML page about a build, without external resources."""

from __future__ import annotations

import collections
import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from data import files, schema
from data.checked_json import parse_json_lines
from data.errors import UserError
from data.manifest import Manifest
from data.stages.corpus_checks import warnings_about
from data.view import page, plots
from data.view.page import escape
from data.view.sequences import (
    PLAIN,
    PREDICTED,
    MaskedSequence,
    PieceCounts,
    SequenceViewer,
    Span,
    gaps,
)
from data.view.tables import Table, byte_outcomes_by_source, padding_of, percent, sequences_of
from data.vocab import Vocab

_TOP_PIECES, _UNUSED_PIECES, _TOP_REASONS, _INPUTS_SHOWN = 40, 60, 20, 200
_STYLE_FILE = Path(__file__).with_name("view.css")


def write_page(
    path: str,
    directory: str,
    manifest: Manifest,
    viewer: SequenceViewer,
    tables: Sequence[Table],
    unknown: Table | None,
    sequences: Sequence[MaskedSequence],
) -> None:
    """Write the page.

    Args:
      path: file to write.
      directory: build directory.
      manifest: manifest of the build.
      viewer: viewer of the build.
      tables: tables of bytes, tokens and documents by source, then that of sequences by split.
      unknown: table of the words behind [UNK], if there are any.
      sequences: sequences to show.

    Raises:
      UserError: a file of the build is damaged.
    """
    name = os.path.basename(os.path.abspath(directory))
    *by_source, packed = tables
    body = [
        '<p class="soft">Lambert build</p>',
        f"<h1>{escape(name)}</h1>",
        f'<p class="soft">{escape(_subtitle(manifest))}</p>',
        *(f'<p class="card">Warning: {escape(text)}</p>' for text in warnings_about(manifest)),
        *_tiles(manifest),
        "<h2>Where the text went</h2>",
        *_sources(manifest, by_source),
        "<h2>What was packed</h2>",
        *_packed(manifest, packed),
        *_sequences(sequences),
        "<h2>Pieces</h2>",
        *_pieces(viewer, viewer.count_pieces("train")),
        *([f'<div class="card">{_table(unknown)}</div>'] if unknown else []),
        "<h2>Rejected documents</h2>",
        *_rejects(directory, manifest),
        "<h2>Configuration and inputs</h2>",
        *_configuration(manifest),
    ]
    head = page.head(f"{name}: what the build holds", _STYLE_FILE)
    files.write_atomically(path, "\n".join([*head, *body, "</body></html>\n"]).encode())


def _subtitle(manifest: Manifest) -> str:
    config = manifest.config
    case = "uncased" if config.lower_case else "cased"
    return (
        f"Packed sequences of {config.max_seq_length} tokens from {', '.join(manifest.accounts)};"
        f" {manifest.vocab_pieces:,} pieces, {case}; build {manifest.sha256[:12]}"
    )


def _tiles(manifest: Manifest) -> Iterator[str]:
    shards, length = manifest.shards, manifest.config.max_seq_length
    tokens = sum(shard.tokens for shard in shards)
    unknown = sum(shard.unknown_tokens for shard in shards)
    figures = {
        "documents": page.short(sum(shard.documents for shard in shards)),
        "tokens": page.short(tokens),
        "training sequences": page.short(sequences_of(manifest.split("train"))),
        "held-out sequences": page.short(sequences_of(manifest.split("eval"))),
        "masked copies": f"{manifest.config.copies}" if manifest.config.copies else "made online",
        "padding": percent(padding_of(shards, length), sequences_of(shards) * length),
        "[UNK] tokens": percent(unknown, tokens),
    }
    return page.tiles(figures)


def _sources(manifest: Manifest, tables: Sequence[Table]) -> Iterator[str]:
    bars = plots.bytes_by_source(byte_outcomes_by_source(manifest))
    yield page.figure("Bytes of each source, by what became of them", bars)
    for table in tables:
        yield f'<div class="card">{_table(table)}</div>'


def _packed(manifest: Manifest, table: Table) -> Iterator[str]:
    splits = [split for split in schema.SPLITS if manifest.split(split)]

    def histogram(field: str) -> dict[str, list[int]]:
        return {
            split: np.sum([getattr(s, field) for s in manifest.split(split)], axis=0).tolist()
            for split in splits
        }

    def by_source(counter: str) -> dict[str, int]:
        return {source: counts.get(counter, 0) for source, counts in manifest.accounts.items()}

    sentence_lengths = plots.lengths(histogram("sentence_lengths"), unit="sentence", whole=False)
    sequence_lengths = plots.lengths(histogram("sequence_lengths"), unit="sequence")
    documents = plots.by_source(by_source("documents_packed"), unit="documents")
    tokens = plots.by_source(by_source("tokens_packed"), unit="tokens")
    shards = [shard for split in splits for shard in manifest.split(split)]
    length = manifest.config.max_seq_length
    by_shard = plots.shards(
        [f"{shard.split} {shard.shard}" for shard in shards],
        tokens=[shard.tokens for shard in shards],
        separators=[shard.separators for shard in shards],
        padding=[padding_of([shard], length) for shard in shards],
    )
    yield f'<div class="card">{_table(table)}</div>'
    yield '<div class="pair">'
    yield page.figure("Documents of each source", documents)
    yield page.figure("Tokens of each source", tokens)
    yield page.figure("Sentence lengths", sentence_lengths)
    yield page.figure("Sequence lengths, [CLS] and [SEP] included", sequence_lengths)
    yield "</div>"
    yield page.figure("Shards: is one much larger than the others?", by_shard)


def _sequences(sequences: Sequence[MaskedSequence]) -> Iterator[str]:
    if not sequences:
        return
    yield "<h2>As the model sees it</h2>"
    legend = " ".join(
        f'<ruby class="{kind}"><span>{example}</span><rt>word</rt></ruby> {PREDICTED[kind]} &nbsp; '
        for kind, example in zip(PREDICTED, ("[MASK]", "other", "word"), strict=True)
    )
    yield f'<p class="sequence small">Predicted pieces, with the label above: &nbsp; {legend}</p>'
    for sequence in sequences:
        title = f"{sequence.split} sequence {sequence.index:,}, copy {sequence.copy}"
        record = f"equals {sequence.record}" if sequence.record else "no masked copy is on disk"
        text = "".join(
            ("<br>" if gap == "\n" else gap) + _span(span)
            for span, gap in zip(sequence.spans, gaps(sequence.spans), strict=True)
        )
        yield (
            f'<div class="card"><h3>{escape(title)}</h3><div class="sequence">{text}</div>'
            f'<p class="soft small">{escape(record)}</p></div>'
        )


def _span(span: Span) -> str:
    text = escape(span.text)
    if span.kind == PLAIN:
        return text
    if not span.label:
        return f'<span class="{span.kind}">{text}</span>'
    return f'<ruby class="{span.kind}"><span>{text}</span><rt>{escape(span.label)}</rt></ruby>'


def _pieces(viewer: SequenceViewer, pieces: PieceCounts) -> Iterator[str]:
    counts_V = pieces.counts.copy()
    counts_V[viewer.vocab.special_ids] = 0
    order = np.argsort(-counts_V, kind="stable")
    num_used, total = int((counts_V > 0).sum()), int(counts_V.sum())
    which = "a sample of" if pieces.is_sample else "all"
    yield (
        f'<p class="soft">Counted in {which} {pieces.num_sequences:,} training sequences, without'
        " special and unused pieces.</p>"
    )
    if not total:
        return
    top = order[: min(_TOP_PIECES, num_used)].tolist()
    half = -(-len(top) // 2)
    yield '<div class="pair">'
    for ids in (top[:half], top[half:]):
        rows = [
            f'<tr><td class="piece">{escape(viewer.vocab.pieces[i])}</td>'
            f'<td class="bar"><i style="width: {100 * counts_V[i] / counts_V[top[0]]:.1f}%"></i></td>'
            f"<td>{counts_V[i]:,}</td><td>{percent(int(counts_V[i]), total)}</td></tr>"
            for i in ids
        ]
        yield f'<div class="card"><table>{"".join(rows)}</table></div>'
    ranked = counts_V[order[:num_used]]
    yield page.figure("Frequency of the pieces by rank", plots.frequencies(ranked))
    yield f'<div class="card">{_coverage(viewer.vocab, order, ranked)}</div>'
    yield "</div>"


def _coverage(vocab: Vocab, order: np.ndarray, ranked: np.ndarray) -> str:
    """Return a table of how much of a vocabulary the text uses.

    Args:
      vocab: vocabulary of the build.
      order: ids [V] by descending frequency, then by id; special pieces count as unused.
      ranked: counts of the used pieces, in that order.
    """
    num_pieces = len(vocab) - len(vocab.special_ids)
    unused = [vocab.pieces[i] for i in sorted(set(order[len(ranked) :]) - set(vocab.special_ids))]
    covered = np.cumsum(ranked)
    rows = [
        ("pieces of the vocabulary", f"{num_pieces:,}"),
        ("unused pieces", f"{len(unused):,} ({percent(len(unused), num_pieces)})"),
    ] + [
        (f"most frequent pieces for {share}% of the tokens", f"{needed:,}")
        for share in (50, 80, 90, 95, 99)
        for needed in [int(np.searchsorted(covered, covered[-1] * share / 100)) + 1]
    ]
    table = page.plain_table(("", "pieces"), rows, numbers=1)
    shown = " ".join(map(escape, unused[:_UNUSED_PIECES]))
    more = " ..." if len(unused) > _UNUSED_PIECES else ""
    return table + (
        f'<p class="soft small">Unused: <span class="piece">{shown}{more}</span></p>'
        if unused
        else ""
    )


@dataclasses.dataclass
class _Reason:
    documents: int = 0
    num_bytes: int = 0
    example: str = ""


def _rejects(directory: str, manifest: Manifest) -> Iterator[str]:
    reasons: dict[str, _Reason] = collections.defaultdict(_Reason)
    assert manifest.rejects is not None, "a build that has not begun"
    manifest.rejects.check_content(directory)
    path = files.join(directory, manifest.rejects.path)
    for line, reject in parse_json_lines(files.read_bytes(path), path):
        if reject is None:
            raise UserError(f"{path} is damaged: {line[:40]!r} is not a JSON object")
        # The text after the colon is specific to the document.
        text = reject.text("reason")
        reason = reasons[text.partition(":")[0]]
        reason.documents += 1
        reason.num_bytes += reject.integer("num_bytes", minimum=0)
        if not reason.example:
            reason.example = f"{reject.text('source')}, {reject.text('offset')}: {text}"
    if not reasons:
        yield "<p>None.</p>"
        return
    top = sorted(reasons, key=lambda name: (-reasons[name].documents, name))[:_TOP_REASONS]
    rows = [
        (
            name,
            reasons[name].example,
            f"{reasons[name].documents:,}",
            f"{reasons[name].num_bytes:,}",
        )
        for name in top
    ]
    head = ("reason", "first document", "documents", "bytes")
    yield f'<div class="card">{page.plain_table(head, rows, numbers=2)}</div>'
    others = manifest.rejected - sum(reasons[name].documents for name in top)
    more = f" {others:,} more documents were rejected." if others else ""
    yield f'<p class="soft small">Full list: <code>{schema.REJECTS_FILE}</code>.{more}</p>'


def _configuration(manifest: Manifest) -> Iterator[str]:
    settings = [(f"BuildConfig.{k}", v) for k, v in dataclasses.asdict(manifest.config).items()]
    settings.append(("vocabulary sha256", manifest.vocab_sha256))
    yield f'<div class="card">{page.plain_table(("setting", "value"), settings)}</div>'
    inputs = manifest.inputs
    rows = [(f["kind"], f["name"], (f["sha256"] or "")[:12], f"{f['bytes']:,}") for f in inputs]
    stored = sum(file["bytes"] for file in inputs)
    rest = len(rows) - _INPUTS_SHOWN
    more = f"<p>and {rest:,} more, listed in {schema.MANIFEST_FILE}</p>" if rest > 0 else ""
    head = ("kind", "name", "sha256", "bytes as stored")
    yield (
        f'<details class="card"><summary>{len(rows):,} input files, {stored:,} bytes</summary>'
        f"{page.plain_table(head, rows[:_INPUTS_SHOWN], numbers=1)}{more}</details>"
    )


def _table(table: Table) -> str:
    """Return a table as HTML."""

    def cell(tag: str, column: str, text: str) -> str:
        if column in table.text_columns:
            return f'<{tag} class="text">{escape(text)}</{tag}>'
        zero = ' class="zero"' if tag == "td" and text in ("0", "0.00%", "-") else ""
        return f"<{tag}{zero}>{escape(text)}</{tag}>"

    head = "<th></th>" + "".join(cell("th", column, column) for column in table.columns)
    rows = []
    for row in table.rows:
        cells = "".join(
            cell("td", column, value)
            for column, value in zip(table.columns, row.values, strict=True)
        )
        label = f"= {row.label}" if row.kind == "sum" else row.label
        rows.append(f'<tr class="{row.kind}"><td>{escape(label)}</td>{cells}</tr>')
    return (
        f"<table><caption>{escape(table.title[:1].upper() + table.title[1:])}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )
