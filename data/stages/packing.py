"""Pack whole sentences into sequences of fixed length, across documents (FULL-SENTENCES).

As in RoBERTa (https://arxiv.org/abs/1907.11692, section 4.2): "inputs are packed with full sentences
sampled contiguously from one or more documents, such that the total length is at most 512 tokens.
Inputs may cross document boundaries. When we reach the end of one document, we begin sampling
sentences from the next document and add an extra separator token between documents."

The paper does not say whether sentences of one document are separated too. Both are implemented:

    separators="document":  [CLS] d1s1 d1s2 [SEP] d2s1 [SEP] [PAD] ...
    separators="sentence":  [CLS] d1s1 [SEP] d1s2 [SEP] [SEP] d2s1 [SEP] [PAD] ...

The second equals fairseq's `--sample-break-mode complete` on text with one sentence per line and an
empty line after each document.

Legend: T tokens, K sentences, N sequences, S tokens in a sequence.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from data import schema
from data.config import BuildConfig
from data.vocab import Vocab


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """Shape and special tokens of a sequence; for `separators` see BuildConfig."""

    max_seq_length: int
    separators: str
    cls_id: int
    sep_id: int
    pad_id: int

    @classmethod
    def create(cls, config: BuildConfig, vocab: Vocab) -> Layout:
        """Return the layout of a build."""
        return cls(
            max_seq_length=config.max_seq_length,
            separators=config.separators,
            cls_id=vocab.ids[schema.CLS],
            sep_id=vocab.ids[schema.SEP],
            pad_id=vocab.ids[schema.PAD],
        )


def pack(
    tokens_T: np.ndarray, lengths_K: np.ndarray, starts_part_K: np.ndarray, layout: Layout
) -> np.ndarray:
    """Pack sentences greedily; no token is dropped or repeated.

    A sentence longer than S - 2 tokens is split into parts of S - 2 tokens, which then count as
    sentences. The separator between documents counts as a sentence of one token. Where a sequence
    ends at a boundary between documents, "document" writes no such separator. "sentence" writes it
    at the end of the sequence if it fits, else at the start of the next one, unless that sequence
    would hold nothing else.

    Args:
      tokens_T: ids of all sentences, concatenated.
      lengths_K: tokens of each sentence, at least 1.
      starts_part_K: bool, whether the sentence is the first of a document or of a chapter.
      layout: shape and special tokens of the sequences.

    Returns:
      Padded sequences [N, S] of the dtype of `tokens_T`.
    """
    lengths_K, starts_part_K = _split_overlong(lengths_K, starts_part_K, layout.max_seq_length - 2)
    own_separator = int(layout.separators == "sentence")
    # Items are sentences, with their own separator if any, and boundaries.
    boundary_K = starts_part_K.copy()
    boundary_K[:1] = False
    size, is_boundary = _items(lengths_K + own_separator, boundary_K)
    offset = np.concatenate([[0], np.cumsum(size)])
    capacity = layout.max_seq_length - (1 if own_separator else 2)  # [CLS], and a last [SEP]
    starts, stops = _greedy(
        offset, is_boundary, capacity, keep_outer_boundaries=bool(own_separator)
    )

    num_sequences, seq_length = len(starts), layout.max_seq_length
    packed_NS = np.full((num_sequences, seq_length), layout.pad_id, tokens_T.dtype)
    packed_NS[:, 0] = layout.cls_id
    flat = packed_NS.reshape(-1)
    # Position of each packed item in the flat array. Boundaries between sequences are not packed.
    counts = stops - starts
    item = np.repeat(starts - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
    row = np.repeat(np.arange(num_sequences), counts)
    position = row * seq_length + 1 + offset[item] - offset[starts[row]]

    sentence_position = position[~is_boundary[item]]
    first_token_K = np.cumsum(lengths_K) - lengths_K
    token_position_T = np.repeat(sentence_position - first_token_K, lengths_K)
    flat[token_position_T + np.arange(len(tokens_T))] = tokens_T
    flat[position[is_boundary[item]]] = layout.sep_id
    if own_separator:
        flat[sentence_position + lengths_K] = layout.sep_id
    else:
        ends = np.arange(num_sequences) * seq_length + 1 + offset[stops] - offset[starts]
        flat[ends] = layout.sep_id
    return packed_NS


def crosses_boundary(tokens_NS: np.ndarray, layout: Layout) -> np.ndarray:
    """Return whether each sequence has text from both sides of a boundary, bool [N].

    Boundaries are between documents, and between those chapters that were marked for `pack`.

    Args:
      tokens_NS: packed sequences, masked or not.
      layout: layout of the sequences.
    """
    is_sep_NS = tokens_NS == layout.sep_id
    if layout.separators == "document":
        return is_sep_NS.sum(axis=1) > 1
    # A boundary is a separator after the separator of a sentence, with text after it.
    has_text_after_NS = tokens_NS[:, 2:] != layout.pad_id
    return (is_sep_NS[:, :-2] & is_sep_NS[:, 1:-1] & has_text_after_NS).any(axis=1)


def _split_overlong(
    lengths_K: np.ndarray, starts_part_K: np.ndarray, limit: int
) -> tuple[np.ndarray, np.ndarray]:
    """Split sentences into parts of at most `limit` tokens."""
    lengths_K = lengths_K.astype(np.int64)
    num_parts = -(-lengths_K // limit)
    last = np.cumsum(num_parts) - 1
    lengths = np.full(num_parts.sum(), limit, np.int64)
    lengths[last] = lengths_K - (num_parts - 1) * limit
    starts_part = np.zeros(len(lengths), bool)
    starts_part[last - num_parts + 1] = starts_part_K
    return lengths, starts_part


def _items(size_K: np.ndarray, boundary_K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Insert a boundary of size 1 before each marked sentence.

    Returns:
      (size, is_boundary): size of each item in order, and whether it is a boundary.
    """
    item_K = np.arange(len(size_K)) + np.cumsum(boundary_K)
    size = np.ones(len(size_K) + boundary_K.sum(), np.int64)
    size[item_K] = size_K
    is_boundary = np.ones(len(size), bool)
    is_boundary[item_K] = False
    return size, is_boundary


def _greedy(
    offset: np.ndarray, is_boundary: np.ndarray, capacity: int, *, keep_outer_boundaries: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the first item of each sequence, and the item after its last."""
    starts, stops = [], []
    item, num_items = 0, len(is_boundary)
    while item < num_items:
        if is_boundary[item]:
            would_be_alone = offset[item + 2] - offset[item] > capacity
            item += int(would_be_alone or not keep_outer_boundaries)
        next_item = int(np.searchsorted(offset, offset[item] + capacity, side="right")) - 1
        ends_at_boundary = is_boundary[next_item - 1] and not keep_outer_boundaries
        starts.append(item)
        stops.append(next_item - int(ends_at_boundary))
        item = next_item
    return np.array(starts, np.int64), np.array(stops, np.int64)
