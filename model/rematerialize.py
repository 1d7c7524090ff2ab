"""Memory for time: what lies inside a function is computed again in the backward pass, not kept."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla

from model.tracing import compiled


def rematerialize(function: Callable[[tf.Tensor], tf.Tensor]) -> Callable[[tf.Tensor], tf.Tensor]:
    """The function, of whose insides the backward pass finds nothing but the input and variables.

    The gradient is the same to the last bit: the same operations run on the same values. The
    function must draw no random numbers.

    `tf.recompute_grad` does the same, but holds the second computation apart from the first only by
    adding `where(e == e, 0, nan)` of a bool to the input. The compiler of TPUs sees that this is 0,
    finds both computations equal and keeps the results of the first: it made the very program that
    it makes without. This one has an optimisation barrier, which also makes the second computation
    wait for the gradient that needs it. (XLA for CPUs drops barriers early. There the memory falls
    without XLA only.)
    """

    @tf.custom_gradient
    def call(x):
        def gradient(dy, variables=()):
            later_x, later_dy = _barrier(x, dy)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(later_x)
                tape.watch(variables)
                y = function(later_x)
            dx, dvariables = tape.gradient(y, (later_x, list(variables)), output_gradients=later_dy)
            return (dx, dvariables) if variables else dx

        return function(x), gradient

    return call


@compiled
def _barrier(*tensors):
    """The tensors, of which XLA does not know where they come from."""
    return xla.optimization_barrier(*tensors)
