"""From a build to batches: any step of training can be read directly.

Legend: B sequences of one replica's part of a batch, S tokens, P predictions.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from data import schema
from data.config import InputConfig
from data.errors import UserError
from data.manifest import Manifest
from data.read.graph_reader import device_dtype, graph_batches
from data.read.order import sequence_at
from data.read.split_reader import SplitReader

_ORDERED_AT_ONCE = 64  # batches


def require_on_hosts(
    directory: str | os.PathLike, manifest: Manifest, hosts: Sequence[str]
) -> None:
    """Raises a UserError unless every host finds the same build under the same path.

    Args:
      directory: the build, which the host of this process has.
      manifest: its manifest.
      hosts: CPU devices of hosts that read for themselves.
    """
    path = os.path.join(directory, schema.MANIFEST_FILE)
    for host in hosts:
        try:
            with tf.device(host):
                content = tf.io.read_file(path).numpy()
        except tf.errors.OpError:
            content = b""
        if hashlib.sha256(content).hexdigest() != manifest.sha256:
            raise UserError(
                f"{host} does not find this build at {path}; every host of a TPU slice reads for"
                " itself: copy the build to all of them, or mount it, under the same path"
            )


def training_batches(
    reader: SplitReader,
    config: InputConfig,
    *,
    seed: int,
    global_batch_size: int,
    start_step: int,
) -> Callable[[tf.distribute.InputContext], tf.data.Dataset]:
    """The input of each host from `start_step` on, for `distribute_datasets_from_function`.

    Every element is the batch of one replica; the replicas of a host take turns. Together they
    show the same global batch whatever the number of hosts and replicas.
    """

    def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        positions = replica_positions(context, global_batch_size, start_step, steps=None)
        batches = _load(positions, reader, config, context, order_seed=seed)
        # Or workers would ask each other at every step whether all of them have a batch.
        return batches.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))

    return dataset


def evaluation_batches(
    reader: SplitReader, config: InputConfig, *, global_batch_size: int
) -> tuple[Callable[[tf.distribute.InputContext], tf.data.Dataset], int]:
    """Every held-out sequence once, with its fixed masks (copy 0).

    Returns:
      The input function, and the number of steps. Rows past the end of the split, in the last
      batch, have weight 0.
    """
    num_steps = -(-reader.num_sequences // global_batch_size)

    def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        positions = replica_positions(context, global_batch_size, 0, steps=num_steps)
        return _load(positions, reader, config, context, order_seed=None)

    return dataset, num_steps


def replica_positions(
    context: tf.distribute.InputContext, global_batch_size: int, start_step: int, steps: int | None
) -> tf.data.Dataset:
    """Places in the stream of examples, int64 [B] an element: one a step and local replica."""
    replicas = context.num_replicas_in_sync
    local_replicas = replicas // context.num_input_pipelines
    first_replica = context.input_pipeline_id * local_replicas
    size = global_batch_size // replicas
    stop = np.iinfo(np.int64).max if steps is None else (start_step + steps) * local_replicas

    def positions(element):
        step, replica = element // local_replicas, first_replica + element % local_replicas
        return step * global_batch_size + replica * size + tf.range(size, dtype=tf.int64)

    return tf.data.Dataset.range(start_step * local_replicas, stop).map(positions)


def _load(
    positions: tf.data.Dataset,
    reader: SplitReader,
    config: InputConfig,
    context: tf.distribute.InputContext,
    *,
    order_seed: int | None,
) -> tf.data.Dataset:
    """Features for positions of the stream, in the order of a seed, or once in order of storage."""
    if reads_in_graph(config, context):
        batches = graph_batches(positions, reader, order_seed=order_seed)
    else:
        batches = _python_batches(positions, reader, order_seed=order_seed)
    return batches.prefetch(config.prefetch)


def reads_in_graph(config: InputConfig, context: tf.distribute.InputContext) -> bool:
    """Whether the batches have to be, or shall be, read without Python functions.

    Python functions run in this process only. In a cluster of TF_CONFIG every process feeds its own
    host; otherwise several input pipelines are the hosts of a TPU slice, all fed from here.
    """
    feeds_others = context.num_input_pipelines > 1 and "TF_CONFIG" not in os.environ
    return config.reader == "graph" or (config.reader == "auto" and feeds_others)


def _python_batches(
    positions: tf.data.Dataset, reader: SplitReader, *, order_seed: int | None
) -> tf.data.Dataset:
    size = reader.num_sequences

    def order(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if order_seed is None:
            return positions, np.zeros_like(positions)
        places = sequence_at(positions.reshape(-1), num_sequences=size, seed=order_seed)
        index, epoch = (place.reshape(positions.shape) for place in places)
        return index, epoch

    def read(index: np.ndarray, epoch: np.ndarray) -> list[np.ndarray]:
        features = reader.read(np.minimum(index, size - 1), epoch)
        # Only an evaluation goes past the end of the split, to fill its last batch.
        features["masked_lm_weights"][index >= size] = 0
        return [features[feature.name] for feature in schema.FEATURES]

    def place(positions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        index, epoch = tf.numpy_function(order, [positions], [tf.int64, tf.int64])
        return tf.ensure_shape(index, positions.shape), tf.ensure_shape(epoch, positions.shape)

    def load(index: tf.Tensor, epoch: tf.Tensor) -> dict[str, tf.Tensor]:
        types = [device_dtype(feature) for feature in schema.FEATURES]
        values = tf.numpy_function(read, [index, epoch], types)
        return {
            feature.name: tf.ensure_shape(value, [*index.shape, reader.codec.size(feature)])
            for feature, value in zip(schema.FEATURES, values, strict=True)
        }

    # In blocks: a hundred numpy calls, which for one small batch take longer than reading it.
    places = positions.batch(_ORDERED_AT_ONCE).map(place).unbatch()
    return places.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
