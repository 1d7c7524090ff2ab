"""First values of weights, and comparison of results; numpy only, because both machines use it.

Weights do not travel. Both machines compute them from the same integer hash, which is exact in float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_SAMPLES = 16


def hashed(salt: int, size: int, xp: Any = np) -> Any:
    """Return values that look random, the same on every machine: float32 [size].

    They are uniform in [-1/32, 1/32), and multiples of 2**-28, so any float arithmetic has them exactly.
    Their standard deviation, 0.018, is close to that of BERT's initial weights. The hash is `lowbias32`
    (https://nullprogram.com/blog/2018/07/31/).

    Args:
      salt: number of the variable.
      size: number of values.
      xp: numpy, or jax.numpy to compute them on a device.
    """
    salted = xp.uint32(salt * 0x85EBCA6B & 0xFFFFFFFF)
    x = xp.arange(size, dtype=xp.uint32) * xp.uint32(0x9E3779B9) + salted
    x = (x ^ (x >> xp.uint32(16))) * xp.uint32(0x7FEB352D)
    x = (x ^ (x >> xp.uint32(15))) * xp.uint32(0x846CA68B)
    x = x ^ (x >> xp.uint32(16))
    centred = (x >> xp.uint32(8)).astype(xp.int32) - xp.int32(1 << 23)
    return centred.astype(xp.float32) * xp.float32(2.0**-28)


def digest(value: np.ndarray) -> np.ndarray:
    """Return the root of the sum of squares, and 16 elements: float64 [17].

    A wrong update of any size changes them.
    """
    flat = np.asarray(value).astype(np.float64).ravel()
    places = np.linspace(0, flat.size - 1, _SAMPLES).astype(np.int64)
    return np.concatenate([[np.sqrt((flat * flat).sum())], flat[places]])


def digest_error(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the larger of the errors of two digests: of the norm, and of an element.

    Both are relative, the second one to the largest of the elements. Infinite if anything is not finite.
    """
    if not (np.isfinite(found).all() and np.isfinite(expected).all()):
        return float("inf")
    norm_error = _relative(found[:1], expected[:1])
    return max(norm_error, _relative(found[1:], expected[1:]))


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest error of an element, relative to that element; infinite if one is not finite."""
    found, expected = (np.asarray(x).astype(np.float64).ravel() for x in (found, expected))
    if found.shape != expected.shape or not np.isfinite([*found, *expected]).all():
        return float("inf")
    return max(
        (_relative(f[None], e[None]) for f, e in zip(found, expected, strict=True)), default=0.0
    )


def _relative(found: np.ndarray, expected: np.ndarray) -> float:
    scale = np.abs(expected).max()
    error = np.abs(found - expected).max()
    return float(error / scale) if scale else float(error)
