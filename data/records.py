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

import google_crc32c
import numpy as np

from data import schema
from data.errors import UserError

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


def read_rows(
    path: str | os.PathLike, rows: np.ndarray, *, row_bytes: int, first_byte: int = 0
) -> np.ndarray:
    """Reads rows of equal length from anywhere in a file, which is open only meanwhile.

    Args:
      path: a local file.
      rows: integers [n].
      row_bytes: length of a row.
      first_byte: where row 0 begins.

    Returns:
      uint8 [n, row_bytes].

    Raises:
      UserError: the file is missing or too short.
    """
    try:
        with open(path, "rb") as file:
            parts = [
                os.pread(file.fileno(), row_bytes, first_byte + row * row_bytes)
                for row in rows.tolist()
            ]
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    for row, part in zip(rows.tolist(), parts, strict=True):
        if len(part) != row_bytes:
            raise UserError(f"{path} ends before row {row}; copy it again or build it anew")
    return np.frombuffer(b"".join(parts), np.uint8).reshape(len(rows), row_bytes)


def read_examples(path: str | os.PathLike, rows: np.ndarray, *, record_bytes: int) -> list[bytes]:
    """Serialized examples of a file written by `write_records`, by row.

    Raises:
      UserError: a record does not match its checksum; the message names file and record.
    """
    examples = []
    for row, record in zip(rows, read_rows(path, rows, row_bytes=record_bytes), strict=True):
        example = record[_HEADER_BYTES:-_FOOTER_BYTES].tobytes()
        crc = google_crc32c.value(example)
        masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF  # as TFRecord defines it
        if masked != int.from_bytes(record[-_FOOTER_BYTES:].tobytes(), "little"):
            raise UserError(
                f"{path}: record {row} is damaged (wrong checksum); copy it again or build it anew"
            )
        examples.append(example)
    return examples


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
