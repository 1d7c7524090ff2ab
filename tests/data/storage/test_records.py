"""Masked examples as TFRecords."""

import struct

import google_crc32c
import numpy as np
import pytest
import tensorflow as tf
from official.nlp.data import pretrain_dataloader

from data import schema
from data.errors import UserError
from data.storage.records import (
    CHECKSUM_OFFSET,
    ExampleCodec,
    checksum_terms,
    parse_specs,
    read_examples,
    write_records,
)
from data.storage.rows import RowFile

RNG = np.random.default_rng(5)


def examples(count, *, s, p, vocab_size):
    return {
        "input_word_ids": RNG.integers(0, vocab_size, (count, s)).astype(np.int32),
        "input_mask": RNG.integers(0, 2, (count, s)).astype(np.int32),
        "input_type_ids": np.zeros((count, s), np.int32),
        "masked_lm_positions": RNG.integers(0, s, (count, p)).astype(np.int32),
        "masked_lm_ids": RNG.integers(0, vocab_size, (count, p)).astype(np.int32),
        "masked_lm_weights": RNG.integers(0, 2, (count, p)).astype(np.float32),
    }


def test_encoded_example_is_a_protocol_buffer():
    features = {
        "input_word_ids": np.array([[2, 300, 29999, 3]]),
        "input_mask": np.array([[1, 1, 1, 1]]),
        "input_type_ids": np.array([[0, 0, 0, 0]]),
        "masked_lm_positions": np.array([[1, 0]]),
        "masked_lm_ids": np.array([[16384, 0]]),
        "masked_lm_weights": np.array([[1.0, 0.0]], np.float32),
    }
    codec = ExampleCodec(max_seq_length=4, max_predictions=2, vocab_size=30000)
    message = tf.train.Example.FromString(codec.encode(features)[0].tobytes())
    assert {name: list(f.int64_list.value) for name, f in message.features.feature.items()} == {
        "input_word_ids": [2, 300, 29999, 3],
        "input_mask": [1, 1, 1, 1],
        "input_type_ids": [0, 0, 0, 0],
        "masked_lm_positions": [1, 0],
        "masked_lm_ids": [16384, 0],
        "masked_lm_weights": [],
    }
    assert list(message.features.feature["masked_lm_weights"].float_list.value) == [1.0, 0.0]


@pytest.mark.parametrize(("s", "p", "vocab_size"), [(8, 2, 100), (128, 20, 8000), (512, 76, 30522)])
def test_parse_example_inverts_encode(s, p, vocab_size):
    features = examples(5, s=s, p=p, vocab_size=vocab_size)
    codec = ExampleCodec(max_seq_length=s, max_predictions=p, vocab_size=vocab_size)
    encoded = codec.encode(features)
    assert encoded.shape == (5, codec.example_bytes)
    parsed = tf.io.parse_example([row.tobytes() for row in encoded], parse_specs(s, p))
    for feature in schema.FEATURES:
        np.testing.assert_array_equal(parsed[feature.name], features[feature.name])


def write(path, chunks):
    with open(path, "wb") as file:
        write_records(file, chunks)


def test_any_record_of_a_file_can_be_read(tmp_path):
    features = examples(10, s=16, p=3, vocab_size=500)
    codec = ExampleCodec(max_seq_length=16, max_predictions=3, vocab_size=500)
    path = tmp_path / "x.tfrecord"
    encoded = codec.encode(features)
    write(path, [encoded[:7], encoded[7:]])
    assert path.stat().st_size == 10 * codec.record_bytes

    rows = np.array([9, 0, 7, 7])
    found = read_examples([RowFile(path)], np.zeros(4, int), rows, codec=codec)
    np.testing.assert_array_equal(found, encoded[rows])
    for name, values in codec.decode(found).items():
        np.testing.assert_array_equal(values, features[name][rows])
        assert values.dtype == features[name].dtype
    # TensorFlow's own reader also checks the checksums.
    records = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    assert records == [row.tobytes() for row in encoded]


@pytest.mark.parametrize("vocab_size", [100, 8000, 30522, 70000, 3_000_000])
def test_decode_is_the_inverse_of_encode(vocab_size):
    features = examples(7, s=16, p=3, vocab_size=vocab_size)
    features["input_word_ids"][0, :2] = 0, vocab_size - 1
    codec = ExampleCodec(max_seq_length=16, max_predictions=3, vocab_size=vocab_size)
    for name, values in codec.decode(codec.encode(features)).items():
        np.testing.assert_array_equal(values, features[name])


@pytest.mark.parametrize("vocab_size", [8000, 30522])
def test_files_equal_those_of_tensorflow(tmp_path, vocab_size):
    codec = ExampleCodec(max_seq_length=64, max_predictions=10, vocab_size=vocab_size)
    encoded = codec.encode(examples(20, s=64, p=10, vocab_size=vocab_size))
    with tf.io.TFRecordWriter(str(tmp_path / "tensorflow")) as writer:
        for row in encoded:
            writer.write(row.tobytes())
    write(tmp_path / "lambert", [encoded[:13], encoded[13:]])
    assert (tmp_path / "lambert").read_bytes() == (tmp_path / "tensorflow").read_bytes()


@pytest.mark.parametrize("num_bytes", [1, 2, 37])
def test_checksum_is_the_exclusive_or_of_terms(tmp_path, num_bytes):
    content = RNG.integers(0, 256, (3, num_bytes), np.uint8)
    with open(tmp_path / "file", "wb") as file:
        write_records(file, [content])
    stored = np.fromfile(tmp_path / "file", np.uint8).reshape(3, -1)[:, -4:].copy().view("<u4")
    zeros, table = checksum_terms(num_bytes)
    terms = table[np.arange(num_bytes), content]
    checksums = (np.bitwise_xor.reduce(terms, axis=1) ^ zeros) + CHECKSUM_OFFSET
    assert checksums.tolist() == stored[:, 0].tolist()


def test_no_chunks_make_an_empty_file(tmp_path):
    write(tmp_path / "x", [])
    assert (tmp_path / "x").read_bytes() == b""


def read(path, codec, *rows):
    return read_examples([RowFile(path)], np.zeros(len(rows), int), np.array(rows), codec=codec)


@pytest.mark.parametrize("position", [0, 7, 8, 11, 12, 60, -5, -1])
def test_damaged_record_is_an_error(tmp_path, position):
    """A flipped bit in the length, its checksum, the example or its checksum."""
    codec = ExampleCodec(max_seq_length=16, max_predictions=3, vocab_size=500)
    path = tmp_path / "x.tfrecord"
    write(path, [codec.encode(examples(3, s=16, p=3, vocab_size=500))])
    content = bytearray(path.read_bytes())
    content[codec.record_bytes * (2 if position < 0 else 1) + position] ^= 1
    path.write_bytes(content)
    read(path, codec, 0, 2)
    with pytest.raises(UserError, match=r"x\.tfrecord: record 1 is damaged \(wrong checksum\)"):
        read(path, codec, 0, 1)


def test_truncated_or_missing_file_is_an_error(tmp_path):
    codec = ExampleCodec(max_seq_length=16, max_predictions=3, vocab_size=500)
    path = tmp_path / "x.tfrecord"
    write(path, [codec.encode(examples(3, s=16, p=3, vocab_size=500))])
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"x\.tfrecord ends before row 2"):
        read(path, codec, 2)
    with pytest.raises(UserError, match=r"none cannot be read: No such file"):
        read(tmp_path / "none", codec, 2)
    with pytest.raises(UserError, match=r"cannot be read: Is a directory"):
        read(tmp_path, codec, 0)


def checksum(content: bytes) -> bytes:
    crc = google_crc32c.value(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def test_huge_length_with_a_valid_checksum_is_an_error(tmp_path):
    codec = ExampleCodec(max_seq_length=16, max_predictions=3, vocab_size=500)
    path = tmp_path / "x.tfrecord"
    write(path, [codec.encode(examples(2, s=16, p=3, vocab_size=500))])
    length = struct.pack("<Q", 2**62)
    path.write_bytes(length + checksum(length) + path.read_bytes()[12:])
    with pytest.raises(UserError, match=r"x\.tfrecord: record 0 is damaged"):
        read(path, codec, 0)


@pytest.mark.parametrize("position", [0, 30, -1])
def test_foreign_example_with_valid_checksums_is_an_error(tmp_path, position):
    """Other bytes around the values, and varints of another width, are rejected."""
    codec = ExampleCodec(max_seq_length=16, max_predictions=3, vocab_size=500)
    features = examples(2, s=16, p=3, vocab_size=500)
    encoded = codec.encode(features)
    # The first byte, one in a feature's name, and the last digit of an id.
    last_digit = codec.slots[0][1].stop - 1
    encoded[1, last_digit if position < 0 else position] ^= 0x80
    path = tmp_path / "x.tfrecord"
    write(path, [encoded])
    read(path, codec, 0)
    with pytest.raises(UserError, match=r"x\.tfrecord: record 1 is not an example of this build"):
        read(path, codec, 0, 1)


def test_tf_models_reads_our_files(tmp_path):
    features = examples(4, s=512, p=76, vocab_size=30522)
    codec = ExampleCodec(max_seq_length=512, max_predictions=76, vocab_size=30522)
    path = tmp_path / "x.tfrecord"
    write(path, [codec.encode(features)])
    loader = pretrain_dataloader.BertPretrainDataLoader(
        pretrain_dataloader.BertPretrainDataConfig(
            input_path=str(path),
            global_batch_size=4,
            is_training=False,
            use_v2_feature_names=True,
            use_next_sentence_label=False,
        )
    )
    (batch,) = list(loader.load().take(1))
    for feature in schema.FEATURES:
        np.testing.assert_array_equal(batch[feature.name], features[feature.name])
