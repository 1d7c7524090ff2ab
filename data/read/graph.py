"""Order and masks as TensorFlow operations, bit for bit equal to data.read.order and data.stages.masking.

A dataset of these operations runs on any host it is sent to; Python functions run in this process
only. Not every masking scheme has an implementation here: see `MaskingScheme.graph_function`.

Legend: B positions, N sequences, S tokens in a sequence, P predictions in a sequence.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from data.errors import UserError
from data.read.order import ROUNDS
from data.stages.masking import CHOICES, PIECES, RANKS, SCHEMES, MaskingRule

_POSITION_BITS = 0xFFFF


def _u64(value: int) -> tf.Tensor:
    return tf.constant(value, tf.uint64)


def _shift(x: tf.Tensor, bits: int) -> tf.Tensor:
    return tf.bitwise.right_shift(x, _u64(bits))


def mix64(x: tf.Tensor) -> tf.Tensor:
    """Return `data.hashing.mix64` of a uint64 tensor of any shape."""
    x += _u64(0x9E3779B97F4A7C15)
    x = tf.bitwise.bitwise_xor(x, _shift(x, 30)) * _u64(0xBF58476D1CE4E5B9)
    x = tf.bitwise.bitwise_xor(x, _shift(x, 27)) * _u64(0x94D049BB133111EB)
    return tf.bitwise.bitwise_xor(x, _shift(x, 31))


def derive_key(*parts: int | tf.Tensor) -> tf.Tensor:
    """Return `data.hashing.derive_key` of integers or uint64 tensors, broadcast."""
    key = _u64(0)
    for part in parts:
        # TensorFlow would make int32 of Python integers.
        part = _u64(part) if isinstance(part, int) else tf.cast(part, tf.uint64)
        key = mix64(_xor(key, part))
    return key


def sequence_at(
    positions: tf.Tensor, *, num_sequences: int, seed: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return `data.read.order.sequence_at` of int64 [B]: (index, epoch), both int64 [B]."""
    epoch, position = positions // num_sequences, positions % num_sequences
    key = derive_key(seed, epoch)
    half_bits = max(1, (int(num_sequences - 1).bit_length() + 1) // 2)
    size = tf.constant(num_sequences, tf.int64)

    def walk(values: tf.Tensor, outside: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        moved = tf.cast(_feistel(tf.cast(values, tf.uint64), key, half_bits), tf.int64)
        values = tf.where(outside, moved, values)
        return values, values >= size

    first = (position, tf.ones_like(position, tf.bool))
    index, _ = tf.while_loop(lambda _, outside: tf.reduce_any(outside), walk, first)
    return index, epoch


def _feistel(values: tf.Tensor, keys: tf.Tensor, half_bits: int) -> tf.Tensor:
    mask = _u64(2**half_bits - 1)
    left, right = _shift(values, half_bits), tf.bitwise.bitwise_and(values, mask)
    for round_number in range(ROUNDS):
        mixed = mix64(_xor(derive_key(keys, round_number), right))
        left, right = right, _xor(left, tf.bitwise.bitwise_and(mixed, mask))
    return tf.bitwise.bitwise_or(tf.bitwise.left_shift(left, _u64(half_bits)), right)


def mask_sequences(
    tokens_NS: tf.Tensor, copies_N: tf.Tensor, rule: MaskingRule
) -> dict[str, tf.Tensor]:
    """Return `data.stages.masking.mask_sequences` of int32 [N, S] tokens with a static S.

    Raises:
      UserError: the masking scheme has no implementation here.
    """
    choose = choose_function(rule)
    position_hash_S = mix64(tf.cast(tf.range(tokens_NS.shape[1], dtype=tf.int64), tf.uint64))
    key_N1 = derive_key(rule.seed, _fingerprints(tokens_NS, position_hash_S), copies_N)[:, None]
    is_token_NS = tokens_NS != rule.pad_id

    numerator, denominator = rule.rate
    length_N = tf.reduce_sum(tf.cast(is_token_NS, tf.int64), axis=1)
    count_N = (2 * numerator * length_N + denominator) // (2 * denominator)
    count_N = tf.clip_by_value(count_N, 1, rule.max_predictions)
    position_NP, chosen_NP = choose(key_N1, tokens_NS, count_N, rule)

    label_NP = tf.where(chosen_NP, tf.gather(tokens_NS, position_NP, batch_dims=1), 0)
    shown_NP = _shown_pieces(key_N1, position_NP, label_NP, rule)
    where = tf.cast(tf.where(chosen_NP), tf.int32)
    cells = tf.stack([where[:, 0], tf.boolean_mask(position_NP, chosen_NP)], axis=1)
    return {
        "input_word_ids": tf.tensor_scatter_nd_update(
            tokens_NS, cells, tf.boolean_mask(shown_NP, chosen_NP)
        ),
        "input_mask": tf.cast(is_token_NS, tf.int32),
        "input_type_ids": tf.zeros_like(tokens_NS),
        "masked_lm_positions": position_NP,
        "masked_lm_ids": label_NP,
        "masked_lm_weights": tf.cast(chosen_NP, tf.float32),
    }


def choose_tokens(
    key_N1: tf.Tensor, tokens_NS: tf.Tensor, count_N: tf.Tensor, rule: MaskingRule
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return `data.stages.masking.choose_tokens`: positions int32 [N, P], chosen bool [N, P]."""
    position_S = tf.range(tokens_NS.shape[1], dtype=tf.int64)
    position_hash_S = mix64(tf.cast(position_S, tf.uint64))
    candidate_NS = tf.logical_not(tf.gather(tf.constant(rule.is_special), tokens_NS))
    count_N = tf.minimum(count_N, tf.reduce_sum(tf.cast(candidate_NS, tf.int64), axis=1))
    chosen_NP = tf.range(rule.max_predictions, dtype=tf.int64) < count_N[:, None]

    # Ranks are below 2**63; top_k of their complements -1 - rank finds the smallest ranks.
    hash_NS = mix64(_xor(derive_key(key_N1, RANKS), position_hash_S))
    rank_NS = tf.cast(_shift(hash_NS, 1), tf.int64)
    rank_NS = tf.bitwise.bitwise_or(rank_NS, _POSITION_BITS) - (_POSITION_BITS - position_S)
    rank_NS = tf.where(candidate_NS, -1 - rank_NS, tf.int64.min)
    _, position_NP = tf.math.top_k(rank_NS, rule.max_predictions)
    position_NP = tf.sort(tf.where(chosen_NP, position_NP, tf.int32.max), axis=1)
    return tf.where(chosen_NP, position_NP, 0), chosen_NP


def choose_function(rule: MaskingRule) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    """Return the implementation of the rule's masking scheme.

    Raises:
      UserError: the scheme has none.
    """
    if rule.scheme not in _CHOOSE:
        raise UserError(
            "BuildConfig.mask_unit and BuildConfig.max_ngram select the masking scheme"
            f" {rule.scheme!r}, which cannot be masked while reading with"
            f" InputConfig.reader='graph' (only {', '.join(map(repr, _CHOOSE))} can); hosts of a TPU"
            " slice need that reader: build masked copies and set InputConfig.masks='materialised'"
        )
    return _CHOOSE[rule.scheme]


def _fingerprints(tokens_NS: tf.Tensor, position_hash_S: tf.Tensor) -> tf.Tensor:
    multiplier_S = tf.bitwise.bitwise_or(position_hash_S, _u64(1))
    return mix64(tf.reduce_sum(tf.cast(tokens_NS + 1, tf.uint64) * multiplier_S, axis=1))


def _shown_pieces(
    key_N1: tf.Tensor, position_NP: tf.Tensor, label_NP: tf.Tensor, rule: MaskingRule
) -> tf.Tensor:
    hash_NP = mix64(tf.cast(position_NP, tf.uint64))
    choice_NP = tf.cast(_shift(mix64(_xor(derive_key(key_N1, CHOICES), hash_NP)), 32), tf.int64)
    fraction_NP = tf.cast(_shift(mix64(_xor(derive_key(key_N1, PIECES), hash_NP)), 32), tf.int64)
    # No overflow: 32 bits times the 31 bits of an id.
    number_NP = tf.bitwise.right_shift(
        fraction_NP * len(rule.replacement_ids), tf.constant(32, tf.int64)
    )
    random_NP = tf.gather(tf.constant(rule.replacement_ids), number_NP)
    shown_NP = tf.where(choice_NP < rule.random_below, random_NP, label_NP)
    return tf.where(choice_NP < rule.mask_below, rule.mask_id, shown_NP)


def _xor(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    return tf.bitwise.bitwise_xor(x, y)


# A KeyError here: SCHEMES names a function that this module lacks.
_CHOOSE = {
    name: globals()[scheme.graph_function]
    for name, scheme in SCHEMES.items()
    if scheme.graph_function is not None
}
