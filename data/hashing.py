"""Integer hashes for masks, order and sharding: no floating point, no library RNG."""

from __future__ import annotations

import hashlib

import numpy as np

_GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)


def mix64(x: np.ndarray) -> np.ndarray:
    """Apply the SplitMix64 output function, a bijection of uint64 whose output bits look random.

    Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014,
    with the constants of Vigna's public-domain splitmix64.c.

    Args:
      x: uint64, any shape.

    Returns:
      uint64, same shape. All arithmetic is modulo 2**64.
    """
    with np.errstate(over="ignore"):  # numpy warns of wrap-around on scalars only
        x = x + _GOLDEN_GAMMA  # a copy, which the following lines change in place
        x ^= x >> np.uint64(30)
        x *= np.uint64(0xBF58476D1CE4E5B9)
        x ^= x >> np.uint64(27)
        x *= np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
    return x


def derive_key(*parts: int | np.ndarray) -> np.ndarray:
    """Chain integers, or broadcast uint64 arrays, into one 64-bit key that depends on their order."""
    key: np.ndarray = np.zeros((), np.uint64)
    for part in parts:
        key = mix64(key ^ np.asarray(part).astype(np.uint64))
    return key


def document_hash(document_id: str) -> int:
    """Return the 64-bit hash of a document id, which selects split, shard and order in the shard."""
    return int.from_bytes(hashlib.blake2b(document_id.encode(), digest_size=8).digest(), "big")
