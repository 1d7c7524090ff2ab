"""Batch the arrays of a split; training can resume at any step without reading the steps before it.

Everything is a TensorFlow operation on arrays in host memory, so a dataset can be read on any host
it is sent to. The order, and the division of a batch among replicas, are those of pretraining.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from data.read.graph import sequence_at
from data.read.input_pipeline import replica_positions

Input = Callable[[tf.distribute.InputContext], tf.data.Dataset]


def training_batches(
    features: Mapping[str, np.ndarray], *, seed: int, global_batch_size: int, start_step: int
) -> Input:
    """Return the endless input of each host from `start_step` on.

    Args:
      features: arrays [N, ...]; every example is shown once in each pass.
      seed: seed of the order.
      global_batch_size: examples in a step, over all replicas.
      start_step: number of updates so far.

    Returns:
      Input function for `distribute_datasets_from_function`; each element is the batch of one
      replica.
    """
    arrays, size = _on_host(features)

    def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        positions = replica_positions(context, global_batch_size, start_step, steps=None)

        def load(positions_B: tf.Tensor) -> dict[str, tf.Tensor]:
            index_B, _ = sequence_at(positions_B, num_sequences=size, seed=seed)
            return _gather(arrays, index_B)

        return _load_batches(positions, load)

    return dataset


def evaluation_batches(
    features: Mapping[str, np.ndarray], *, global_batch_size: int
) -> tuple[Input, int]:
    """Return an input with every example once, in order.

    Returns:
      (input function, number of steps). The last batch is filled up with repetitions of the last
      example.
    """
    arrays, size = _on_host(features)
    num_steps = -(-size // global_batch_size)

    def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        positions = replica_positions(context, global_batch_size, 0, steps=num_steps)
        return _load_batches(positions, lambda p_B: _gather(arrays, tf.minimum(p_B, size - 1)))

    return dataset, num_steps


def _on_host(features: Mapping[str, np.ndarray]) -> tuple[dict[str, tf.Tensor], int]:
    with tf.device("CPU:0"):
        arrays = {name: tf.constant(values) for name, values in features.items()}
    (size,) = {len(values) for values in features.values()}
    return arrays, size


def _gather(arrays: Mapping[str, tf.Tensor], index_B: tf.Tensor) -> dict[str, tf.Tensor]:
    return {name: tf.gather(values, index_B) for name, values in arrays.items()}


def _load_batches(positions: tf.data.Dataset, load: Callable[..., Any]) -> tf.data.Dataset:
    batches = positions.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return batches.prefetch(tf.data.AUTOTUNE)
