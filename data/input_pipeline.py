"""From a build to batches: any step of training can be read directly.

Legend: B sequences of one replica's part of a batch, S tokens, P predictions.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from data import schema
from data.config import InputConfig
from data.errors import UserError
from data.manifest import Manifest
from data.masking import MaskingRule, mask_sequences
from data.order import sequence_at
from data.records import parse_specs, read_examples, read_rows
from data.vocab import Vocab


class SplitReader:
    """Masked examples of one split by (sequence, copy), from either form of storage.

    Only the rows that a batch shows are read, and no file stays open.
    """

    def __init__(self, directory: str | os.PathLike, manifest: Manifest, split: str, masks: str):
        """Checks what can be checked before the first batch.

        Args:
          directory: the build directory.
          manifest: its manifest.
          split: "train" or "eval".
          masks: "materialised" or "online".

        Raises:
          UserError: the split is empty, its masked copies were not built, the vocabulary is another
            one, or (online) a packed shard does not match its sha256. Materialised records are
            checked when they are read.
        """
        manifest.require_masks(masks)
        self.num_sequences = manifest.num_sequences(split)
        if not self.num_sequences:
            raise UserError(
                f"{directory} has no {split} sequences; build it with a larger"
                " BuildConfig.eval_fraction, or with more text"
            )
        self._directory = Path(directory)
        self._shards = manifest.split(split)
        self._first_row = np.cumsum([0] + [shard.packed.records for shard in self._shards])
        self._config = manifest.config
        self._copies = len(self._shards[0].masked)
        self._vocab = Vocab.load(self._directory / schema.VOCAB_FILE)
        if self._vocab.sha256 != manifest.vocab_sha256:
            raise UserError(
                f"{self._directory / schema.VOCAB_FILE} is not the vocabulary of this build: its"
                f" sha256 is {self._vocab.sha256[:8]}, the manifest says"
                f" {manifest.vocab_sha256[:8]}"
            )
        self._rule = MaskingRule.create(manifest.config, self._vocab)
        self._online = masks == "online"
        if self._online:
            for shard in self._shards:
                shard.packed.check_content(directory)

    def read(self, index: tf.Tensor, epoch: tf.Tensor) -> dict[str, tf.Tensor]:
        """Reads examples inside a tf.data function.

        Args:
          index: int64 [B], sequences of the split.
          epoch: int64 [B]; epoch e shows masked copy e modulo the number of copies.

        Returns:
          The features of schema.FEATURES, [B, S] or [B, P], int32 and float32.
        """
        if self._online:
            types = [_feature_dtype(feature) for feature in schema.FEATURES]
            values = tf.numpy_function(self._read_online, [index, epoch], types)
            features = dict(zip([f.name for f in schema.FEATURES], values, strict=True))
        else:
            examples = tf.numpy_function(self._read_examples, [index, epoch], tf.string)
            sizes = (self._config.max_seq_length, self._config.max_predictions)
            features = tf.io.parse_example(tf.ensure_shape(examples, [None]), parse_specs(*sizes))
        return {f.name: self._checked(features[f.name], f, index.shape) for f in schema.FEATURES}

    def _checked(self, values: tf.Tensor, feature: schema.Feature, batch: tf.TensorShape):
        size = feature.size(
            max_seq_length=self._config.max_seq_length,
            max_predictions=self._config.max_predictions,
        )
        values = tf.ensure_shape(tf.cast(values, _feature_dtype(feature)), [*batch, size])
        if feature.name in ("input_word_ids", "masked_lm_ids"):
            # On an accelerator an id out of range would be clamped silently.
            check = tf.debugging.assert_less(
                values, len(self._vocab), f"{feature.name} outside the vocabulary"
            )
            with tf.control_dependencies([check]):
                values = tf.identity(values)
        return values

    def _locate(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Shard and row in the shard of each sequence."""
        shard = np.searchsorted(self._first_row, index, side="right") - 1
        return shard, index - self._first_row[shard]

    def _copy_of(self, epoch: np.ndarray) -> np.ndarray:
        return epoch % self._copies if self._copies else epoch

    def _read_online(self, index: np.ndarray, epoch: np.ndarray) -> list[np.ndarray]:
        shard, row = self._locate(index)
        row_bytes = self._config.max_seq_length * self._vocab.token_dtype.itemsize
        rows = np.empty((len(index), row_bytes), np.uint8)
        for number in np.unique(shard):
            here = np.flatnonzero(shard == number)
            file = self._shards[number].packed
            rows[here] = read_rows(
                self._directory / file.path,
                row[here],
                row_bytes=row_bytes,
                first_byte=file.bytes - file.records * row_bytes,  # after the header of .npy
            )
        tokens_BS = rows.view(self._vocab.token_dtype)
        features = mask_sequences(tokens_BS, self._copy_of(epoch), self._rule)
        return [features[feature.name] for feature in schema.FEATURES]

    def _read_examples(self, index: np.ndarray, epoch: np.ndarray) -> np.ndarray:
        shard, row = self._locate(index)
        copy = self._copy_of(epoch)
        examples = np.empty(len(index), object)
        for number, copy_number in {*zip(shard.tolist(), copy.tolist(), strict=True)}:
            here = np.flatnonzero((shard == number) & (copy == copy_number))
            file = self._shards[number].masked[copy_number]
            record_bytes = file.bytes // file.records
            path = self._directory / file.path
            examples[here] = read_examples(path, row[here], record_bytes=record_bytes)
        return examples


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
        def locate(positions):
            return sequence_at(positions, num_sequences=reader.num_sequences, seed=seed)

        def load(positions):
            index, epoch = tf.numpy_function(locate, [positions], [tf.int64, tf.int64])
            return reader.read(
                tf.ensure_shape(index, positions.shape), tf.ensure_shape(epoch, positions.shape)
            )

        positions = _replica_positions(context, global_batch_size, start_step, steps=None)
        return _load_ahead(positions, load, config)

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
        def load(positions):
            is_real = positions < reader.num_sequences
            index = tf.minimum(positions, reader.num_sequences - 1)
            features = reader.read(index, tf.zeros_like(index))
            features["masked_lm_weights"] *= tf.cast(is_real, tf.float32)[:, None]
            return features

        positions = _replica_positions(context, global_batch_size, 0, steps=num_steps)
        return _load_ahead(positions, load, config)

    return dataset, num_steps


def _replica_positions(
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


def _load_ahead(elements: tf.data.Dataset, load: Callable, config: InputConfig) -> tf.data.Dataset:
    batches = elements.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return batches.prefetch(config.prefetch)


def _feature_dtype(feature: schema.Feature) -> tf.DType:
    """Type on the device, where there is no int64."""
    return tf.float32 if feature.dtype == "float32" else tf.int32
