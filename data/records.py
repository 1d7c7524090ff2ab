"""Masked examples as `tf.train.Example` in TFRecord files, written and read in bulk.

Every record of a file has the same length: integers are written as varints of a fixed width
(0x85 0x80 0x00 is 5 in three bytes), which the protocol buffer format allows and every parser
reads. So numpy encodes thousands of examples at once, and record i lies at i * record_bytes:
any example can be read without an index.

Legend: N examples, S tokens, P predictions, R bytes of a serialized example.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Mapping

import numpy as np

from data import schema

_INT64_LIST, _FLOAT_LIST = 3, 2  # field numbers in tf.train.Feature
# A TFRecord is length (8 bytes), its checksum (4), the example, its checksum (4).
_HEADER_BYTES, _FOOTER_BYTES = 12, 4


class ExampleCodec:
    """Serializes batches of masked examples into `tf.train.Example`s of equal length."""

    def __init__(self, *, max_seq_length: int, max_predictions: int, vocab_size: int):
        sizes = dict(max_seq_length=max_seq_length, max_predictions=max_predictions)
        largest = {
            "input_word_ids": vocab_size - 1,
            "masked_lm_ids": vocab_size - 1,
            "masked_lm_positions": max_seq_length - 1,
        }
        self._slots: list[tuple[schema.Feature, slice, int]] = []
        template = bytearray()
        for feature in schema.FEATURES:
            width = 4 if feature.dtype == "float32" else _varint_width(largest.get(feature.name, 1))
            num_bytes = feature.size(**sizes) * width
            start = len(template) + len(_entry_head(feature, num_bytes))
            self._slots.append((feature, slice(start, start + num_bytes), width))
            template += _entry_head(feature, num_bytes) + bytes(num_bytes)
        # Example { features = 1: Features { feature = 1: map entries } }
        head = _field_head(1, len(template))
        self._slots = [
            (f, slice(s.start + len(head), s.stop + len(head)), w) for f, s, w in self._slots
        ]
        self._template_R = np.frombuffer(head + bytes(template), np.uint8)

    @property
    def example_bytes(self) -> int:
        """R, the length of every serialized example."""
        return len(self._template_R)

    @property
    def record_bytes(self) -> int:
        """Length of a TFRecord with its framing."""
        return self.example_bytes + _HEADER_BYTES + _FOOTER_BYTES

    def encode(self, features: Mapping[str, np.ndarray]) -> np.ndarray:
        """Serializes N examples.

        Args:
          features: arrays [N, S] or [N, P] by the names of schema.FEATURES.

        Returns:
          uint8 [N, R]; each row is a serialized `tf.train.Example`.
        """
        num_examples = len(features[self._slots[0][0].name])
        encoded_NR = np.repeat(self._template_R[None], num_examples, axis=0)
        for feature, slot, width in self._slots:
            values = features[feature.name]
            if feature.dtype == "float32":
                encoded_NR[:, slot] = values.astype("<f4").view(np.uint8)
            else:
                encoded_NR[:, slot] = _varints(values, width)
        return encoded_NR


def write_records(path: str | os.PathLike, chunks: Iterable[np.ndarray]) -> None:
    """Writes serialized examples, uint8 [n, R] a chunk, to one TFRecord file."""
    import tensorflow as tf

    with tf.io.TFRecordWriter(os.fspath(path)) as writer:
        for chunk in chunks:
            for row in chunk:
                writer.write(row.tobytes())


class RecordFile:
    """Random access to the examples of a TFRecord file whose records have equal length."""

    def __init__(self, path: str | os.PathLike, *, num_records: int):
        self._records = np.memmap(path, np.uint8, mode="r").reshape(num_records, -1)

    def examples(self, rows: np.ndarray) -> np.ndarray:
        """Serialized examples by row, uint8 [n, R]."""
        return self._records[rows, _HEADER_BYTES:-_FOOTER_BYTES]


@functools.cache
def parse_specs(max_seq_length: int, max_predictions: int) -> dict:
    """What `tf.io.parse_example` needs to read our records."""
    import tensorflow as tf

    return {
        feature.name: tf.io.FixedLenFeature(
            [feature.size(max_seq_length=max_seq_length, max_predictions=max_predictions)],
            tf.as_dtype(feature.dtype),
        )
        for feature in schema.FEATURES
    }


def _varint_width(largest: int) -> int:
    return max(1, -(-int(largest).bit_length() // 7))


def _varints(values: np.ndarray, width: int) -> np.ndarray:
    """Little-endian base-128 digits, all but the last with the continuation bit; [N, n * width]."""
    shifts = 7 * np.arange(width, dtype=np.uint32)
    digits = (values.astype(np.uint32)[..., None] >> shifts).astype(np.uint8) & 0x7F
    digits[..., :-1] |= 0x80
    return digits.reshape(len(values), -1)


def _varint(value: int) -> bytes:
    return _varints(np.array([[value]]), _varint_width(value)).tobytes()


def _field_head(number: int, num_bytes: int) -> bytes:
    """Tag and length of a length-delimited field."""
    return _varint(number << 3 | 2) + _varint(num_bytes)


def _entry_head(feature: schema.Feature, num_bytes: int) -> bytes:
    """All bytes of a map entry {name: Feature{list{packed values}}} before its values."""
    kind = _FLOAT_LIST if feature.dtype == "float32" else _INT64_LIST
    head = _field_head(1, num_bytes)  # the packed values in their list
    head = _field_head(kind, len(head) + num_bytes) + head  # the list in its Feature
    head = _field_head(2, len(head) + num_bytes) + head  # the Feature in its map entry
    name = feature.name.encode()
    head = _field_head(1, len(name)) + name + head
    return _field_head(1, len(head) + num_bytes) + head
