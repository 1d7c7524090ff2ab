"""The accounts of a build as tables whose sums are computed, for the terminal and the page alike."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Sequence

from data import schema
from data.errors import UserError
from data.manifest import Manifest, Shard
from data.stages import accounting
from data.stages.accounting import EXACT, NEAR, PACKED, PARAGRAPH

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
      label: what is counted.
      values: a cell a column, as shown.
      kind: "whole" (counted for itself), "part" (of the whole), "sum" (of the parts) or "note".
    """

    label: str
    values: tuple[str, ...]
    kind: str = "part"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """A title, the names of the columns after the labels, and rows."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def label_of(counter: str) -> str:
    """How people call a counter of data.stages.accounting."""
    if counter.startswith(accounting.SKIPPED):
        return f"skipped: {counter.removeprefix(accounting.SKIPPED)}"
    return LABELS[counter]


def check_manifest(manifest: Manifest, path: str) -> None:
    """Raises a UserError if the numbers of a manifest contradict each other; `path` names it."""
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
        least, most = _histogram_bounds(shard.sequence_lengths, length)
        pairs += [
            (f"sequences in {name}", records, sum(shard.sequence_lengths)),
            (f"sentences in {name}", shard.sentences, sum(shard.sentence_lengths)),
            (f"filled positions in {name}", filled, min(max(filled, least), most)),
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
    """Where bytes, tokens and documents went, by source: each column is a sum that must agree."""
    return [
        _flow(manifest, "bytes", "bytes in", accounting.INPUT, _byte_outcomes),
        _flow(manifest, "tokens", "tokens made", accounting.TOKENS, _token_outcomes),
        _flow(
            manifest, "documents", "documents read", accounting.READ, accounting.document_outcomes
        ),
    ]


def packed_table(manifest: Manifest) -> Table:
    """What the sequences of each split hold: tokens, separators and padding fill their positions."""
    length = manifest.config.max_seq_length
    groups = [manifest.split(split) for split in schema.SPLITS] + [manifest.shards]
    found = [_contents(group, length) for group in groups]
    shares = {"padding": f"positions ({length} each)", "[UNK]": "tokens"}
    kinds = {shares["padding"]: "whole", "sum": "sum"}
    kinds |= dict.fromkeys(("tokens", "[CLS] and [SEP]", "padding"), "part")
    rows = [
        Row(
            label=label,
            values=tuple(f"{contents[label]:,}" for contents in found),
            kind=kinds.get(label, "note"),
        )
        for label in found[0]
    ] + [
        Row(
            label=f"{part}, of the {whole.partition(' ')[0]}",
            values=tuple(percent(contents[part], contents[whole]) for contents in found),
            kind="note",
        )
        for part, whole in shares.items()
    ]
    return Table(title="sequences", columns=(*schema.SPLITS, "total"), rows=tuple(rows))


def _contents(shards: Sequence[Shard], length: int) -> dict[str, int]:
    """The counts of shards, by what people call them."""
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
    """Sequences in one copy of shards."""
    return sum(shard.packed.records for shard in shards)


def padding_of(shards: Sequence[Shard], max_seq_length: int) -> int:
    """Positions of shards that hold nothing."""
    filled = sum(shard.tokens + shard.separators for shard in shards)
    return sequences_of(shards) * max_seq_length - filled


def byte_outcomes_by_source(manifest: Manifest) -> dict[str, dict[str, int]]:
    """What became of the bytes of each source, by counter."""
    return {source: _byte_outcomes(counts) for source, counts in manifest.accounts.items()}


def percent(part: int, whole: int) -> str:
    """A share with two digits; "<0.01%" is not nothing."""
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
    """A table of what went in, what became of it, and the sum of that."""
    counts = [*manifest.accounts.values(), _totals(manifest)]
    found = [outcomes_of(of_source) for of_source in counts]
    went_in = sum(of_source.get(whole, 0) for of_source in counts[:-1])

    def row(label: str, values: Sequence[int], kind: str) -> Row:
        cells = (*(f"{value:,}" for value in values), percent(values[-1], went_in))
        return Row(label=label, values=cells, kind=kind)

    parts = [
        row(label_of(name), [of_source.get(name, 0) for of_source in found], "part")
        for name in found[-1]
    ]
    return Table(
        title=title,
        columns=(*manifest.accounts, "total", "share"),
        rows=(
            row(whole_label, [of_source.get(whole, 0) for of_source in counts], "whole"),
            *parts,
            row("sum", [sum(of_source.values()) for of_source in found], "sum"),
        ),
    )


def _totals(manifest: Manifest) -> dict[str, int]:
    total = collections.Counter()
    for counts in manifest.accounts.values():
        total.update(counts)
    return dict(total)


def _total(manifest: Manifest, counter: str) -> int:
    return sum(counts.get(counter, 0) for counts in manifest.accounts.values())


def _sum(manifest: Manifest, field: str) -> int:
    return sum(getattr(shard, field) for shard in manifest.shards)


def _histogram_bounds(counts: Sequence[int], longest: int) -> tuple[int, int]:
    """The least and the most that lengths with this histogram can add up to."""
    step = accounting.BIN_TOKENS
    last = len(counts) - 1
    least = sum(index * step * count for index, count in enumerate(counts))
    most = sum(
        count * (longest if index == last else min(longest, index * step + step - 1))
        for index, count in enumerate(counts)
    )
    return least, most
