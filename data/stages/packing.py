"""FULL-SENTENCES: whole sentences packed into fixed-length sequences, across documents.

As in RoBERTa (https://arxiv.org/abs/1907.11692, section 4.2): "inputs are packed with full sentences
sampled contiguously from one or more documents, such that the total length is at most 512 tokens.
Inputs may cross document boundaries. When we reach the end of one document, we begin sampling
sentences from the next document and add an extra separator token between documents."

The paper leaves open whether sentences of one document are separated too; both readings are here:

    separators="document":  [CLS] d1s1 d1s2 [SEP] d2s1 [SEP] [PAD] ...
    separators="sentence":  [CLS] d1s1 [SEP] d1s2 [SEP] [SEP] d2s1 [SEP] [PAD] ...

The second is what fairseq's `--sample-break-mode complete` makes of one sentence a line and an
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
    """Shape and special tokens of a sequence; `separators` as in BuildConfig."""

    max_seq_length: int
    separators: str
    cls_id: int
    sep_id: int
    pad_id: int

    @classmethod
    def create(cls, config: BuildConfig, vocab: Vocab) -> Layout:
        """The layout of a build."""
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
    """Packs sentences greedily; no token is dropped and none is repeated.

    A sentence too long for a sequence is split into parts of S - 2 tokens, which then count as
    sentences of their own. The separator between documents counts as a sentence of one token.
    Where a sequence ends at a boundary, "document" needs none; "sentence" puts it where the greedy
    order does: last if it fits, else first in the next sequence, unless it would be alone there.

    Args:
      tokens_T: ids of all sentences, one after the other.
      lengths_K: tokens of each sentence, at least 1.
      starts_part_K: bool, whether the sentence is the first of a document or of a chapter.
      layout: of the sequences.

    Returns:
      Padded sequences [N, S] of the dtype of `tokens_T`.
    """
    lengths_K, starts_part_K = _split_overlong(lengths_K, starts_part_K, layout.max_seq_length - 2)
    own_separator = int(layout.separators == "sentence")
    # Items are what is placed: sentences (with their own separator, if any) and boundaries.
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
    # Where each placed item goes in the flat array; boundaries between sequences are not placed.
    counts = stops - starts
    item = np.repeat(starts - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
    row = np.repeat(np.arange(num_sequences), counts)
    place = row * seq_length + 1 + offset[item] - offset[starts[row]]

    sentence_place = place[~is_boundary[item]]
    first_token_K = np.cumsum(lengths_K) - lengths_K
    flat[np.repeat(sentence_place - first_token_K, lengths_K) + np.arange(len(tokens_T))] = tokens_T
    flat[place[is_boundary[item]]] = layout.sep_id
    if own_separator:
        flat[sentence_place + lengths_K] = layout.sep_id
    else:
        ends = np.arange(num_sequences) * seq_length + 1 + offset[stops] - offset[starts]
        flat[ends] = layout.sep_id
    return packed_NS


def crosses_boundary(tokens_NS: np.ndarray, layout: Layout) -> np.ndarray:
    """Whether each sequence holds text from both sides of a boundary, bool [N].

    A boundary lies between documents, and between the chapters of one where `pack` was told of them.

    Args:
      tokens_NS: packed sequences; they may be masked.
      layout: with which they were packed.
    """
    is_sep_NS = tokens_NS == layout.sep_id
    if layout.separators == "document":
        return is_sep_NS.sum(axis=1) > 1
    # A boundary is a separator after that of a sentence; one that ends the sequence parts nothing.
    has_text_after_NS = tokens_NS[:, 2:] != layout.pad_id
    return (is_sep_NS[:, :-2] & is_sep_NS[:, 1:-1] & has_text_after_NS).any(axis=1)


def _split_overlong(
    lengths_K: np.ndarray, starts_part_K: np.ndarray, limit: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cuts sentences into parts of at most `limit` tokens."""
    lengths_K = lengths_K.astype(np.int64)
    num_parts = -(-lengths_K // limit)
    last = np.cumsum(num_parts) - 1
    lengths = np.full(num_parts.sum(), limit, np.int64)
    lengths[last] = lengths_K - (num_parts - 1) * limit
    starts_part = np.zeros(len(lengths), bool)
    starts_part[last - num_parts + 1] = starts_part_K
    return lengths, starts_part


def _items(size_K: np.ndarray, boundary_K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sizes of sentences and of the boundaries before them, in order, and which are boundaries."""
    place_K = np.arange(len(size_K)) + np.cumsum(boundary_K)
    size = np.ones(len(size_K) + boundary_K.sum(), np.int64)
    size[place_K] = size_K
    is_boundary = np.ones(len(size), bool)
    is_boundary[place_K] = False
    return size, is_boundary


def _greedy(
    offset: np.ndarray, is_boundary: np.ndarray, capacity: int, *, keep_outer_boundaries: bool
) -> tuple[np.ndarray, np.ndarray]:
    """First item, and the item after the last, of each sequence."""
    starts, stops = [], []
    item, num_items = 0, len(is_boundary)
    while item < num_items:
        if is_boundary[item]:
            alone = offset[item + 2] - offset[item] > capacity
            item += int(alone or not keep_outer_boundaries)
        next_item = int(np.searchsorted(offset, offset[item] + capacity, side="right")) - 1
        ends_at_boundary = is_boundary[next_item - 1] and not keep_outer_boundaries
        starts.append(item)
        stops.append(next_item - int(ends_at_boundary))
        item = next_item
    return np.array(starts, np.int64), np.array(stops, np.int64)
