"""Mask sequences: an integer function of (seed, tokens, copy number).

A build calls it to write masked TFRecords, and training calls it to mask packed sequences while
reading. It uses no floating point and no library random number generator, so both give the same
bytes on any machine, in any order, on any number of workers.

For each sequence a masking scheme chooses the positions to predict. Of these, 80% show [MASK],
10% a random piece and 10% the original piece (BERT, section 3.1 of
https://arxiv.org/abs/1810.04805). `SCHEMES` lists the schemes: single tokens, whole words, and
spans of several tokens or words (n-grams; ALBERT, section 4.1 of https://arxiv.org/abs/1909.11942).

Legend: N sequences, S tokens in a sequence, P predictions in a sequence.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from data import schema
from data.config import MASK_UNITS, BuildConfig
from data.errors import UserError
from data.hashing import derive_key, mix64
from data.vocab import Vocab

_POSITION_MASK = np.uint64(2**16 - 1)
RANKS, CHOICES, PIECES, LENGTHS = 1, 2, 3, 4  # numbers of the independent hash streams
_BLOCK = 128  # sequences masked in one numpy call, so that their hashes fit in the CPU cache


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskingRule:
    """Everything that masks depend on besides the tokens and the copy number.

    Attributes:
      scheme: key of SCHEMES; how positions are chosen.
      seed: mask seed.
      max_predictions: P, maximum number of masked positions in a sequence.
      rate: numerator and denominator of the share of tokens to predict.
      mask_below: a 32-bit hash below this value shows [MASK].
      random_below: otherwise, a hash below this value shows a random piece, any other hash the
        original piece.
      pad_id: id of [PAD].
      mask_id: id of [MASK].
      is_special: bool [vocab], pieces that are never masked.
      replacement_ids: int32 [n], candidates for the random piece: all but the special ones.
      is_continuation: bool [vocab], pieces that belong to the unit of the piece before them; all
        False if every token is a unit.
      length_from: a span whose 32-bit hash is at least element i has more than i + 1 units; empty
        if every span is a single unit.
    """

    scheme: str
    seed: int
    max_predictions: int
    rate: tuple[int, int]
    mask_below: int
    random_below: int
    pad_id: int
    mask_id: int
    is_special: np.ndarray
    replacement_ids: np.ndarray
    is_continuation: np.ndarray
    length_from: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.scheme not in SCHEMES:
            raise UserError(
                f"masking scheme {self.scheme!r} is unknown; the known schemes are"
                f" {', '.join(map(repr, SCHEMES))}"
            )

    @classmethod
    def create(cls, config: BuildConfig, vocab: Vocab) -> MaskingRule:
        """Return the rule of a build."""
        # Through str, so that 0.15 is 3/20 and not the nearest binary fraction.
        rate = Fraction(str(config.masked_lm_rate))
        mask = Fraction(str(config.mask_token_rate))
        random = Fraction(str(config.random_token_rate))
        is_special = np.zeros(len(vocab), bool)
        is_special[vocab.special_ids] = True
        is_continuation = np.zeros(len(vocab), bool)
        unit = config.mask_unit
        if unit == "whole_word":
            is_continuation[:] = [piece.startswith("##") for piece in vocab.pieces]
            # Without "##" pieces every word is a single token, which is faster to mask.
            unit = "whole_word" if is_continuation.any() else "token"
        scheme = scheme_name(unit, config.max_ngram)
        if scheme not in SCHEMES:
            raise UserError(
                f"BuildConfig.max_ngram={config.max_ngram}: must be 1 with"
                f" BuildConfig.mask_unit={config.mask_unit!r}, which has no n-grams"
            )
        weights = [Fraction(1, n) for n in range(1, config.max_ngram + 1)]
        return cls(
            scheme=scheme,
            seed=config.seed,
            max_predictions=config.max_predictions,
            rate=(rate.numerator, rate.denominator),
            mask_below=int(mask * 2**32),
            random_below=int((mask + random) * 2**32),
            pad_id=vocab.ids[schema.PAD],
            mask_id=vocab.ids[schema.MASK],
            is_special=is_special,
            replacement_ids=np.flatnonzero(~is_special).astype(np.int32),
            is_continuation=is_continuation,
            length_from=tuple(
                int(sum(weights[:n]) / sum(weights) * 2**32) for n in range(1, config.max_ngram)
            ),
        )


def scheme_name(mask_unit: str, max_ngram: int) -> str:
    """Return the key of SCHEMES for the settings of BuildConfig."""
    return mask_unit if max_ngram == 1 else f"{mask_unit}_ngram"


def mask_sequences(
    tokens_NS: np.ndarray, copies_N: np.ndarray, rule: MaskingRule
) -> dict[str, np.ndarray]:
    """Mask each sequence as copy `copies_N[n]` of it.

    The number of predictions is min(P, max(1, floor(rate * length + 1/2))), where length counts the
    tokens of the sequence with [CLS] and [SEP]. It is never more than the number of maskable
    positions.

    Args:
      tokens_NS: unsigned ids, padded with [PAD] at the end; S at most 65,536.
      copies_N: copy number of each sequence.
      rule: masking rule.

    Returns:
      The features of schema.FEATURES: int32 [N, S] or [N, P], weights float32 [N, P]. Positions are
      ascending; unused ones are 0 with id 0 and weight 0.
    """
    starts = range(0, max(1, len(tokens_NS)), _BLOCK)
    blocks = [
        _mask_block(tokens_NS[i : i + _BLOCK], copies_N[i : i + _BLOCK], rule) for i in starts
    ]
    if len(blocks) == 1:
        return blocks[0]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _mask_block(
    tokens_NS: np.ndarray, copies_N: np.ndarray, rule: MaskingRule
) -> dict[str, np.ndarray]:
    key_N1 = derive_key(rule.seed, fingerprints(tokens_NS), copies_N)[:, None]
    is_token_NS = tokens_NS != rule.pad_id
    count_N = _num_predictions(np.count_nonzero(is_token_NS, axis=1), rule)
    position_NP, chosen_NP = SCHEMES[rule.scheme].choose(key_N1, tokens_NS, count_N, rule)
    masked_NS = tokens_NS.astype(np.int32)
    label_NP = np.where(chosen_NP, np.take_along_axis(masked_NS, position_NP, axis=1), 0)
    shown_NP = _shown_pieces(key_N1, position_NP, label_NP, rule)
    row = np.nonzero(chosen_NP)[0]
    masked_NS[row, position_NP[chosen_NP]] = shown_NP[chosen_NP]
    return {
        "input_word_ids": masked_NS,
        "input_mask": is_token_NS.astype(np.int32),
        "input_type_ids": np.zeros_like(masked_NS),
        "masked_lm_positions": position_NP.astype(np.int32),
        "masked_lm_ids": label_NP,
        "masked_lm_weights": chosen_NP.astype(np.float32),
    }


def _num_predictions(length_N: np.ndarray, rule: MaskingRule) -> np.ndarray:
    """Return the rate times each sequence's length, rounded, at least 1, at most P; int64 [N]."""
    numerator, denominator = rule.rate
    count_N = (2 * numerator * length_N + denominator) // (2 * denominator)
    return np.clip(count_N, 1, rule.max_predictions)


def fingerprints(tokens_NS: np.ndarray) -> np.ndarray:
    """Return a 64-bit hash of each sequence's tokens, uint64 [N]: a multilinear hash, mixed."""
    multiplier_S = mix64(np.arange(tokens_NS.shape[1], dtype=np.uint64)) | np.uint64(1)
    return mix64((tokens_NS.astype(np.uint64) + np.uint64(1)) @ multiplier_S)


def _shown_pieces(
    key_N1: np.ndarray, position_NP: np.ndarray, label_NP: np.ndarray, rule: MaskingRule
) -> np.ndarray:
    """Return the piece shown at each predicted position: [MASK], a random piece, or the label."""
    position_hash_NP = mix64(position_NP.astype(np.uint64))
    choice_NP = mix64(derive_key(key_N1, CHOICES) ^ position_hash_NP) >> np.uint64(32)
    # A 32-bit fraction of the number of pieces: uniform to 1 part in 2**17.
    fraction_NP = mix64(derive_key(key_N1, PIECES) ^ position_hash_NP) >> np.uint64(32)
    num_pieces = np.uint64(len(rule.replacement_ids))
    random_NP = rule.replacement_ids[(fraction_NP * num_pieces) >> np.uint64(32)]
    return np.where(
        choice_NP < rule.mask_below,
        np.int32(rule.mask_id),
        np.where(choice_NP < rule.random_below, random_NP, label_NP),
    )


# --- Masking schemes ---


def choose_tokens(
    key_N1: np.ndarray, tokens_NS: np.ndarray, count_N: np.ndarray, rule: MaskingRule
) -> tuple[np.ndarray, np.ndarray]:
    """Choose single tokens: those of the smallest ranks. See `MaskingScheme.choose`."""
    candidate_NS = ~np.take(rule.is_special, tokens_NS)
    count_N = np.minimum(count_N, np.count_nonzero(candidate_NS, axis=1))
    chosen_NP = np.arange(rule.max_predictions) < count_N[:, None]
    ranks_NS = _ranks(key_N1, candidate_NS)
    ranks_NS.partition(rule.max_predictions - 1)
    smallest_NP = np.sort(ranks_NS[:, : rule.max_predictions])
    position_NP = np.where(chosen_NP, smallest_NP & _POSITION_MASK, _POSITION_MASK)
    return np.where(chosen_NP, np.sort(position_NP), 0).astype(np.int64), chosen_NP


def choose_units(
    key_N1: np.ndarray, tokens_NS: np.ndarray, count_N: np.ndarray, rule: MaskingRule
) -> tuple[np.ndarray, np.ndarray]:
    """Choose words, or spans of tokens or words, by `choose_spans`. See `MaskingScheme.choose`."""
    candidate_NS = ~np.take(rule.is_special, tokens_NS)
    continuation_NS = np.take(rule.is_continuation, tokens_NS)
    taken_NS = choose_spans(key_N1, candidate_NS, continuation_NS, count_N, rule.length_from)
    return positions_of(taken_NS, rule)


def positions_of(taken_NS: np.ndarray, rule: MaskingRule) -> tuple[np.ndarray, np.ndarray]:
    """Return the taken positions as `MaskingScheme.choose` does, from a bool [N, S] of them."""
    chosen_NP = np.arange(rule.max_predictions) < np.count_nonzero(taken_NS, axis=1)[:, None]
    position_NP = np.zeros(chosen_NP.shape, np.int64)
    position_NP[chosen_NP] = np.nonzero(taken_NS)[1]
    return position_NP, chosen_NP


def _ranks(key_N1: np.ndarray, candidate_NS: np.ndarray) -> np.ndarray:
    """Return distinct ranks, uint64 [N, S], with the position in the low 16 bits.

    The ranks of candidates are smaller than those of other positions.
    """
    position_S = np.arange(candidate_NS.shape[1], dtype=np.uint64)
    rank_NS = mix64(derive_key(key_N1, RANKS) ^ mix64(position_S))
    rank_NS >>= np.uint64(1)
    rank_NS |= ~_POSITION_MASK * ~candidate_NS
    rank_NS &= ~_POSITION_MASK
    rank_NS |= position_S
    return rank_NS


def choose_spans(
    key_N1: np.ndarray,
    candidate_NS: np.ndarray,
    continuation_NS: np.ndarray,
    count_N: np.ndarray,
    length_from: tuple[int, ...],
) -> np.ndarray:
    """Choose units and spans of units for prediction.

    A candidate begins a unit unless it continues the candidate just before it. A unit's rank is
    the rank of its first position, as for single tokens. Every unit also begins a span of n units,
    with probability proportional to 1/n, truncated where the candidates end (at a special token or
    the end of the sequence). Spans are visited in ascending order of rank. A span is taken whole if
    none of its tokens is taken already and it fits into the remaining count; otherwise it is
    skipped, so fewer tokens than the count may be taken.

    Args:
      key_N1: uint64 key of each sequence.
      candidate_NS: bool, positions that may be predicted.
      continuation_NS: bool, pieces that belong to the unit of the piece before them.
      count_N: maximum number of tokens to take.
      length_from: see MaskingRule.

    Returns:
      bool [N, S], the positions taken.
    """
    position_S: np.ndarray = np.arange(candidate_NS.shape[1])
    joined_NS = candidate_NS & continuation_NS
    joined_NS[:, 1:] &= candidate_NS[:, :-1]
    joined_NS[:, :1] = False
    begins_NS = candidate_NS & ~joined_NS
    end_NS = _span_ends(begins_NS, joined_NS, span_lengths(key_N1, position_S, length_from))
    start_NS: np.ndarray = (np.sort(_ranks(key_N1, begins_NS)) & _POSITION_MASK).astype(np.int64)
    end_NS = np.take_along_axis(end_NS, start_NS, axis=1)
    units_N = np.count_nonzero(begins_NS, axis=1)

    size_NS = end_NS - start_NS
    # In 16 bits, where a position before the start wraps to a large distance from it.
    position_S, start_NS, short_NS = (x.astype(np.uint16) for x in (position_S, start_NS, size_NS))
    taken_NS = np.zeros_like(candidate_NS)
    left_N = count_N.copy()
    for step in range(units_N.max(initial=0)):
        span_NS = position_S - start_NS[:, step, None] < short_NS[:, step, None]
        fits_N = (step < units_N) & (size_NS[:, step] <= left_N)
        fits_N &= ~(span_NS & taken_NS).any(axis=1)
        span_NS &= fits_N[:, None]
        taken_NS |= span_NS
        left_N -= size_NS[:, step] * fits_N
        if not left_N.any():
            break
    return taken_NS


def span_lengths(
    key_N1: np.ndarray, position_S: np.ndarray, length_from: tuple[int, ...]
) -> np.ndarray:
    """Return the units in the span that begins at each position, int64 [N, S].

    The values are 1 to len(length_from) + 1.
    """
    position_hash_S = mix64(position_S.astype(np.uint64))
    hash_NS = mix64(derive_key(key_N1, LENGTHS) ^ position_hash_S) >> np.uint64(32)
    return 1 + np.searchsorted(np.array(length_from, np.uint64), hash_NS, side="right")


def _span_ends(begins_NS: np.ndarray, joined_NS: np.ndarray, length_NS: np.ndarray) -> np.ndarray:
    """Return the position after each span, for the positions where units begin; int64 [N, S]."""
    num_tokens = begins_NS.shape[1]
    position_NT = np.broadcast_to(np.arange(num_tokens + 1), (len(begins_NS), num_tokens + 1))
    # The next position that does not continue a unit, by a scan from the end.
    stop_NS = np.where(joined_NS, num_tokens, position_NT[:, :-1])
    stop_NS = np.minimum.accumulate(stop_NS[:, ::-1], axis=1)[:, ::-1]
    # The start of the next unit; positions where no unit begins map to themselves.
    next_NT = position_NT.copy()
    next_NT[:, :-2][begins_NS[:, :-1]] = stop_NS[:, 1:][begins_NS[:, :-1]]
    next_NT[:, -2] += begins_NS[:, -1]
    end_NS = next_NT[:, :-1]
    for units in range(2, length_NS.max(initial=1) + 1):
        further_NS = np.take_along_axis(next_NT, end_NS, axis=1)
        end_NS = np.where(length_NS >= units, further_NS, end_NS)
    return end_NS


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskingScheme:
    """How the positions to predict are chosen.

    Attributes:
      choose: function of (key_N1, tokens_NS, count_N, rule): uint64 keys of the sequences, their
        ids, the maximum number of predictions in each, and the MaskingRule. It returns
        (position_NP, chosen_NP): int64 positions, ascending, 0 where unused, and bool, whether
        used; used ones come first.
      graph_function: name of the function in data.read.graph that does the same with TensorFlow
        operations; None if there is none, then InputConfig.reader='graph' is an error.
    """

    choose: Callable[..., tuple[np.ndarray, np.ndarray]]
    graph_function: str | None = None


SCHEMES = {
    "token": MaskingScheme(choose=choose_tokens, graph_function="choose_tokens"),
    "whole_word": MaskingScheme(choose=choose_units),
    "token_ngram": MaskingScheme(choose=choose_units),
    "whole_word_ngram": MaskingScheme(choose=choose_units),
}
# A unit without a "_ngram" scheme allows BuildConfig.max_ngram=1 only.
assert set(MASK_UNITS) <= SCHEMES.keys(), (
    f"data.config.MASK_UNITS has {set(MASK_UNITS) - SCHEMES.keys()}, which SCHEMES lacks"
)
