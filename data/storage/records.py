"""Write and read masked examples in bulk: `tf.train.Example` in TFRecord files.

Every record of a file has the same length, because integers are varints of a fixed width (5 in
three bytes is 0x85 0x80 0x00). The protocol buffer format allows these and every parser reads them.
So numpy encodes thousands of examples in one call, and record i begins at byte i * record_bytes:
any example can be read without an index.

Legend: N examples, S tokens, P predictions, R bytes of a serialized example.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, BinaryIO

import google_crc32c
import numpy as np

from data import schema
from data.errors import UserError
from data.manifest import Manifest
from data.storage.rows import RowFile, read_rows

_INT64_LIST, _FLOAT_LIST = 3, 2  # field numbers in tf.train.Feature
# A TFRecord is length (8 bytes), its checksum (4), the example, its checksum (4).
HEADER_BYTES, FOOTER_BYTES = 12, 4
# A checksum is the CRC-32C, rotated and added to this.
CHECKSUM_OFFSET = np.uint32(0xA282EAD8)


class ExampleCodec:
    """Serialize and parse batches of masked examples, as `tf.train.Example`s of equal length.

    All examples have equal bytes except for the values of the features, so encoding copies a template
    and fills in the values.
    """

    @classmethod
    def of_build(cls, manifest: Manifest) -> ExampleCodec:
        """Return the codec of the masked copies of a build."""
        return cls(
            max_seq_length=manifest.config.max_seq_length,
            max_predictions=manifest.config.max_predictions,
            vocab_size=manifest.vocab_pieces,
        )

    def __init__(self, *, max_seq_length: int, max_predictions: int, vocab_size: int):
        self._sizes = dict(max_seq_length=max_seq_length, max_predictions=max_predictions)
        largest = {
            "input_word_ids": vocab_size - 1,
            "masked_lm_ids": vocab_size - 1,
            "masked_lm_positions": max_seq_length - 1,
        }
        self._slots: list[tuple[schema.Feature, slice, int]] = []
        template = bytearray()
        varying = bytearray()  # bits set where examples may differ
        for feature in schema.FEATURES:
            size = self.size(feature)
            if feature.dtype == "float32":
                width, zero, bits = 4, bytes(4), b"\xff" * 4
            else:
                width = _varint_width(largest.get(feature.name, 1))
                zero, bits = b"\x80" * (width - 1) + b"\0", b"\x7f" * width
            head = _entry_head(feature, size * width)
            start = len(template) + len(head)
            self._slots.append((feature, slice(start, start + size * width), width))
            template += head + zero * size
            varying += bytes(len(head)) + bits * size
        # Example { features = 1: Features { feature = 1: map entries } }
        head = _field_head(1, len(template))
        self._slots = [
            (f, slice(s.start + len(head), s.stop + len(head)), w) for f, s, w in self._slots
        ]
        self._template_R = np.frombuffer(head + bytes(template), np.uint8)
        self._fixed_R = ~np.frombuffer(bytes(len(head)) + bytes(varying), np.uint8)

    @property
    def example_bytes(self) -> int:
        """R, the length of every serialized example."""
        return len(self._template_R)

    @property
    def record_bytes(self) -> int:
        """Length of a TFRecord, with its framing."""
        return self.example_bytes + HEADER_BYTES + FOOTER_BYTES

    @property
    def record_header(self) -> np.ndarray:
        """Header of every TFRecord: length of the example and its checksum, uint8 [12]."""
        return _record_header(self.example_bytes)

    def encode(self, features: Mapping[str, np.ndarray]) -> np.ndarray:
        """Serialize N examples.

        Args:
          features: arrays [N, S] or [N, P] by name, see schema.FEATURES.

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

    def size(self, feature: schema.Feature) -> int:
        """Return the number of values of a feature in one example."""
        return feature.size(**self._sizes)

    @property
    def slots(self) -> tuple[tuple[schema.Feature, slice, int], ...]:
        """For each feature, the byte range of its values in an example and the bytes of a value."""
        return tuple(self._slots)

    @property
    def template(self) -> tuple[np.ndarray, np.ndarray]:
        """An example whose values are 0, and the bits that all examples share with it; uint8 [R]."""
        return self._template_R, self._fixed_R

    def find_invalid(self, encoded_NR: np.ndarray) -> np.ndarray:
        """Return the indices of rows that are not examples of this codec, int64 [n].

        In every example all bits but those of the values are the same, the continuation bits of the
        varints included.
        """
        difference_NR = encoded_NR ^ self._template_R
        difference_NR &= self._fixed_R
        return np.flatnonzero(difference_NR.any(axis=1))

    def decode(self, encoded_NR: np.ndarray) -> dict[str, np.ndarray]:
        """Invert `encode`: return int32 and float32 arrays [N, S] or [N, P] by name."""
        features = {}
        for feature, slot, width in self._slots:
            values_NB = np.ascontiguousarray(encoded_NR[:, slot])
            if feature.dtype == "float32":
                features[feature.name] = values_NB.view("<f4").astype(np.float32, copy=False)
            else:
                features[feature.name] = _from_varints(values_NB, width)
        return features


def write_records(file: BinaryIO, chunks: Iterable[np.ndarray]) -> None:
    """Write chunks of serialized examples, uint8 [n, R], as TFRecords."""
    for chunk_NR in chunks:
        file.write(_framed(chunk_NR).tobytes())


def _framed(examples_NR: np.ndarray) -> np.ndarray:
    """Return the examples as TFRecords, uint8 [N, R + 16]."""
    examples_NR = np.ascontiguousarray(examples_NR)
    num_examples, example_bytes = examples_NR.shape
    framed = np.empty((num_examples, HEADER_BYTES + example_bytes + FOOTER_BYTES), np.uint8)
    framed[:, :HEADER_BYTES] = _record_header(example_bytes)
    framed[:, HEADER_BYTES:-FOOTER_BYTES] = examples_NR
    framed[:, -FOOTER_BYTES:] = _checksums(examples_NR)
    return framed


def _record_header(example_bytes: int) -> np.ndarray:
    length = np.array([[example_bytes]], "<u8").view(np.uint8)
    return np.concatenate([length, _checksums(length)], axis=1)[0]


def _checksums(rows_NB: np.ndarray) -> np.ndarray:
    """Return the CRC-32C of each row, masked as in the TFRecord format; uint8 [N, 4]."""
    crc_N = np.fromiter(map(google_crc32c.value, rows_NB), np.uint32, len(rows_NB))
    masked_N = _rotate(crc_N) + CHECKSUM_OFFSET
    return masked_N.astype("<u4").view(np.uint8).reshape(-1, FOOTER_BYTES)


def _rotate(crc_N: np.ndarray) -> np.ndarray:
    return crc_N >> np.uint32(15) | crc_N << np.uint32(17)


@functools.lru_cache(maxsize=4)
def checksum_terms(num_bytes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the terms of the checksum of a text of a fixed length, for programs without a CRC.

    A CRC is linear: the exclusive or of one term for each byte and of the CRC of zeros.

    Args:
      num_bytes: R, length of the text.

    Returns:
      Term of zeros, uint32 [], and that of each value at each position, uint32 [R, 256]. The
      exclusive or of R + 1 of them, plus CHECKSUM_OFFSET, is the checksum.
    """
    step_256 = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        odd_256 = (step_256 & np.uint32(1)) * np.uint32(0x82F63B78)  # reversed polynomial
        step_256 = step_256 >> np.uint32(1) ^ odd_256
    table_R256 = np.empty((num_bytes, 256), np.uint32)
    term_256 = step_256
    for position in reversed(range(num_bytes)):
        table_R256[position] = term_256
        term_256 = step_256[term_256 & np.uint32(0xFF)] ^ term_256 >> np.uint32(8)
    zeros = np.array(google_crc32c.value(bytes(num_bytes)), np.uint32)
    return _rotate(zeros), _rotate(table_R256)


def read_examples(
    files: Sequence[RowFile], file_N: np.ndarray, row_N: np.ndarray, *, codec: ExampleCodec
) -> np.ndarray:
    """Read serialized examples by row from files of `write_records`.

    Args:
      files: files to read from.
      file_N: index into `files` of each example.
      row_N: number of each record in its file.
      codec: codec that encoded the examples.

    Returns:
      uint8 [N, R] for `codec.decode`.

    Raises:
      UserError: a file cannot be read or is too short, or a record does not match its checksums or
        is not an example of the codec. The message names file and record.
    """
    records = read_rows(files, file_N, row_N, row_bytes=codec.record_bytes)
    examples_NR = records[:, HEADER_BYTES:-FOOTER_BYTES]
    is_bad_N = (records[:, :HEADER_BYTES] != _record_header(codec.example_bytes)).any(axis=1)
    is_bad_N |= (records[:, -FOOTER_BYTES:] != _checksums(examples_NR)).any(axis=1)
    problems = [(n, "is damaged (wrong checksum)") for n in np.flatnonzero(is_bad_N)[:1]]
    problems += [
        (n, "is not an example of this build") for n in codec.find_invalid(examples_NR)[:1]
    ]
    for n, problem in problems:
        raise UserError(
            f"{files[file_N[n]].path}: record {row_N[n]} {problem}; copy it again or rebuild it"
        )
    return examples_NR


def find_wrong_header(path: str, *, records: int, codec: ExampleCodec) -> int | None:
    """Return the first record of a local file that claims another length; None if none does.

    TensorFlow's reader trusts the length in a record and ends the process if it is huge.

    Args:
      path: file of `write_records`.
      records: number of records in the file.
      codec: codec that encoded the examples.

    Raises:
      UserError: the file has another size.
    """
    num_bytes = os.path.getsize(path)
    if num_bytes != records * codec.record_bytes:
        raise UserError(
            f"{path} has {num_bytes} bytes, but {records} records have"
            f" {records * codec.record_bytes}; copy it again or rebuild it"
        )
    rows = np.memmap(path, np.uint8, "r", shape=(records, codec.record_bytes))
    wrong = np.flatnonzero((rows[:, :HEADER_BYTES] != _record_header(codec.example_bytes)).any(1))
    return int(wrong[0]) if len(wrong) else None


@functools.cache
def parse_specs(max_seq_length: int, max_predictions: int) -> dict[str, Any]:
    """Return the feature specifications with which `tf.io.parse_example` reads the records."""
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
    """Return values [N, n] as varints of `width` bytes, uint8 [N, n * width].

    A varint has little-endian base-128 digits, all but the last with the continuation bit.
    """
    if width == 1:
        return values.astype(np.uint8)
    if width == 2:  # one 16-bit operation for both digits
        digits = values.astype("<u2")
        digits = (digits << 1 & 0x7F00) | (digits & 0x7F) | 0x80
        return digits.view(np.uint8)
    digits = np.empty((*values.shape, width), np.uint8)
    for i in range(width):
        digits[..., i] = (values >> 7 * i).astype(np.uint8) & 0x7F
        if i < width - 1:
            digits[..., i] |= 0x80
    return digits.reshape(len(values), -1)


def _from_varints(digits_NB: np.ndarray, width: int) -> np.ndarray:
    """Invert `_varints`; return int32 [N, n]."""
    if width == 1:
        return digits_NB.astype(np.int32)
    if width == 2:
        pairs = digits_NB.view("<u2")
        return ((pairs & 0x7F) | (pairs >> 1 & 0x3F80)).astype(np.int32)
    digits = digits_NB.reshape(len(digits_NB), -1, width)
    values = (digits[..., 0] & 0x7F).astype(np.int32)
    for i in range(1, width):
        values |= (digits[..., i] & 0x7F).astype(np.int32) << 7 * i
    return values


def _varint(value: int) -> bytes:
    return _varints(np.array([[value]]), _varint_width(value)).tobytes()


def _field_head(number: int, num_bytes: int) -> bytes:
    """Return tag and length of a length-delimited field."""
    return _varint(number << 3 | 2) + _varint(num_bytes)


def _entry_head(feature: schema.Feature, num_bytes: int) -> bytes:
    """Return the bytes before the values in a map entry {name: Feature{list{packed values}}}."""
    kind = _FLOAT_LIST if feature.dtype == "float32" else _INT64_LIST
    head = _field_head(1, num_bytes)  # the packed values in their list
    head = _field_head(kind, len(head) + num_bytes) + head  # the list in its Feature
    head = _field_head(2, len(head) + num_bytes) + head  # the Feature in its map entry
    name = feature.name.encode()
    head = _field_head(1, len(name)) + name + head
    return _field_head(1, len(head) + num_bytes) + head
