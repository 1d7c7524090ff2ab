"""Arrays of a split to batches: any step of training can be read directly.

Everything is a TensorFlow operation on arrays in the memory of the host, so a dataset may be read on
any host it is sent to. Order and cut into replicas are those of pretraining.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from data.read.graph import sequence_at
from data.read.input_pipeline import replica_positions

Input = Callable[[tf.distribute.InputContext], tf.data.Dataset]


def training_batches(
    features: Mapping[str, np.ndarray], *, seed: int, global_batch_size: int, start_step: int
) -> Input:
    """The input of each host from `start_step` on, without an end.

    Args:
      features: [N, ...]; every example is shown once in each pass.
      seed: of the order.
      global_batch_size: examples in a step, over all replicas.
      start_step: steps made so far.

    Returns:
      For `distribute_datasets_from_function`; each element is the batch of one replica.
    """
    arrays, size = _on_host(features)

    def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        positions = replica_positions(context, global_batch_size, start_step, steps=None)

        def load(positions_B):
            index_B, _ = sequence_at(positions_B, num_sequences=size, seed=seed)
            return _rows(arrays, index_B)

        return _loaded(positions, load)

    return dataset


def evaluation_batches(
    features: Mapping[str, np.ndarray], *, global_batch_size: int
) -> tuple[Input, int]:
    """Every example once, in order.

    Returns:
      The input function, and the number of steps. What follows the last example, to fill the last
      batch, repeats it.
    """
    arrays, size = _on_host(features)
    num_steps = -(-size // global_batch_size)

    def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        positions = replica_positions(context, global_batch_size, 0, steps=num_steps)
        return _loaded(positions, lambda p_B: _rows(arrays, tf.minimum(p_B, size - 1)))

    return dataset, num_steps


def _on_host(features: Mapping[str, np.ndarray]) -> tuple[dict[str, tf.Tensor], int]:
    with tf.device("CPU:0"):
        arrays = {name: tf.constant(values) for name, values in features.items()}
    (size,) = {len(values) for values in features.values()}
    return arrays, size


def _rows(arrays: Mapping[str, tf.Tensor], index_B: tf.Tensor) -> dict[str, tf.Tensor]:
    return {name: tf.gather(values, index_B) for name, values in arrays.items()}


def _loaded(positions: tf.data.Dataset, load: Callable) -> tf.data.Dataset:
    batches = positions.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return batches.prefetch(tf.data.AUTOTUNE)
