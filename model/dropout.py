"""Dropout masks as a pure function, without a random generator whose state must be saved or synchronized.

An element is kept or dropped according to an integer hash of

    (seed, step, example, site, row, column)

where `example` is the index of the sequence in the step's global batch, `site` the index of the dropout
layer in the network, `row` the position (and head), and `column` the feature or the attended position.
An example therefore has the same masks on any number of devices, in micro-batches of any size and after
any restart.

Each row and each column is hashed once; an element then costs two multiplications. With one round less,
columns are correlated; hashing every element from scratch gains nothing. The backward pass recomputes
the mask: keeping it would cost memory and its traffic. Where multiplications cost more than that, on TPU
v3 and v4, each mask is computed once and kept, a byte for each element.

Legend: B examples, R rows, C columns, A heads.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from model.tracing import (
    barrier,
    compiled,
    multiplies_integers_slowly,
    recomputation_inputs,
)

_ROW_SALT, _COLUMN_SALT = 0x9E3779B9, 0x85EBCA6B
_FIRST_ROUND, _SECOND_ROUND = 0x7FEB352D, 0x846CA68B
# Rows of attention weights are numbered head * _ROWS_PER_HEAD + position.
_ROWS_PER_HEAD = 1 << 16


class Mask(NamedTuple):
    """The mask of one site; `row` and `column` broadcast to the shape of the masked tensor.

    Attributes:
      row: uint32 hashes, [B, R, 1] or [B, A, R, 1].
      column: uint32 hashes, [B, 1, C] or [B, 1, 1, C].
      threshold: bound below which the hash of an element drops it.
      key: uint32 [B], what both are hashes of, together with their position, if the rows are those of all
        heads and positions in order; else None. Kernels hash positions themselves.
      kept: the mask as bool where it is computed once and kept for the backward pass; else None.
    """

    row: tf.Tensor
    column: tf.Tensor
    threshold: int
    key: tf.Tensor | None = None
    kept: tf.Tensor | None = None

    @property
    def keep_probability(self) -> float:
        """Probability that an element is kept, exact for uniform hashes: a multiple of 2**-32."""
        return 1 - self.threshold / 2**32

    def for_backward(self) -> Mask:
        """Return the same mask for the backward pass, which computes its elements again."""
        return self._replace(row=recomputation_inputs(self.row)[0])

    def keep(self) -> tf.Tensor:
        """Return the mask as bool, True where an element is kept."""
        if self.kept is not None:
            return self.kept
        x = tf.bitwise.bitwise_xor(self.row, self.column) * _uint32(_FIRST_ROUND)
        x = _xorshift(x, 15) * _uint32(_SECOND_ROUND)
        return x >= _uint32(self.threshold)

    def apply(self, values: tf.Tensor) -> tf.Tensor:
        """Return the values with dropped elements set to 0 and the others unscaled."""
        return tf.where(self.keep(), values, tf.zeros((), values.dtype))


class Dropout:
    """Source of the dropout masks of a batch at one step."""

    def __init__(self, *, seed: int, step: tf.Tensor, example_B: tf.Tensor):
        """Derive one key per example.

        Args:
          seed: seed of the run; its lower 64 bits are used.
          step: number of updates before this one, integer scalar; its lower 32 bits are used.
          example_B: indices of the examples in the global batch, integers.
        """
        key = _mix(_uint32(seed & 0xFFFFFFFF))
        for part in (_uint32(seed >> 32 & 0xFFFFFFFF), step, example_B):
            key = _chain(key, part)
        self._key_B = key

    def hidden_mask(
        self, site: int, rate: float, *, rows_BR: tf.Tensor, columns: int
    ) -> Mask | None:
        """Return the mask of activations [B, R, C]; None if the rate is 0.

        Args:
          site: index of the dropout layer in the network.
          rate: fraction of elements to drop, rounded to a multiple of 2**-32.
          rows_BR: positions, integers [B, R] or [1, R].
          columns: C.
        """
        return self._mask(site, rate, rows_BR, columns)

    def attention_probs_mask(
        self, site: int, rate: float, *, rows_BR: tf.Tensor | None, columns: int, heads: int
    ) -> Mask | None:
        """Return the mask of attention weights [B, A, R, C]; see `hidden_mask`.

        `rows_BR` is None for all positions in order: as many rows as columns.
        """
        head_A1 = tf.range(heads, dtype=tf.int32)[:, None] * _ROWS_PER_HEAD
        if rows_BR is not None:
            return self._mask(site, rate, rows_BR[:, None, :] + head_A1, columns)
        mask = self._mask(site, rate, (tf.range(columns) + head_A1)[None], columns)
        return mask and mask._replace(key=_chain(self._key_B, tf.constant(site)))

    def _mask(self, site: int, rate: float, rows: tf.Tensor, columns: int) -> Mask | None:
        if not rate:
            return None
        row, column = _hashes(self._key_B, tf.constant(site), rows, tf.range(columns))
        mask = Mask(row, column, round(rate * 2**32))
        if multiplies_integers_slowly():
            (kept,) = barrier(mask.keep())
            return mask._replace(kept=kept)
        return mask


@compiled
def _hashes(
    key_B: tf.Tensor, site: tf.Tensor, rows: tf.Tensor, columns_C: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the hashes of rows [B, ..., 1] and of columns [B, ..., C], with different salts."""
    axes = [1] * (rows.shape.rank - 1)
    key = tf.reshape(_chain(key_B, site), [-1, *axes])
    row = _chain(_chain(key, _uint32(_ROW_SALT)), rows)
    column = _chain(_chain(key, _uint32(_COLUMN_SALT))[..., None], columns_C)
    return row[..., None], column


def _chain(key: tf.Tensor, part: tf.Tensor) -> tf.Tensor:
    return _mix(tf.bitwise.bitwise_xor(key, tf.cast(part, tf.uint32)))


def _mix(x: tf.Tensor) -> tf.Tensor:
    """Return the bijection `lowbias32` of uint32.

    Source: C. Wellons, "Prospecting for hash functions" (2018), https://nullprogram.com/blog/2018/07/31/.
    """
    x = _xorshift(x, 16) * _uint32(0x7FEB352D)
    x = _xorshift(x, 15) * _uint32(0x846CA68B)
    return _xorshift(x, 16)


def _xorshift(x: tf.Tensor, bits: int) -> tf.Tensor:
    return tf.bitwise.bitwise_xor(x, tf.bitwise.right_shift(x, _uint32(bits)))


def _uint32(value: int) -> tf.Tensor:
    return tf.constant(value, tf.uint32)
