"""Read a build with TensorFlow operations only, so that a dataset can run on any host.

Rows, TFRecords included, are read as bytes through a memory map. Every row is checked as in
`SplitReader.read`. A failed check names file and row; `SplitReader.reraise_reader_errors` then reads
that row again to say what is wrong with it.

TensorFlow's own reader of TFRecords trusts a length whose checksum is right, so a record that is
made to claim a huge length ends the process. All records of a build have one length, so header and
checksum are compared here, in batches.

Legend: B sequences of one replica's part of a batch, S tokens, P predictions, R bytes of a stored
row, E bytes of an example.
"""

from __future__ import annotations

import contextlib

import numpy as np
import tensorflow as tf
from tensorflow.types.experimental import ConcreteFunction

from data import schema
from data.read import graph
from data.read.split_reader import SplitReader
from data.storage.records import (
    CHECKSUM_OFFSET,
    FOOTER_BYTES,
    HEADER_BYTES,
    ExampleCodec,
    checksum_terms,
)
from data.storage.rows import RowFile

_BITS_OF_1 = int(np.float32(1).view(np.int32))


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
    to_features = _mask if reader.is_online else _decode

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

    batches = _read_rows(rows, reader).batch(batch_size, drop_remainder=True)
    return batches.map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _read_rows(rows: tf.data.Dataset, reader: SplitReader) -> tf.data.Dataset:
    """Return elements (bytes of a stored row uint8 [R], file, row, copy, is_real)."""
    num_shards = len(reader.shard_starts) - 1
    num_rows = np.resize(np.diff(reader.shard_starts), len(reader.files)).tolist()
    # Concrete functions: of the branches of `tf.switch_case` inside a dataset, each would cost time
    # in every row.
    map_files = [
        _map_file(file, num_bytes=file.first_byte + n * reader.row_bytes)
        for file, n in zip(reader.files, num_rows, strict=True)
    ]
    first_byte = tf.constant([file.first_byte for file in reader.files], tf.int64)

    def read(
        shard: tf.Tensor, copy: tf.Tensor, row: tf.Tensor, is_real: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        file = shard if reader.is_online else copy * num_shards + shard
        (content,) = tf.raw_ops.Case(
            branch_index=tf.cast(file, tf.int32),
            input=[],
            Tout=[tf.uint8],
            branches=map_files,
            output_shapes=[[None]],
        )
        start = tf.gather(first_byte, file) + row * reader.row_bytes
        stored = tf.slice(content, start[None], [reader.row_bytes])
        return stored, file, row, copy, is_real

    return rows.map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _map_file(file: RowFile, *, num_bytes: int) -> ConcreteFunction:
    """Return a function that maps a file into memory, uint8 [num_bytes]; a shorter file is an error."""

    def content() -> tf.Tensor:
        return tf.raw_ops.ImmutableConst(
            dtype=tf.uint8, shape=[num_bytes], memory_region_name=file.path
        )

    return tf.function(content, autograph=False).get_concrete_function()


def _mask(
    stored_BR: tf.Tensor, file: tf.Tensor, row: tf.Tensor, copy: tf.Tensor, reader: SplitReader
) -> dict[str, tf.Tensor]:
    name, dtype = "input_word_ids", tf.as_dtype(reader.token_dtype)
    tokens = tf.reshape(stored_BR, [-1, reader.max_seq_length, dtype.size])
    tokens = tf.cast(tf.bitcast(tokens, dtype), tf.int32)
    tokens = _check_bound(name, tokens, reader.bounds[name], file, row)
    is_pad = tokens == reader.rule.pad_id
    is_sequence = tokens[:, 0] == reader.cls_id
    is_sequence &= ~tf.reduce_any(is_pad[:, :-1] & ~is_pad[:, 1:], axis=1)
    with _checked("not a packed sequence", is_sequence, file, row):
        tokens = tf.identity(tokens)
    return graph.mask_sequences(tokens, copy, reader.rule)


def _decode(
    stored_BR: tf.Tensor, file: tf.Tensor, row: tf.Tensor, copy: tf.Tensor, reader: SplitReader
) -> dict[str, tf.Tensor]:
    del copy  # `_read_rows` has selected the file by it
    codec = reader.codec
    with _checked("wrong checksum", _has_checksums(stored_BR, codec), file, row):
        example_BE = stored_BR[:, HEADER_BYTES:-FOOTER_BYTES]
    template, fixed = codec.template
    difference = tf.bitwise.bitwise_and(tf.bitwise.bitwise_xor(example_BE, template), fixed)
    with _checked(
        "not an example of this build", tf.reduce_all(difference == 0, axis=1), file, row
    ):
        example_BE = tf.identity(example_BE)
    features = {}
    for feature, slot, width in codec.slots:
        digits_BNW = tf.reshape(example_BE[:, slot], [-1, codec.size(feature), width])
        if feature.dtype == "float32":
            features[feature.name] = tf.bitcast(digits_BNW, tf.float32)
        else:  # varints, whose digits have 7 bits
            digits_BNW = tf.cast(digits_BNW, tf.int32) & 0x7F
            values_BNW = digits_BNW * tf.constant([2 ** (7 * i) for i in range(width)])
            features[feature.name] = tf.reduce_sum(values_BNW, axis=2)
    for name, bound in reader.bounds.items():
        features[name] = _check_bound(name, features[name], bound, file, row)
    name = "masked_lm_weights"
    bits = tf.bitcast(features[name], tf.int32)  # TensorFlow takes denormal floats for 0
    is_weight = tf.reduce_all((bits == 0) | (bits == _BITS_OF_1), axis=1)
    with _checked(f"{name} other than 0 and 1", is_weight, file, row):
        features[name] = tf.identity(features[name])
    return features


def _has_checksums(stored_BR: tf.Tensor, codec: ExampleCodec) -> tf.Tensor:
    """Return whether records have the header and the checksum of this codec, bool [B].

    Args:
      stored_BR: TFRecords with length and checksums, uint8 [B, R].
      codec: format of the records.
    """
    has_header_B = tf.reduce_all(stored_BR[:, :HEADER_BYTES] == codec.record_header, axis=1)
    checksum_of_zeros, table_E256 = checksum_terms(codec.example_bytes)
    bytes_BE = tf.cast(stored_BR[:, HEADER_BYTES:-FOOTER_BYTES], tf.int32)
    cells_E = 256 * np.arange(codec.example_bytes, dtype=np.int32)
    terms_BE = tf.gather(tf.constant(table_E256.view(np.int32).ravel()), cells_E + bytes_BE)
    while (width := terms_BE.shape[1]) > 1:
        terms_BE = tf.pad(terms_BE, [[0, 0], [0, width % 2]])
        half = terms_BE.shape[1] // 2
        terms_BE = tf.bitwise.bitwise_xor(terms_BE[:, :half], terms_BE[:, half:])
    checksum_B = tf.bitwise.bitwise_xor(terms_BE[:, 0], int(checksum_of_zeros.view(np.int32)))
    stored_B = tf.bitcast(stored_BR[:, -FOOTER_BYTES:], tf.uint32)
    return has_header_B & (tf.bitcast(checksum_B, tf.uint32) + CHECKSUM_OFFSET == stored_B)


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
