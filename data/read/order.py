"""The order of training examples: a pure function of (seed, position).

Training reads one endless stream of positions. Position p belongs to epoch p // N, and within an
epoch a keyed permutation of [0, N) selects the sequence. There is no shuffle buffer and no iterator
state: any host can compute the examples of any step.
"""

from __future__ import annotations

import numpy as np

from data.hashing import derive_key, mix64

ROUNDS = 6


def sequence_at(
    positions: np.ndarray, *, num_sequences: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sequence and the epoch at each position of the stream.

    Args:
      positions: int64 [B], not negative.
      num_sequences: N, sequences in the training split.
      seed: order seed.

    Returns:
      (index, epoch), both int64 [B]. Every index of [0, N) occurs once in an epoch.
    """
    epoch, position = np.divmod(positions, num_sequences)
    return permute(position, size=num_sequences, key=derive_key(seed, epoch)), epoch


def permute(values: np.ndarray, *, size: int, key: np.ndarray) -> np.ndarray:
    """Apply a keyed pseudo-random permutation of [0, size) to each value.

    A balanced Feistel network permutes a range of the next larger power of four. Values that leave
    [0, size) are permuted again until they are back in it ("cycle walking": Black and Rogaway,
    "Ciphers with arbitrary finite domains", CT-RSA 2002).

    Args:
      values: int64 [B] in [0, size).
      size: number of values in the range.
      key: uint64, scalar or [B].

    Returns:
      int64 [B].
    """
    half_bits = np.uint64(max(1, (int(size - 1).bit_length() + 1) // 2))
    result = values.astype(np.uint64)
    round_number = np.arange(ROUNDS, dtype=np.uint64)[:, None]
    keys = np.broadcast_to(derive_key(key, round_number), (ROUNDS, len(result)))
    outside = np.arange(len(result))
    while len(outside):
        moved = _feistel(result[outside], keys[:, outside], half_bits)
        result[outside] = moved
        outside = outside[moved >= size]
    return result.astype(np.int64)


def _feistel(values: np.ndarray, round_keys: np.ndarray, half_bits: np.uint64) -> np.ndarray:
    mask = (np.uint64(1) << half_bits) - np.uint64(1)
    left, right = values >> half_bits, values & mask
    for round_key in round_keys:
        left, right = right, left ^ (mix64(round_key ^ right) & mask)
    return (left << half_bits) | right
