"""Account for every input byte and every token of a build.

Each stage counts what it saw; `check` then reconciles the counts of the stages. A tally maps a
source ("wiki", "books", ...) to counts by name. The tallies of workers are added.

Bytes:   input = skipped (by reason) + rejected + sections + markup + text
         text = contaminated + duplicates (three kinds) + packed
Tokens:  tokenized = duplicates (three kinds) + packed
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping

import numpy as np

BIN_TOKENS = 16  # width of a histogram bin
_MIN_LENGTH = 512  # histograms of shorter sequences have the bins of this length

INPUT, REJECTED, SECTIONS = "bytes_input", "bytes_rejected", "bytes_sections"
MARKUP, TEXT, CONTAMINATED = "bytes_markup", "bytes_text", "bytes_contaminated"
SKIPPED = "bytes_skipped_"  # a prefix, before the reason
TOKENS, SENTENCES = "tokens_tokenized", "sentences_tokenized"
# What became of a paragraph: three reasons to drop it, or packed.
EXACT, NEAR, PARAGRAPH, PACKED = FATES = (
    "duplicate_document",
    "near_duplicate_document",
    "duplicate_paragraph",
    "packed",
)

# Of one file: bytes that are kept as prose, and those of all its paragraphs as a reader sees them.
PROSE_KEPT, PROSE_EXPECTED = "bytes_kept", "bytes_expected"

READ, DOCUMENTS_REJECTED = "documents_read", "documents_rejected"

Tally = dict[str, collections.Counter[str]]


def new_tally() -> Tally:
    """Return an empty tally."""
    return collections.defaultdict(collections.Counter)


def add(tallies: Iterable[Mapping[str, Mapping[str, int]]]) -> dict[str, dict[str, int]]:
    """Return the sum of tallies, as plain dictionaries in sorted order."""
    total = new_tally()
    for tally in tallies:
        for source, counts in tally.items():
            total[source].update(counts)
    return {source: dict(sorted(total[source].items())) for source in sorted(total)}


def outcomes(counts: dict[str, int], unit: str) -> dict[str, int]:
    """Return what became of the input "bytes" or of the "tokens" made of it, packed ones first.

    If `check` passes, the values add up to the input.
    """
    dropped = []
    if unit == "bytes":
        skipped = sorted(name for name in counts if name.startswith(SKIPPED))
        dropped = [MARKUP, SECTIONS, *skipped, REJECTED, CONTAMINATED]
    names = [f"{unit}_{PACKED}", *dropped, *(f"{unit}_{fate}" for fate in FATES if fate != PACKED)]
    return {name: counts.get(name, 0) for name in names}


def document_outcomes(counts: dict[str, int]) -> dict[str, int]:
    """Return what became of the documents that were read.

    "documents_emptied" counts documents that are neither packed nor duplicates: all their
    paragraphs were contaminated or duplicates.
    """
    documents = {
        f"documents_{fate}": counts.get(f"documents_{fate}", 0) for fate in (PACKED, EXACT, NEAR)
    }
    return documents | {"documents_emptied": counts.get(READ, 0) - sum(documents.values())}


def check(tally: dict[str, dict[str, int]]) -> None:
    """Raise a RuntimeError if the counts of the stages disagree: a bug, whatever the input."""
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


def histogram(lengths: np.ndarray, *, max_seq_length: int) -> list[int]:
    """Return counts of lengths in tokens, in bins of BIN_TOKENS; the last bin has no upper bound.

    The last bin includes `max_seq_length`.
    """
    num_bins = max(_MIN_LENGTH, max_seq_length) // BIN_TOKENS + 1
    bins = np.minimum(np.asarray(lengths, np.int64) // BIN_TOKENS, num_bins - 1)
    return np.bincount(bins, minlength=num_bins).tolist()
