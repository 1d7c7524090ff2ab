"""A float32 weight of which each replica updates a part, while all of them get a copy in another type."""

from __future__ import annotations

import tensorflow as tf

from optim.collectives import Collectives
from optim.division import Division


class DividedWeight:
    """The float32 parts of a matrix that layers read only through a copy in another type.

    Between `divide` and `join`, updates change the parts and the copy, and the variable is out of date. So
    the replicas exchange two bytes for each weight and update, not four, and nothing passes over whole
    float32 weights. Everything else, such as checkpoints, sees the variable after `join`. So parts are
    not state, and this is no tf.Module. All methods run in replica context.

    Attributes:
      copy: variable of the shape of the weight, in another type.
    """

    def __init__(
        self,
        variable: tf.Variable,
        copy: tf.Variable,
        division: Division,
        collectives: Collectives,
    ):
        """Create the parts in the scope of the strategy; `divide` gives them their values."""
        self.copy = copy
        self._variable, self._division, self._collectives = variable, division, collectives
        self._part = tf.Variable(tf.zeros(division.part_shape), trainable=False, name="part")

    def divide(self) -> None:
        """Give this replica its part of the variable."""
        self._part.assign(self._division.part(self._variable, self._collectives.number()))

    def join(self) -> None:
        """Give the variable the parts of all replicas."""
        together = self._collectives.concatenate(tf.identity(self._part))
        self._variable.assign(self._division.join(together))

    def part(self) -> tf.Tensor:
        """Return this replica's part, float32."""
        return tf.identity(self._part)

    def set_part(self, value: tf.Tensor) -> tf.Tensor:
        """Set this replica's part, and return it in the type of the copy."""
        self._part.assign(value)
        return tf.cast(value, self.copy.dtype)
