"""Checks of the weights in the compute type of a model."""

import numpy as np
import tensorflow as tf

from model.layers import Dense


def layers_with_compute_kernel(model: tf.Module) -> list[Dense]:
    return [m for m in model.submodules if isinstance(m, Dense) and m.compute_kernel]


def assert_fresh(model: tf.Module, *, blocks: int) -> None:
    """Assert that all kernels of blocks and MLM head have up-to-date bfloat16 values."""
    layers = layers_with_compute_kernel(model)
    assert len(layers) == 6 * blocks + 1
    for layer in layers:
        expected = tf.cast(layer.kernel, tf.bfloat16)
        np.testing.assert_array_equal(layer.compute_kernel.value().numpy(), expected.numpy())
