"""Read a build with TensorFlow operations only, so that a dataset can run on any host.

Rows are read one by one from their offset in their file: TFRecords with their checksums, packed
sequences through a memory map. A damaged record is a DataLossError. TensorFlow trusts a length
whose checksum is right, so a record that is made to claim a huge length ends the process;
`SplitReader.read` does not have this weakness.

Legend: B sequences of one replica's part of a batch, S tokens, P predictions.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from data import schema
from data.read import graph
from data.read.split_reader import SplitReader
from data.storage.records import parse_specs


def device_dtype(feature: schema.Feature) -> tf.DType:
    """Return the type of a feature on the device, where int64 becomes int32."""
    return tf.float32 if feature.dtype == "float32" else tf.int32


def graph_batches(
    positions: tf.data.Dataset, reader: SplitReader, *, order_seed: int | None
) -> tf.data.Dataset:
    """Return the features of each element of `positions`, equal to those of `SplitReader.read`.

    Args:
      positions: dataset of int64 [B], positions in the stream of examples.
      reader: split to read.
      order_seed: order seed; None for storage order, once.

    Raises:
      UserError: masks are made while reading, and data.read.graph does not implement their scheme.
    """
    if reader.is_online:
        graph.choose_function(reader.rule)  # an error now, not in the first batch
    (batch_size,) = positions.element_spec.shape
    size = reader.num_sequences

    def locate(positions):
        is_real = tf.ones_like(positions, tf.bool)
        if order_seed is None:
            is_real = positions < size
            index, epoch = tf.minimum(positions, size - 1), tf.zeros_like(positions)
        else:
            index, epoch = graph.sequence_at(positions, num_sequences=size, seed=order_seed)
        shard = tf.searchsorted(reader.shard_starts, index, side="right", out_type=tf.int64) - 1
        copy = epoch % reader.copies if reader.copies else epoch
        row = index - tf.gather(tf.constant(reader.shard_starts), shard)
        return shard, copy, row, is_real

    rows = positions.map(locate, num_parallel_calls=tf.data.AUTOTUNE).unbatch()
    if reader.is_online:
        stored, to_features = _read_packed(rows, reader), _mask
    else:
        stored, to_features = _read_records(rows, reader), _decode

    def batch(stored, copy, is_real):
        features = to_features(stored, copy, reader)
        features["masked_lm_weights"] *= tf.cast(is_real, tf.float32)[:, None]
        return {
            feature.name: tf.ensure_shape(
                features[feature.name], [batch_size, reader.codec.size(feature)]
            )
            for feature in schema.FEATURES
        }

    batches = stored.batch(batch_size, drop_remainder=True)
    return batches.map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _read_packed(rows: tf.data.Dataset, reader: SplitReader) -> tf.data.Dataset:
    """Return elements (tokens int32 [S], copy, is_real)."""
    dtype = tf.as_dtype(reader.token_dtype)
    length = reader.max_seq_length
    row_bytes = length * reader.token_dtype.itemsize
    num_rows = np.diff(reader.shard_starts)

    def read(shard, copy, row, is_real):
        def from_file(file, num_rows):
            shape = [file.first_byte + num_rows * row_bytes]
            content = tf.raw_ops.ImmutableConst(
                dtype=tf.uint8, shape=shape, memory_region_name=file.path
            )
            start = file.first_byte + row * row_bytes
            return content[start : start + row_bytes]

        branches = [
            lambda file=file, n=int(n): from_file(file, n)
            for file, n in zip(reader.files, num_rows, strict=True)
        ]
        content = tf.switch_case(tf.cast(shard, tf.int32), branches)
        tokens = tf.bitcast(tf.reshape(content, [length, dtype.size]), dtype)
        return tf.cast(tokens, tf.int32), copy, is_real

    return rows.map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _read_records(rows: tf.data.Dataset, reader: SplitReader) -> tf.data.Dataset:
    """Return elements (serialized example, copy, is_real)."""
    paths = tf.constant([file.path for file in reader.files])
    num_shards = len(reader.shard_starts) - 1
    record_bytes = reader.codec.record_bytes

    def read(shard, copy, row, is_real):
        variant = tf.raw_ops.TFRecordDatasetV2(
            filenames=tf.gather(paths, copy * num_shards + shard)[None],
            compression_type="",
            buffer_size=tf.constant(record_bytes, tf.int64),
            byte_offsets=(row * record_bytes)[None],
        )
        spec = tf.TensorSpec([], tf.string)
        record = tf.data.experimental.from_variant(variant, spec).take(1)
        return record.map(lambda example: (example, copy, is_real))

    return rows.interleave(
        read,
        cycle_length=16,
        block_length=1,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


def _mask(tokens: tf.Tensor, copy: tf.Tensor, reader: SplitReader) -> dict[str, tf.Tensor]:
    tokens = _check_bound("input_word_ids", tokens, reader.bounds["input_word_ids"])
    return graph.mask_sequences(tokens, copy, reader.rule)


def _decode(examples: tf.Tensor, copy: tf.Tensor, reader: SplitReader) -> dict[str, tf.Tensor]:
    del copy  # `_read_records` has selected the file by it
    specs = parse_specs(reader.max_seq_length, reader.rule.max_predictions)
    features = tf.io.parse_example(examples, specs)
    features = {f.name: tf.cast(features[f.name], device_dtype(f)) for f in schema.FEATURES}
    for name, bound in reader.bounds.items():
        features[name] = _check_bound(name, features[name], bound)
    return features


def _check_bound(name: str, values: tf.Tensor, bound: int) -> tf.Tensor:
    """Return the values; fail if one is out of range: accelerators clamp indices silently."""
    is_inside = tf.reduce_all((values >= 0) & (values < bound))
    with tf.control_dependencies([tf.debugging.Assert(is_inside, [f"{name} out of range"])]):
        return tf.identity(values)
