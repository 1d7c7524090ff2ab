"""Make tables of the counts of a build, with computed sums, for the terminal and the page."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Sequence

from data import schema
from data.build_files import Shard
from data.errors import UserError
from data.manifest import Manifest
from data.stages import accounting, unknown_words
from data.stages.accounting import EXACT, NEAR, PACKED, PARAGRAPH
from data.vocab import Vocab

LABELS = {
    accounting.MARKUP: "markup removed",
    accounting.SECTIONS: "sections removed",
    accounting.REJECTED: "rejected",
    accounting.CONTAMINATED: "contaminated",
    "documents_emptied": "nothing left of it",
} | {
    f"{unit}_{fate}": label
    for unit in ("bytes", "tokens", "documents")
    for fate, label in {
        PACKED: "packed" if unit == "tokens" else "kept",
        EXACT: "duplicate documents",
        NEAR: "near-duplicate documents",
        PARAGRAPH: "duplicate paragraphs",
    }.items()
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a table.

    Attributes:
      label: name of what is counted.
      values: text of each cell.
      kind: "whole" (counted separately), "part" (of the whole), "sum" (of the parts) or "note".
    """

    label: str
    values: tuple[str, ...]
    kind: str = "part"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """A title, the names of the columns after the label column, and rows.

    The columns are numbers, except those of `text_columns`.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    text_columns: tuple[str, ...] = ()


def label_of(counter: str) -> str:
    """Return the label of a counter of data.stages.accounting."""
    if counter.startswith(accounting.SKIPPED):
        return f"skipped: {counter.removeprefix(accounting.SKIPPED)}"
    return LABELS[counter]


def check_manifest(manifest: Manifest, path: str) -> None:
    """Raise a UserError that names `path` if the numbers of a manifest contradict each other."""
    try:
        accounting.check(manifest.accounts)
    except RuntimeError as error:
        raise UserError(f"{path} is damaged, or its build was: {error}") from error
    length = manifest.config.max_seq_length
    pairs = [
        ("documents packed", _total(manifest, f"documents_{PACKED}"), _sum(manifest, "documents")),
        ("tokens packed", _total(manifest, f"tokens_{PACKED}"), _sum(manifest, "tokens")),
    ]
    for shard in manifest.shards:
        name, records = shard.packed.path, shard.packed.records
        filled = shard.tokens + shard.separators
        minimum, maximum = _histogram_bounds(shard.sequence_lengths, length)
        pairs += [
            (f"sequences in {name}", records, sum(shard.sequence_lengths)),
            (f"sentences in {name}", shard.sentences, sum(shard.sentence_lengths)),
            (f"filled positions in {name}", filled, min(max(filled, minimum), maximum)),
            *((f"records in {file.path}", records, file.records) for file in shard.masked),
        ]
    for source, counts in manifest.accounts.items():
        read = counts.get(accounting.READ, 0)
        known = read - accounting.document_outcomes(counts)["documents_emptied"]
        pairs.append((f"documents of {source}", read, max(read, known)))
    for what, left, right in pairs:
        if left != right:
            raise UserError(
                f"{path} is damaged: {left:,} {what} here, {right:,} there; build the data again"
            )


def account_tables(manifest: Manifest) -> list[Table]:
    """Return tables of what became of bytes, tokens and documents, by source.

    In each column the parts add up to the whole.
    """
    return [
        _flow(manifest, "bytes", "bytes in", accounting.INPUT, _byte_outcomes),
        _flow(manifest, "tokens", "tokens made", accounting.TOKENS, _token_outcomes),
        _flow(
            manifest, "documents", "documents read", accounting.READ, accounting.document_outcomes
        ),
    ]


def packed_table(manifest: Manifest) -> Table:
    """Return a table of the sequences by split: tokens, separators and padding fill the positions."""
    length = manifest.config.max_seq_length
    groups = [manifest.split(split) for split in schema.SPLITS] + [manifest.shards]
    columns = [_contents(group, length) for group in groups]
    shares = {"padding": f"positions ({length} each)", "[UNK]": "tokens"}
    kinds = {shares["padding"]: "whole", "sum": "sum"}
    kinds |= dict.fromkeys(("tokens", "[CLS] and [SEP]", "padding"), "part")
    rows = [
        Row(
            label=label,
            values=tuple(f"{contents[label]:,}" for contents in columns),
            kind=kinds.get(label, "note"),
        )
        for label in columns[0]
    ] + [
        Row(
            label=f"{part}, of the {whole.partition(' ')[0]}",
            values=tuple(percent(contents[part], contents[whole]) for contents in columns),
            kind="note",
        )
        for part, whole in shares.items()
    ]
    return Table(title="sequences", columns=(*schema.SPLITS, "total"), rows=tuple(rows))


def unknown_table(manifest: Manifest, vocab: Vocab) -> Table | None:
    """Return a table of the most frequent words that are [UNK]; None if the build names none."""
    ranked = sorted(
        manifest.unknown_words.items(), key=lambda item: (-item[1][unknown_words.COUNT], item[0])
    )
    text_columns = ("characters without a piece", "example")
    rows = [
        Row(
            label=word,
            values=(
                f"{entry[unknown_words.COUNT]:,}",
                " ".join(unknown_words.characters_without_piece(word, vocab)) or "-",
                entry[unknown_words.EXAMPLE],
            ),
            kind="note",
        )
        for word, entry in ranked
    ]
    if not rows:
        return None
    return Table(
        title="words behind [UNK]",
        columns=("times", *text_columns),
        rows=tuple(rows),
        text_columns=text_columns,
    )


def _contents(shards: Sequence[Shard], length: int) -> dict[str, int]:
    """Return the counts of shards by label."""
    tokens = sum(shard.tokens for shard in shards)
    separators = sum(shard.separators for shard in shards)
    padding = padding_of(shards, length)
    return {
        "documents": sum(shard.documents for shard in shards),
        "sentences": sum(shard.sentences for shard in shards),
        "sequences": sequences_of(shards),
        "masked copies of them on disk": sum(f.records for shard in shards for f in shard.masked),
        f"positions ({length} each)": sequences_of(shards) * length,
        "tokens": tokens,
        "[CLS] and [SEP]": separators,
        "padding": padding,
        "sum": tokens + separators + padding,
        "[UNK]": sum(shard.unknown_tokens for shard in shards),
    }


def sequences_of(shards: Sequence[Shard]) -> int:
    """Return the number of sequences in one copy of shards."""
    return sum(shard.packed.records for shard in shards)


def padding_of(shards: Sequence[Shard], max_seq_length: int) -> int:
    """Return the number of [PAD] positions of shards."""
    filled = sum(shard.tokens + shard.separators for shard in shards)
    return sequences_of(shards) * max_seq_length - filled


def byte_outcomes_by_source(manifest: Manifest) -> dict[str, dict[str, int]]:
    """Return what became of the bytes of each source, by counter."""
    return {source: _byte_outcomes(counts) for source, counts in manifest.accounts.items()}


def percent(part: int, whole: int) -> str:
    """Return a percentage with two decimals, and "<0.01%" for a small one that is not 0."""
    if 0 < part < whole / 20_000:
        return "<0.01%"
    return f"{part / whole:.2%}" if whole else "-"


def _byte_outcomes(counts: dict[str, int]) -> dict[str, int]:
    return accounting.outcomes(counts, "bytes")


def _token_outcomes(counts: dict[str, int]) -> dict[str, int]:
    return accounting.outcomes(counts, "tokens")


def _flow(
    manifest: Manifest,
    title: str,
    whole_label: str,
    whole: str,
    outcomes_of: Callable[[dict[str, int]], dict[str, int]],
) -> Table:
    """Return a table of the input, what became of it, and the sum of the parts.

    Args:
      manifest: manifest of the build.
      title: title of the table.
      whole_label: label of the row of the input.
      whole: counter of the input.
      outcomes_of: function from the counts of a source to those of its parts.
    """
    counts = [*manifest.accounts.values(), _totals(manifest)]
    outcomes = [outcomes_of(column) for column in counts]
    total = sum(column.get(whole, 0) for column in counts[:-1])

    def row(label: str, values: Sequence[int], kind: str) -> Row:
        cells = (*(f"{value:,}" for value in values), percent(values[-1], total))
        return Row(label=label, values=cells, kind=kind)

    parts = [
        row(label_of(name), [column.get(name, 0) for column in outcomes], "part")
        for name in outcomes[-1]
    ]
    return Table(
        title=title,
        columns=(*manifest.accounts, "total", "share"),
        rows=(
            row(whole_label, [column.get(whole, 0) for column in counts], "whole"),
            *parts,
            row("sum", [sum(column.values()) for column in outcomes], "sum"),
        ),
    )


def _totals(manifest: Manifest) -> dict[str, int]:
    total: collections.Counter[str] = collections.Counter()
    for counts in manifest.accounts.values():
        total.update(counts)
    return dict(total)


def _total(manifest: Manifest, counter: str) -> int:
    return sum(counts.get(counter, 0) for counts in manifest.accounts.values())


def _sum(manifest: Manifest, field: str) -> int:
    return sum(getattr(shard, field) for shard in manifest.shards)


def _histogram_bounds(counts: Sequence[int], longest: int) -> tuple[int, int]:
    """Return the minimum and maximum sum of lengths with this histogram."""
    step = accounting.BIN_TOKENS
    last = len(counts) - 1
    minimum = sum(index * step * count for index, count in enumerate(counts))
    maximum = sum(
        count * (longest if index == last else min(longest, index * step + step - 1))
        for index, count in enumerate(counts)
    )
    return minimum, maximum
