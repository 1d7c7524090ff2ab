"""The books of a build: what became of every input byte and of every token.

Each stage counts what it saw for itself; `check` then demands that the sums agree. A tally maps a
source ("wiki", "books", ...) to counts by name; tallies of workers are added up.

Bytes:   input = skipped (by reason) + rejected + sections + markup + text
         text = contaminated + duplicates (three kinds) + packed
Tokens:  tokenized = duplicates (three kinds) + packed
"""

from __future__ import annotations

import collections
from collections.abc import Iterable

import numpy as np

# Histograms count lengths in steps of this many tokens; the last bin is open.
BIN_TOKENS = 16
NUM_BINS = 33

INPUT, REJECTED, SECTIONS = "bytes_input", "bytes_rejected", "bytes_sections"
MARKUP, TEXT, CONTAMINATED = "bytes_markup", "bytes_text", "bytes_contaminated"
SKIPPED = "bytes_skipped_"  # and the reason
TOKENS = "tokens_tokenized"
# Why a paragraph is not packed, and the last one: that it is.
EXACT, NEAR, PARAGRAPH, PACKED = FATES = (
    "duplicate_document",
    "near_duplicate_document",
    "duplicate_paragraph",
    "packed",
)

READ, DOCUMENTS_REJECTED = "documents_read", "documents_rejected"

Tally = dict[str, collections.Counter]


def new_tally() -> Tally:
    """An empty tally."""
    return collections.defaultdict(collections.Counter)


def add(tallies: Iterable[dict[str, dict[str, int]]]) -> dict[str, dict[str, int]]:
    """The sum of tallies, as plain dictionaries in sorted order."""
    total = new_tally()
    for tally in tallies:
        for source, counts in tally.items():
            total[source].update(counts)
    return {source: dict(sorted(total[source].items())) for source in sorted(total)}


def outcomes(counts: dict[str, int], unit: str) -> dict[str, int]:
    """What became of the "bytes" that were read or the "tokens" that were made: what is kept first.

    Their sum is what went in, if `check` has nothing to say.
    """
    dropped = []
    if unit == "bytes":
        skipped = sorted(name for name in counts if name.startswith(SKIPPED))
        dropped = [MARKUP, SECTIONS, *skipped, REJECTED, CONTAMINATED]
    names = [f"{unit}_{PACKED}", *dropped, *(f"{unit}_{fate}" for fate in FATES if fate != PACKED)]
    return {name: counts.get(name, 0) for name in names}


def document_outcomes(counts: dict[str, int]) -> dict[str, int]:
    """What became of the documents that were read.

    "documents_emptied" are those of which neither is true: every paragraph of theirs went, as
    contaminated or as a duplicate.
    """
    found = {
        f"documents_{fate}": counts.get(f"documents_{fate}", 0) for fate in (PACKED, EXACT, NEAR)
    }
    return found | {"documents_emptied": counts.get(READ, 0) - sum(found.values())}


def check(tally: dict[str, dict[str, int]]) -> None:
    """Raises a RuntimeError if something got lost: a defect of ours, never of the input."""
    for source, counts in tally.items():
        count = collections.Counter(counts)
        text = count[CONTAMINATED] + sum(count[f"bytes_{fate}"] for fate in FATES)
        for left, right in (
            (count[INPUT], sum(outcomes(count, "bytes").values())),
            (count[TEXT], text),
            (count[TOKENS], sum(outcomes(count, "tokens").values())),
        ):
            if left != right:
                raise RuntimeError(
                    f"the accounts of {source} do not add up: {left} against {right}; please"
                    f" report this with the counts {dict(count)}"
                )


def histogram(lengths) -> list[int]:
    """Counts of lengths in bins of BIN_TOKENS."""
    bins = np.minimum(np.asarray(lengths, np.int64) // BIN_TOKENS, NUM_BINS - 1)
    return np.bincount(bins, minlength=NUM_BINS).tolist()
