"""A switch of an optimizer: while it is off, a step changes nothing but the count of steps.

The alternative, a branch around the whole update, would have to hold both outcomes of every
variable. Here the numbers of the update are chosen instead, so it costs no memory and no pass over
the variables, and a step stays one program on any device.
"""

from __future__ import annotations

import tensorflow as tf


class Gate:
    """1 lets updates through, 0 holds them back, whatever the gradients are."""

    def __init__(self):
        # Every replica sets the same value.
        self.variable = tf.Variable(
            1.0,
            trainable=False,
            name="gate",
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    def set(self, is_open: tf.Tensor) -> None:
        """Opens or closes; for the next update."""
        self.variable.assign(tf.cast(is_open, tf.float32))

    @property
    def is_open(self) -> tf.Tensor:
        """Boolean scalar."""
        return self.variable > 0

    def weights(self, beta: float) -> tuple[tf.Tensor, tf.Tensor]:
        """What a moving average keeps of itself and takes of the new: (beta, 1 - beta) or (1, 0)."""
        return self.choose(beta, 1.0), self.choose(1 - beta, 0.0)

    def pass_on(self, gradient: tf.Tensor) -> tf.Tensor:
        """The float32 gradient, or 0: a number that is none must not even be multiplied by 0."""
        return self.choose(gradient, 0.0)

    def choose(self, when_open, when_closed) -> tf.Tensor:
        """One of two float32 tensors."""
        return tf.where(self.is_open, when_open, when_closed)
