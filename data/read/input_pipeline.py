"""Feed training and evaluation with batches of a build, as tf.data datasets.

Each replica gets its part of a global batch in three steps:

    step, replica      `replica_positions`: positions in the stream of examples       int64 [B]
    positions          data.read.order: sequences of the split and their epochs       int64 [B]
    (index, epoch)     `SplitReader.read`: features by name                           [B, S] or [B, P]

All three are pure functions, so a dataset can start at any step. The dataset runs the last two with
numpy in this process, or as TensorFlow operations on any host (data.read.graph_reader).

Legend: B sequences of one replica's part of a batch, S tokens, P predictions.
"""

from __future__ import annotations

import dataclasses
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

InputFunction = Callable[[tf.distribute.InputContext], tf.data.Dataset]

# Batches whose order one numpy call computes: for a single small batch the call takes longer than
# reading the batch.
_ORDERED_BATCHES = 64


def training_batches(
    reader: SplitReader,
    config: InputConfig,
    *,
    seed: int,
    global_batch_size: int,
    start_step: int,
) -> InputFunction:
    """Return the training input, without end, from `start_step` on.

    The global batches do not depend on the number of hosts and replicas.

    Args:
      reader: training split.
      config: settings of the input.
      seed: order seed.
      global_batch_size: sequences per step, over all replicas.
      start_step: number of updates so far.

    Returns:
      Function for `distribute_datasets_from_function`: the dataset of one host. Each element is the
      batch of one replica, the replicas of the host in turn.
    """

    def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        positions = replica_positions(context, global_batch_size, start_step, steps=None)
        batches = _read_batches(positions, reader, config, context, order_seed=seed)
        # Otherwise workers would agree at every step on whether all of them have a batch.
        return batches.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))

    return dataset


def evaluation_batches(
    reader: SplitReader, config: InputConfig, *, global_batch_size: int
) -> tuple[InputFunction, int]:
    """Return the evaluation input: every sequence once, in storage order, with the masks of copy 0.

    Args:
      reader: held-out split.
      config: settings of the input.
      global_batch_size: sequences per step, over all replicas.

    Returns:
      The input function, see `training_batches`, and the number of steps. The last batch is filled
      with rows of weight 0.
    """
    num_steps = -(-reader.num_sequences // global_batch_size)

    def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        positions = replica_positions(context, global_batch_size, 0, steps=num_steps)
        return _read_batches(positions, reader, config, context, order_seed=None)

    return dataset, num_steps


def replica_positions(
    context: tf.distribute.InputContext, global_batch_size: int, start_step: int, steps: int | None
) -> tf.data.Dataset:
    """Return positions in the stream of examples: an element int64 [B] per step and local replica.

    Args:
      context: number of hosts and replicas, and which host this is.
      global_batch_size: sequences per step, over all replicas.
      start_step: first step.
      steps: number of steps; None for no end.
    """
    replicas = context.num_replicas_in_sync
    local_replicas = replicas // context.num_input_pipelines
    first_replica = context.input_pipeline_id * local_replicas
    batch_size = global_batch_size // replicas
    stop = np.iinfo(np.int64).max if steps is None else (start_step + steps) * local_replicas

    def positions(element: tf.Tensor) -> tf.Tensor:
        step, replica = element // local_replicas, first_replica + element % local_replicas
        first = step * global_batch_size + replica * batch_size
        return first + tf.range(batch_size, dtype=tf.int64)

    return tf.data.Dataset.range(start_step * local_replicas, stop).map(positions)


def _read_batches(
    positions: tf.data.Dataset,
    reader: SplitReader,
    config: InputConfig,
    context: tf.distribute.InputContext,
    *,
    order_seed: int | None,
) -> tf.data.Dataset:
    """Return the features of each element of `positions`; without a seed, in storage order, once."""
    read = graph_batches if config.reader == "graph" else _python_batches
    return read(positions, reader, order_seed=order_seed).prefetch(config.prefetch)


def choose_reader(config: InputConfig, hosts: Sequence[str]) -> InputConfig:
    """Return the settings of the input with a reader that can run where the batches are needed.

    Args:
      config: settings of the input.
      hosts: CPU devices of other hosts that read for themselves; empty if this process reads.

    Raises:
      UserError: the reader of the settings runs in this process only.
    """
    if not hosts:
        return config
    if config.reader == "python":
        raise UserError(
            f"InputConfig.reader='python' reads in this process only, and the {len(hosts)} hosts of the"
            " TPU slice read for themselves: set 'auto' or 'graph'"
        )
    return dataclasses.replace(config, reader="graph")


def _python_batches(
    positions: tf.data.Dataset, reader: SplitReader, *, order_seed: int | None
) -> tf.data.Dataset:
    """Read batches with numpy in this process; see `_read_batches`."""
    size = reader.num_sequences

    def order(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if order_seed is None:
            return positions, np.zeros_like(positions)
        index, epoch = sequence_at(positions.reshape(-1), num_sequences=size, seed=order_seed)
        return index.reshape(positions.shape), epoch.reshape(positions.shape)

    def read(index: np.ndarray, epoch: np.ndarray) -> list[np.ndarray]:
        features = reader.read(np.minimum(index, size - 1), epoch)
        # Only the last batch of an evaluation has positions past the end of the split.
        features["masked_lm_weights"][index >= size] = 0
        return [features[feature.name] for feature in schema.FEATURES]

    def ordered(positions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        index, epoch = tf.numpy_function(order, [positions], [tf.int64, tf.int64])
        return tf.ensure_shape(index, positions.shape), tf.ensure_shape(epoch, positions.shape)

    def batch(index: tf.Tensor, epoch: tf.Tensor) -> dict[str, tf.Tensor]:
        types = [device_dtype(feature) for feature in schema.FEATURES]
        values = tf.numpy_function(read, [index, epoch], types)
        return {
            feature.name: tf.ensure_shape(value, [*index.shape, reader.codec.size(feature)])
            for feature, value in zip(schema.FEATURES, values, strict=True)
        }

    sequences = positions.batch(_ORDERED_BATCHES).map(ordered).unbatch()
    return sequences.map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def require_on_hosts(
    directory: str | os.PathLike[str], manifest: Manifest, hosts: Sequence[str]
) -> None:
    """Raise a UserError unless every host has the same build under the same path.

    Args:
      directory: build directory on the host of this process.
      manifest: manifest of the build.
      hosts: CPU devices of the hosts that read the build themselves.
    """
    path = os.path.join(directory, schema.MANIFEST_FILE)
    for host in hosts:
        try:
            with tf.device(host):
                content = tf.io.read_file(path).numpy()
        except tf.errors.UnavailableError:
            raise  # the host is lost, whatever it has
        except tf.errors.OpError:
            content = b""
        if hashlib.sha256(content).hexdigest() != manifest.sha256:
            raise UserError(
                f"{host} cannot find this build at {path}; every host of a TPU slice reads for"
                " itself: copy the build to all of them, or mount it, under the same path"
            )
