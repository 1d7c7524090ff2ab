"""Read a build with TensorFlow operations only, so that a dataset can run on any host.

Rows are read one by one from their offset in their file: TFRecords with their checksums, packed
sequences through a memory map. Every row is checked as in `SplitReader.read`. A failed check names file and
row; `SplitReader.reraise_reader_errors` then reads that row again to say what is wrong with it.

TensorFlow trusts a length whose checksum is right, so a record that is made to claim a huge length
ends the process. Lengths are therefore checked before the first batch; in large builds, by
`launch.worker.stage` and `data.build --verify` only.

Legend: B sequences of one replica's part of a batch, S tokens, P predictions.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from data import schema
from data.errors import UserError
from data.read import graph
from data.read.split_reader import SplitReader
from data.storage.records import find_wrong_header, parse_specs
from data.storage.rows import RowFile

_MAX_CHECKED = 10**6  # records whose lengths are checked before the first batch


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
    else:
        _check_headers(reader)
    (batch_size,) = positions.element_spec.shape
    size = reader.num_sequences

    def locate(positions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
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
    to_features: Callable[
        [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, SplitReader], dict[str, tf.Tensor]
    ]
    if reader.is_online:
        stored, to_features = _read_packed(rows, reader), _mask
    else:
        stored, to_features = _read_records(rows, reader), _decode

    def batch(
        stored: tf.Tensor, file: tf.Tensor, row: tf.Tensor, copy: tf.Tensor, is_real: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        features = to_features(stored, file, row, copy, reader)
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
    """Return elements (tokens int32 [S], file, row, copy, is_real)."""
    dtype = tf.as_dtype(reader.token_dtype)
    length = reader.max_seq_length
    row_bytes = length * reader.token_dtype.itemsize
    num_rows = np.diff(reader.shard_starts)

    def read(
        shard: tf.Tensor, copy: tf.Tensor, row: tf.Tensor, is_real: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        def from_file(file: RowFile, num_rows: int) -> tf.Tensor:
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
        return tf.cast(tokens, tf.int32), shard, row, copy, is_real

    return rows.map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _read_records(rows: tf.data.Dataset, reader: SplitReader) -> tf.data.Dataset:
    """Return elements (serialized example, file, row, copy, is_real)."""
    paths = tf.constant([file.path for file in reader.files])
    num_shards = len(reader.shard_starts) - 1
    record_bytes = reader.codec.record_bytes

    def read(
        shard: tf.Tensor, copy: tf.Tensor, row: tf.Tensor, is_real: tf.Tensor
    ) -> tf.data.Dataset:
        file = copy * num_shards + shard
        variant = tf.raw_ops.TFRecordDatasetV2(
            filenames=tf.gather(paths, file)[None],
            compression_type="",
            buffer_size=tf.constant(record_bytes, tf.int64),
            byte_offsets=(row * record_bytes)[None],
        )
        spec = tf.TensorSpec([], tf.string)
        record = tf.data.experimental.from_variant(variant, spec)
        # A file that has become shorter has no record there.
        record = record.concatenate(tf.data.Dataset.from_tensors("")).take(1)

        def check(example: tf.Tensor) -> tuple[tf.Tensor, ...]:
            has_length = tf.strings.length(example)[None] == reader.codec.example_bytes
            with _checked("wrong length", has_length, file[None], row[None]):
                return tf.identity(example), file, row, copy, is_real

        return record.map(check)

    return rows.interleave(
        read,
        cycle_length=16,
        block_length=1,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


def _mask(
    tokens: tf.Tensor, file: tf.Tensor, row: tf.Tensor, copy: tf.Tensor, reader: SplitReader
) -> dict[str, tf.Tensor]:
    name = "input_word_ids"
    tokens = _check_bound(name, tokens, reader.bounds[name], file, row)
    is_pad = tokens == reader.rule.pad_id
    is_sequence = tokens[:, 0] == reader.cls_id
    is_sequence &= ~tf.reduce_any(is_pad[:, :-1] & ~is_pad[:, 1:], axis=1)
    with _checked("not a packed sequence", is_sequence, file, row):
        tokens = tf.identity(tokens)
    return graph.mask_sequences(tokens, copy, reader.rule)


def _decode(
    examples: tf.Tensor, file: tf.Tensor, row: tf.Tensor, copy: tf.Tensor, reader: SplitReader
) -> dict[str, tf.Tensor]:
    del copy  # `_read_records` has selected the file by it
    template, fixed = reader.codec.template
    bytes_BR = tf.io.decode_raw(examples, tf.uint8, fixed_length=len(template))
    difference = tf.bitwise.bitwise_and(tf.bitwise.bitwise_xor(bytes_BR, template), fixed)
    with _checked(
        "not an example of this build", tf.reduce_all(difference == 0, axis=1), file, row
    ):
        examples = tf.identity(examples)
    specs = parse_specs(reader.max_seq_length, reader.rule.max_predictions)
    features = tf.io.parse_example(examples, specs)
    features = {f.name: tf.cast(features[f.name], device_dtype(f)) for f in schema.FEATURES}
    for name, bound in reader.bounds.items():
        features[name] = _check_bound(name, features[name], bound, file, row)
    return features


def _check_bound(
    name: str, values: tf.Tensor, bound: int, file: tf.Tensor, row: tf.Tensor
) -> tf.Tensor:
    """Return the values; fail if one is out of range: accelerators clamp indices silently."""
    is_inside = tf.reduce_all((values >= 0) & (values < bound), axis=1)
    with _checked(f"{name} out of range", is_inside, file, row):
        return tf.identity(values)


def _checked(
    problem: str, is_right: tf.Tensor, file: tf.Tensor, row: tf.Tensor
) -> contextlib.AbstractContextManager[None]:
    """Return a context whose operations fail, with file and row, if `is_right` [B] is not all true."""
    first = tf.argmin(tf.cast(is_right, tf.int32))
    location = [tf.gather(file, first), tf.gather(row, first)]
    return tf.control_dependencies(
        [tf.debugging.Assert(tf.reduce_all(is_right), [problem, *location])]
    )


def _check_headers(reader: SplitReader) -> None:
    """Raise a UserError if a masked record claims a wrong length; large builds are not read."""
    records = np.diff(reader.shard_starts).tolist()
    if reader.copies * reader.num_sequences > _MAX_CHECKED:
        return
    for number, file in enumerate(reader.files):
        num_records = records[number % len(records)]
        row = find_wrong_header(file.path, records=num_records, codec=reader.codec)
        if row is not None:
            raise UserError(
                f"{file.path}: record {row} is damaged (wrong length); copy it again or rebuild it"
            )
