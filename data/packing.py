"""FULL-SENTENCES: whole sentences packed into fixed-length sequences, across documents.

As in RoBERTa (https://arxiv.org/abs/1907.11692, section 4.2): "inputs are packed with full sentences
sampled contiguously from one or more documents, such that the total length is at most 512 tokens.
Inputs may cross document boundaries. When we reach the end of one document, we begin sampling
sentences from the next document and add an extra separator token between documents."

    [CLS] d1s1 d1s2 [SEP] d2s1 [SEP] [PAD] ...
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np


def pack(
    documents: Iterable[Sequence[np.ndarray]],
    *,
    max_seq_length: int,
    cls_id: int,
    sep_id: int,
) -> Iterator[np.ndarray]:
    """Packs sentences greedily; no token is dropped and none is repeated.

    A sequence starts with [CLS], ends with [SEP], and has one [SEP] wherever the next document
    begins inside it. A sentence longer than a sequence is split into sequence-sized parts, which
    then count as sentences of their own.

    Args:
      documents: the sentences of each document in order, each an integer array [n].
      max_seq_length: most tokens in a sequence, [CLS] and [SEP] included; at least 3.
      cls_id: id of [CLS].
      sep_id: id of [SEP].

    Yields:
      Sequences without padding, integer arrays [<= max_seq_length]; the last one may be short.
    """
    capacity = max_seq_length - 1  # the last [SEP] must fit as well
    parts: list[np.ndarray] = []  # of the sequence being filled, after [CLS]
    length = 1
    cls, sep = np.array([cls_id]), np.array([sep_id])

    for document in documents:
        at_boundary = True  # the document has no token in any sequence yet
        for sentence in _split_overlong(document, capacity - 1):
            separator = 1 if at_boundary and parts else 0
            if length + separator + len(sentence) > capacity:
                yield np.concatenate([cls, *parts, sep])
                parts, length, separator = [], 1, 0
            if separator:
                parts.append(sep)
            parts.append(sentence)
            length += separator + len(sentence)
            at_boundary = False
    if parts:
        yield np.concatenate([cls, *parts, sep])


def _split_overlong(sentences: Iterable[np.ndarray], limit: int) -> Iterator[np.ndarray]:
    for sentence in sentences:
        for start in range(0, len(sentence), limit):
            yield sentence[start : start + limit]


def pad(
    sequences: Sequence[np.ndarray], *, max_seq_length: int, pad_id: int, dtype: np.dtype
) -> np.ndarray:
    """Stacks sequences into an array [N, max_seq_length], filled up with `pad_id`."""
    padded_NS = np.full((len(sequences), max_seq_length), pad_id, dtype)
    for row, sequence in zip(padded_NS, sequences, strict=True):
        row[: len(sequence)] = sequence
    return padded_NS
