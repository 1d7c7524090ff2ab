"""Masks as a pure integer function of (seed, tokens, copy).

The same function makes the TFRecords of a build and the masks made while reading, so both give the
same bytes on any machine, in any order, on any number of workers. No floats, no library RNG.

For every sequence: `count` positions that hold no special token are chosen by the smallest of
64-bit ranks; of these 80% show [MASK], 10% a random piece, 10% themselves (BERT, section 3.1 of
https://arxiv.org/abs/1810.04805).

Legend: N sequences, S tokens in a sequence, P predictions in a sequence.
"""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import numpy as np

from data import schema
from data.config import BuildConfig
from data.hashing import derive_key, mix64
from data.vocab import Vocab

_POSITION_MASK = np.uint64(2**16 - 1)
_RANKS, _CHOICES, _PIECES = 1, 2, 3  # names of the three independent streams of hashes


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskingRule:
    """Everything that masks depend on beside the tokens and the copy.

    Attributes:
      seed: of the masks.
      max_predictions: P, the most masked positions in a sequence.
      rate: numerator and denominator of the share of tokens that is predicted.
      mask_below: a hash below this (of 2**32) shows [MASK],
      random_below: one below this a random piece, any other the piece itself.
      pad_id: marks the positions that are not part of the sequence.
      mask_id: id of [MASK].
      is_special: bool [vocab], pieces never masked.
      replacement_ids: int32 [n], pieces a random one is drawn from: all but the special ones.
    """

    seed: int
    max_predictions: int
    rate: tuple[int, int]
    mask_below: int
    random_below: int
    pad_id: int
    mask_id: int
    is_special: np.ndarray
    replacement_ids: np.ndarray

    @classmethod
    def create(cls, config: BuildConfig, vocab: Vocab) -> MaskingRule:
        """The rule of a build."""
        # Through str, so that 0.15 is 3/20 and not the nearest binary fraction.
        rate = Fraction(str(config.masked_lm_rate))
        mask = Fraction(str(config.mask_token_rate))
        random = Fraction(str(config.random_token_rate))
        is_special = np.zeros(len(vocab), bool)
        is_special[vocab.special_ids] = True
        return cls(
            seed=config.seed,
            max_predictions=config.max_predictions,
            rate=(rate.numerator, rate.denominator),
            mask_below=int(mask * 2**32),
            random_below=int((mask + random) * 2**32),
            pad_id=vocab.ids[schema.PAD],
            mask_id=vocab.ids[schema.MASK],
            is_special=is_special,
            replacement_ids=np.flatnonzero(~is_special).astype(np.int32),
        )


def mask_sequences(
    tokens_NS: np.ndarray, copies_N: np.ndarray, rule: MaskingRule
) -> dict[str, np.ndarray]:
    """Masks each sequence as copy `copies_N[n]` of it.

    The number of predictions is min(P, max(1, floor(rate * length + 1/2))), length being the tokens
    of the sequence with [CLS] and [SEP], and never more than there are maskable positions.

    Args:
      tokens_NS: unsigned ids, padded with [PAD] at the end; S at most 65,536.
      copies_N: number of the copy for each sequence.
      rule: the masking rule.

    Returns:
      The features of schema.FEATURES: int32 [N, S] or [N, P], weights float32 [N, P]. Positions are
      ascending; unused ones are 0 with id 0 and weight 0.
    """
    key_N1 = derive_key(rule.seed, fingerprints(tokens_NS), copies_N)[:, None]
    ids_NS = tokens_NS.astype(np.int32)
    is_token_NS = tokens_NS != rule.pad_id
    candidate_NS = ~rule.is_special[ids_NS]

    numerator, denominator = rule.rate
    count_N = (2 * numerator * is_token_NS.sum(axis=1) + denominator) // (2 * denominator)
    count_N = np.minimum(np.clip(count_N, 1, rule.max_predictions), candidate_NS.sum(axis=1))
    chosen_NP = np.arange(rule.max_predictions) < count_N[:, None]

    position_NP = _choose_positions(key_N1, candidate_NS, chosen_NP)
    label_NP = np.where(chosen_NP, np.take_along_axis(ids_NS, position_NP, axis=1), 0)
    shown_NP = _shown_pieces(key_N1, position_NP, label_NP, rule)
    masked_NS = ids_NS.copy()
    row, column = np.nonzero(chosen_NP)
    masked_NS[row, position_NP[row, column]] = shown_NP[row, column]
    return {
        "input_word_ids": masked_NS,
        "input_mask": is_token_NS.astype(np.int32),
        "input_type_ids": np.zeros_like(masked_NS),
        "masked_lm_positions": position_NP.astype(np.int32),
        "masked_lm_ids": label_NP,
        "masked_lm_weights": chosen_NP.astype(np.float32),
    }


def fingerprints(tokens_NS: np.ndarray) -> np.ndarray:
    """64-bit hash of each sequence's tokens, uint64 [N]: a multilinear hash, mixed."""
    multiplier_S = mix64(np.arange(tokens_NS.shape[1], dtype=np.uint64)) | np.uint64(1)
    return mix64((tokens_NS.astype(np.uint64) + np.uint64(1)) @ multiplier_S)


def _choose_positions(
    key_N1: np.ndarray, candidate_NS: np.ndarray, chosen_NP: np.ndarray
) -> np.ndarray:
    """The candidates of the smallest ranks, ascending, int64 [N, P]; 0 where not `chosen_NP`."""
    num_predictions = chosen_NP.shape[1]
    position_S = np.arange(candidate_NS.shape[1], dtype=np.uint64)
    # The position stands in the low bits of its rank: ranks are distinct, and sorting them yields
    # the positions themselves. What may not be masked ranks last.
    rank_NS = mix64(derive_key(key_N1, _RANKS) ^ mix64(position_S))
    rank_NS = np.where(candidate_NS, rank_NS >> np.uint64(1), ~np.uint64(0))
    rank_NS = (rank_NS & ~_POSITION_MASK) | position_S
    smallest_NP = np.sort(np.partition(rank_NS, num_predictions - 1)[:, :num_predictions])
    position_NP = np.where(chosen_NP, smallest_NP & _POSITION_MASK, _POSITION_MASK)
    return np.where(chosen_NP, np.sort(position_NP), 0).astype(np.int64)


def _shown_pieces(
    key_N1: np.ndarray, position_NP: np.ndarray, label_NP: np.ndarray, rule: MaskingRule
) -> np.ndarray:
    """What stands in the place of each predicted piece: [MASK], a random piece, or itself."""
    place_NP = mix64(position_NP.astype(np.uint64))
    choice_NP = mix64(derive_key(key_N1, _CHOICES) ^ place_NP) >> np.uint64(32)
    # A 32-bit fraction of the number of pieces: uniform to 1 part in 2**17.
    fraction_NP = mix64(derive_key(key_N1, _PIECES) ^ place_NP) >> np.uint64(32)
    num_pieces = np.uint64(len(rule.replacement_ids))
    random_NP = rule.replacement_ids[(fraction_NP * num_pieces) >> np.uint64(32)]
    return np.where(
        choice_NP < rule.mask_below,
        np.int32(rule.mask_id),
        np.where(choice_NP < rule.random_below, random_NP, label_NP),
    )
