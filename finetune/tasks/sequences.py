"""Assemble token ids into inputs of the encoder: [CLS] first [SEP] second [SEP], then padding.

Legend for shapes: N sequences, S tokens of each.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from data import schema
from data.vocab import Vocab


@dataclasses.dataclass(frozen=True, kw_only=True)
class Segment:
    """One segment of every sequence: sequence n takes `lengths[n]` ids from `starts[n]` on.

    Attributes:
      ids: token ids of all texts, concatenated, [T].
      starts: index into `ids` of each sequence's first token, [N]; segments may overlap.
      lengths: number of tokens of each sequence, [N].
    """

    ids: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray

    @classmethod
    def from_texts(cls, ids: np.ndarray, lengths_N: np.ndarray) -> Segment:
        """Return a segment with one text for each sequence, from `WordPieceTokenizer.encode`."""
        lengths_N = lengths_N.astype(np.int64)
        return cls(ids=ids, starts=np.cumsum(lengths_N) - lengths_N, lengths=lengths_N)

    def truncate(self, lengths: np.ndarray) -> Segment:
        """Return the first `lengths[n]` tokens of each sequence."""
        return dataclasses.replace(self, lengths=lengths)

    def positions(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (sequence, position within the segment) of every token, both int64."""
        sequence = np.repeat(np.arange(len(self.lengths)), self.lengths)
        before = np.cumsum(self.lengths) - self.lengths
        return sequence, np.arange(len(sequence)) - np.repeat(before, self.lengths)


def truncate_pairs(
    first_N: np.ndarray, second_N: np.ndarray, *, max_tokens: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return lengths of pairs after truncation to `max_tokens`: the longer text is cut first.

    As in BERT, and in `bert_pack_inputs` of the exported preprocessor: if both are cut and the number
    is odd, the first text gets one token more.
    """
    half = max_tokens // 2
    return (
        np.minimum(first_N, np.maximum(max_tokens - second_N, max_tokens - half)),
        np.minimum(second_N, np.maximum(max_tokens - first_N, half)),
    )


def assemble(
    first: Segment, second: Segment | None = None, *, vocab: Vocab, max_seq_length: int
) -> dict[str, np.ndarray]:
    """Assemble the inputs of the encoder.

    Args:
      first: tokens after [CLS], of type 0.
      second: tokens after the first [SEP], of type 1.
      vocab: vocabulary with the special tokens.
      max_seq_length: S; segments and special tokens must fit.

    Returns:
      `input_word_ids`, `input_mask` and `input_type_ids`, int32 [N, S].
    """
    sep = vocab.ids[schema.SEP]
    num_sequences = len(first.lengths)
    ids_NS = np.full((num_sequences, max_seq_length), vocab.ids[schema.PAD], np.int32)
    ids_NS[:, 0] = vocab.ids[schema.CLS]
    stop_N = np.ones(num_sequences, np.int64)  # the first free position
    first_stop_N = stop_N + first.lengths + 1
    for segment in filter(None, (first, second)):
        sequence, within = segment.positions()
        ids_NS[sequence, stop_N[sequence] + within] = segment.ids[segment.starts[sequence] + within]
        stop_N = stop_N + segment.lengths
        ids_NS[np.arange(num_sequences), stop_N] = sep
        stop_N = stop_N + 1
    positions_S = np.arange(max_seq_length)
    mask_NS = positions_S < stop_N[:, None]
    return {
        "input_word_ids": ids_NS,
        "input_mask": mask_NS.astype(np.int32),
        "input_type_ids": (mask_NS & (positions_S >= first_stop_N[:, None])).astype(np.int32),
    }
