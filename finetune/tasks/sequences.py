"""Token ids to the arrays that encoders take: [CLS] first [SEP] second [SEP], then padding.

Legend for shapes: N sequences, S tokens of each.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from data import schema
from data.vocab import Vocab


@dataclasses.dataclass(frozen=True, kw_only=True)
class Segment:
    """One part of every sequence: sequence n takes `lengths[n]` ids from `starts[n]` on.

    Attributes:
      ids: of all texts one after the other, [T].
      starts: [N], where in `ids` the part of each sequence begins; parts may overlap.
      lengths: [N], number of its tokens.
    """

    ids: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray

    @classmethod
    def of_texts(cls, ids: np.ndarray, lengths_N: np.ndarray) -> Segment:
        """A text for each sequence, as `WordPieceTokenizer.encode` gives them."""
        lengths_N = lengths_N.astype(np.int64)
        return cls(ids=ids, starts=np.cumsum(lengths_N) - lengths_N, lengths=lengths_N)

    def cut(self, lengths: np.ndarray) -> Segment:
        """The same with other lengths."""
        return dataclasses.replace(self, lengths=lengths)

    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """(sequence, place within its part) of every token, int64 both."""
        sequence = np.repeat(np.arange(len(self.lengths)), self.lengths)
        before = np.cumsum(self.lengths) - self.lengths
        return sequence, np.arange(len(sequence)) - np.repeat(before, self.lengths)


def trim_pairs(
    first_N: np.ndarray, second_N: np.ndarray, *, room: int
) -> tuple[np.ndarray, np.ndarray]:
    """Lengths of pairs that fit: the longer text loses its last tokens first.

    As BERT did, and as the exported preprocessor's `bert_pack_inputs` does: of an odd number of
    places the first text gets one more.
    """
    half = room // 2
    return (
        np.minimum(first_N, np.maximum(room - second_N, room - half)),
        np.minimum(second_N, np.maximum(room - first_N, half)),
    )


def assemble(
    first: Segment, second: Segment | None = None, *, vocab: Vocab, max_seq_length: int
) -> dict[str, np.ndarray]:
    """Inputs of the encoder.

    Args:
      first: follows [CLS], in segment 0.
      second: follows the first [SEP], in segment 1.
      vocab: has the special tokens.
      max_seq_length: S; the parts must fit.

    Returns:
      `input_word_ids`, `input_mask` and `input_type_ids`, int32 [N, S].
    """
    sep = vocab.ids[schema.SEP]
    num_sequences = len(first.lengths)
    ids_NS = np.full((num_sequences, max_seq_length), vocab.ids[schema.PAD], np.int32)
    ids_NS[:, 0] = vocab.ids[schema.CLS]
    stop_N = np.ones(num_sequences, np.int64)  # the first place that is free
    first_stop_N = stop_N + first.lengths + 1
    for segment in filter(None, (first, second)):
        sequence, within = segment.places()
        ids_NS[sequence, stop_N[sequence] + within] = segment.ids[segment.starts[sequence] + within]
        stop_N = stop_N + segment.lengths
        ids_NS[np.arange(num_sequences), stop_N] = sep
        stop_N = stop_N + 1
    places_S = np.arange(max_seq_length)
    mask_NS = places_S < stop_N[:, None]
    return {
        "input_word_ids": ids_NS,
        "input_mask": mask_NS.astype(np.int32),
        "input_type_ids": (mask_NS & (places_S >= first_stop_N[:, None])).astype(np.int32),
    }
