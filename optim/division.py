"""Division of a matrix into equal parts, one for each replica.

A matrix is cut into units, and each replica gets as many consecutive ones. Where the sizes allow, a unit is
a tile of 8 rows and 128 columns: this is how TPUs store matrices, so that cutting them moves nothing.
Elsewhere it is a row. Where the units cannot be divided equally, parts are whole rows, and rows of zeros
follow the last one.

Legend: V rows, H columns, U units, R parts.
"""

from __future__ import annotations

import dataclasses
import math

import tensorflow as tf

_TILE = (8, 128)


@dataclasses.dataclass(frozen=True)
class Division:
    """Division of a tensor of a shape into R parts.

    Attributes:
      shape: shape of the tensor.
      parts: R.
    """

    shape: tuple[int, ...]
    parts: int

    @property
    def is_divided(self) -> bool:
        """Whether each replica has a part; small and one-dimensional tensors stay whole on all replicas."""
        return self.parts > 1 and len(self.shape) == 2 and self._padded_rows <= 2 * self.shape[0]

    @property
    def unit_shape(self) -> tuple[int, ...]:
        """Shape of a unit."""
        return _TILE if self._is_tiled else self.shape[1:]

    @property
    def part_shape(self) -> tuple[int, ...]:
        """Shape of a part: [U / R, *unit_shape]."""
        units = self._padded_rows * self.shape[1] // math.prod(self.unit_shape)
        return (units // self.parts, *self.unit_shape)

    @property
    def _is_tiled(self) -> bool:
        return self.shape[1] % _TILE[1] == 0

    @property
    def _padded_rows(self) -> int:
        rows = _TILE[0] if self._is_tiled else 1
        shared = math.gcd(self.shape[1] // _TILE[1], self.parts) if self._is_tiled else 1
        if self.shape[0] % (rows * self.parts // shared) == 0:
            return self.shape[0]
        step = rows * self.parts
        return -(-self.shape[0] // step) * step

    def part(self, tensor_VH: tf.Tensor, number: tf.Tensor | int) -> tf.Tensor:
        """Return one part of a tensor.

        Args:
          tensor_VH: tensor of `shape`.
          number: number of the part, from 0.
        """
        if self._padded_rows > self.shape[0]:
            # Not a part of the padded tensor, which would be a copy of all of it.
            return _units(self._rows(tensor_VH, number), self._is_tiled)
        units = _units(tensor_VH, self._is_tiled)
        start = tf.stack([number * self.part_shape[0], *[0] * (len(units.shape) - 1)])
        return tf.slice(units, start, self.part_shape)

    def join(self, units: tf.Tensor) -> tf.Tensor:
        """Return the tensor of `shape` whose parts are joined along the first axis in `units`."""
        if self._is_tiled:
            blocks = self._padded_rows // _TILE[0]
            units = tf.transpose(tf.reshape(units, [blocks, -1, *_TILE]), [0, 2, 1, 3])
        return tf.reshape(units, [self._padded_rows, self.shape[1]])[: self.shape[0]]

    def _rows(self, tensor_VH: tf.Tensor, number: tf.Tensor | int) -> tf.Tensor:
        """Return the rows of a part; zeros after the last row of the tensor."""
        num_rows, num_columns = self._padded_rows // self.parts, self.shape[1]
        first = number * num_rows
        start = tf.minimum(first, max(self.shape[0] - num_rows, 0))
        found = tf.slice(tensor_VH, [start, 0], [min(num_rows, self.shape[0]), num_columns])
        found = tf.pad(found, [[0, 2 * num_rows - found.shape[0]], [0, 0]])
        return tf.slice(found, [tf.minimum(first - start, num_rows), 0], [num_rows, num_columns])


def _units(tensor_VH: tf.Tensor, is_tiled: bool) -> tf.Tensor:
    """Return the units of a tensor, [U, *unit_shape]."""
    if not is_tiled:
        return tensor_VH
    blocks = [tensor_VH.shape[0] // _TILE[0], _TILE[0], -1, _TILE[1]]
    return tf.reshape(tf.transpose(tf.reshape(tensor_VH, blocks), [0, 2, 1, 3]), [-1, *_TILE])
