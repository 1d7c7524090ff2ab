"""A switch that makes an optimizer step leave all variables and slots unchanged.

A branch around the whole update would have to hold both outcomes of every variable. The gate selects
the factors of the update instead: this costs no memory and no pass over the variables, and a step
stays one program on any device.
"""

from __future__ import annotations

import tensorflow as tf


class Gate:
    """Lets updates through while its variable is 1, and blocks them while it is 0."""

    def __init__(self):
        # Every replica assigns the same value.
        self.variable = tf.Variable(
            1.0,
            trainable=False,
            name="gate",
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    def set(self, is_open: tf.Tensor) -> None:
        """Open or close the gate for the next update."""
        self.variable.assign(tf.cast(is_open, tf.float32))

    @property
    def is_open(self) -> tf.Tensor:
        """Whether updates are let through, bool scalar."""
        return self.variable > 0

    def averaging_factors(self, beta: float) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the factors of the old average and the new value: (beta, 1 - beta), or (1, 0)."""
        return self.choose(beta, 1.0), self.choose(1 - beta, 0.0)

    def filter(self, gradient: tf.Tensor) -> tf.Tensor:
        """Return the float32 gradient, or 0; a factor of 0 would not do, since 0 * NaN is NaN."""
        return self.choose(gradient, 0.0)

    def choose(self, when_open, when_closed) -> tf.Tensor:
        """Return one of two float32 tensors."""
        return tf.where(self.is_open, when_open, when_closed)
