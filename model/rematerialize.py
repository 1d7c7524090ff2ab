"""Gradient checkpointing: recompute a function in the backward pass instead of keeping its results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from model.tracing import Gradient, barrier


def rematerialize(function: Callable[[tf.Tensor], tf.Tensor]) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return the function, of which only the input is kept for the backward pass.

    The gradient is bitwise the same, because the same operations run on the same values. The function
    must not draw random numbers.

    `tf.recompute_grad` does the same, but separates the second computation from the first only by
    adding `where(e == e, 0, nan)` of a bool to the input. The TPU compiler sees that this is 0, merges
    both computations and keeps the results of the first: the program is the same as without
    checkpointing. This version has an optimization barrier, which also makes the second computation wait
    for the gradient that needs it. (XLA for CPUs removes barriers early; on a CPU this saves memory only
    without XLA.)

    Args:
      function: function of one tensor; it may use variables.
    """

    @tf.custom_gradient
    def call(x: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
        def gradient(dy: tf.Tensor, variables: Sequence[tf.Variable] = ()) -> Any:
            later_x, later_dy = barrier(x, dy)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(later_x)
                tape.watch(variables)
                y = function(later_x)
            dx, dvariables = tape.gradient(y, (later_x, list(variables)), output_gradients=later_dy)
            return (dx, dvariables) if variables else dx

        return function(x), gradient

    return call
