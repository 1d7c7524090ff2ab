import numpy as np
import pytest
import tensorflow as tf
from official.nlp.data import pretrain_dataloader

from data import schema
from data.errors import UserError
from data.records import ExampleCodec, parse_specs, read_examples, write_records

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


def test_one_example_reads_as_protobuf():
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
def test_parse_example_gives_back_what_was_encoded(s, p, vocab_size):
    features = examples(5, s=s, p=p, vocab_size=vocab_size)
    codec = ExampleCodec(max_seq_length=s, max_predictions=p, vocab_size=vocab_size)
    encoded = codec.encode(features)
    assert encoded.shape == (5, codec.example_bytes)
    parsed = tf.io.parse_example([row.tobytes() for row in encoded], parse_specs(s, p))
    for feature in schema.FEATURES:
        np.testing.assert_array_equal(parsed[feature.name], features[feature.name])


def test_any_record_of_a_file_can_be_read(tmp_path):
    features = examples(10, s=16, p=3, vocab_size=500)
    codec = ExampleCodec(max_seq_length=16, max_predictions=3, vocab_size=500)
    path = tmp_path / "x.tfrecord"
    encoded = codec.encode(features)
    write_records(path, [encoded[:7], encoded[7:]])
    assert path.stat().st_size == 10 * codec.record_bytes

    rows = np.array([9, 0, 7, 7])
    found = read_examples(path, rows, record_bytes=codec.record_bytes)
    assert found == [row.tobytes() for row in encoded[rows]]
    # TensorFlow's own reader also checks the checksums.
    records = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    assert records == [row.tobytes() for row in encoded]


def test_a_damaged_record_is_an_error(tmp_path):
    codec = ExampleCodec(max_seq_length=16, max_predictions=3, vocab_size=500)
    path = tmp_path / "x.tfrecord"
    write_records(path, [codec.encode(examples(3, s=16, p=3, vocab_size=500))])
    content = bytearray(path.read_bytes())
    content[codec.record_bytes + 60] ^= 1
    path.write_bytes(content)
    read_examples(path, np.array([0, 2]), record_bytes=codec.record_bytes)
    with pytest.raises(UserError, match=r"x\.tfrecord: record 1 is damaged \(wrong checksum\)"):
        read_examples(path, np.array([0, 1]), record_bytes=codec.record_bytes)
    path.write_bytes(content[:-1])
    with pytest.raises(UserError, match=r"x\.tfrecord ends before row 2"):
        read_examples(path, np.array([2]), record_bytes=codec.record_bytes)
    with pytest.raises(UserError, match=r"none cannot be read"):
        read_examples(tmp_path / "none", np.array([2]), record_bytes=codec.record_bytes)


def test_tf_models_reads_our_files(tmp_path):
    features = examples(4, s=512, p=76, vocab_size=30522)
    codec = ExampleCodec(max_seq_length=512, max_predictions=76, vocab_size=30522)
    path = tmp_path / "x.tfrecord"
    write_records(path, [codec.encode(features)])
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
