"""The preprocessor SavedModel passes the checks of tf-models' own test of this export.

That test itself no longer imports on TensorFlow 2.20.
"""

import shutil

import numpy as np
import pytest
import tensorflow as tf

from pretrain.export.preprocessor import export_preprocessor

PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "d", "##ef", "abc", "ABC", "\ud558")


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """Export a cased preprocessor of 10 tokens, and delete the vocabulary file."""
    path = tmp_path_factory.mktemp("private_path_component")
    (path / "vocab.txt").write_text("".join(f"{piece}\n" for piece in PIECES))
    flags = {"vocab_file": path / "vocab.txt", "lower_case": False, "seq_length": 10}
    export_preprocessor(path / "saved", **flags)
    (path / "vocab.txt").unlink()
    return path / "saved"


@pytest.fixture(scope="module")
def loaded(export):
    return tf.saved_model.load(str(export))


def test_saved_model_contains_no_path(export):
    assert b"private_path_component" not in (export / "saved_model.pb").read_bytes()


def test_cased_tokens_and_packed_inputs(loaded):
    texts = tf.constant(["abc def", "ABC DEF"])
    tokens = loaded.tokenize(texts)
    assert tokens.to_list() == [[[7], [5, 6]], [[8], [1]]]
    assert not hasattr(loaded, "tokenize_with_offsets")
    found = loaded(texts)
    assert found["input_word_ids"].numpy().tolist() == [
        [2, 7, 5, 6, 3, 0, 0, 0, 0, 0],
        [2, 8, 1, 3, 0, 0, 0, 0, 0, 0],
    ]
    assert found["input_mask"].numpy().tolist() == [[1] * 5 + [0] * 5, [1] * 4 + [0] * 6]
    assert not found["input_type_ids"].numpy().any()
    # A pair of segments with the default length and with another one.
    pair = [tokens, loaded.tokenize(tf.constant(["d ABC", "ABC abc"]))]
    found = loaded.bert_pack_inputs(pair)
    assert found["input_word_ids"].numpy().tolist() == [
        [2, 7, 5, 6, 3, 5, 8, 3, 0, 0],
        [2, 8, 1, 3, 8, 7, 3, 0, 0, 0],
    ]
    assert found["input_type_ids"].numpy().tolist() == [
        [0, 0, 0, 0, 0, 1, 1, 1, 0, 0],
        [0, 0, 0, 0, 1, 1, 1, 0, 0, 0],
    ]
    assert loaded.bert_pack_inputs(pair, seq_length=256)["input_mask"].shape == (2, 256)


def test_signatures_name_their_outputs_and_take_a_length(loaded):
    default, with_length = loaded.signatures["serving_default"], loaded.signatures["seq_length"]
    texts = tf.constant(["abc def", "d abc d abc d abc"])
    found = default(sentences=texts)
    assert found.keys() == {"input_word_ids", "input_mask", "input_type_ids"}
    assert found["input_word_ids"].numpy().tolist() == [
        [2, 7, 5, 6, 3, 0, 0, 0, 0, 0],
        [2, 5, 7, 5, 7, 5, 7, 3, 0, 0],
    ]
    found = with_length(sentences=texts, seq_length=tf.constant(4))
    assert found["input_word_ids"].numpy().tolist() == [[2, 7, 5, 3], [2, 5, 7, 3]]
    assert found["input_mask"].numpy().tolist() == [[1] * 4] * 2
    assert found["input_type_ids"].numpy().tolist() == [[0] * 4] * 2


def test_cased_text_is_normalised_as_in_a_build(loaded):
    words = tf.constant(["d\u00adef abc\u200b", "\u1112\u1161 abc"])
    assert loaded.tokenize(words).to_list() == [[[5, 6], [7]], [[9], [7]]]
    assert loaded.tokenize(tf.constant(["d" + "ef" * 60])).to_list() == [[[5, *[6] * 60]]]


@pytest.mark.parametrize("batch", [7, None])
def test_static_shapes(loaded, batch):
    texts, tokens = tf.TensorSpec([batch], tf.string), [batch, None, None]
    ragged = [tf.RaggedTensorSpec(tokens, tf.int32)] * 2

    def shapes(function, *specs):
        outputs = tf.function(function).get_concrete_function(*specs).structured_outputs
        return [output.shape.as_list() for output in tf.nest.flatten(outputs)]

    assert shapes(loaded.tokenize, texts) == [tokens]
    assert shapes(loaded, texts) == [[batch, 10]] * 3
    packed = shapes(lambda *parts: loaded.bert_pack_inputs(list(parts), seq_length=256), *ragged)
    assert packed == [[batch, 256]] * 3


def test_loaded_preprocessor_can_be_saved_again(export, loaded, tmp_path):
    first = shutil.copytree(export, tmp_path / "first")
    tf.saved_model.save(tf.saved_model.load(str(first)), str(tmp_path / "second"))
    shutil.rmtree(first)
    texts = tf.constant(["abc def", "d ABC"])
    again = tf.saved_model.load(str(tmp_path / "second"))
    expected = loaded(texts)["input_word_ids"]
    np.testing.assert_array_equal(again(texts)["input_word_ids"], expected)


def test_special_tokens_are_available_in_a_graph(loaded):
    """The function does not depend on the context in which it was loaded."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        found = session.run(loaded.tokenize.get_special_tokens_dict())
    assert {name: int(value) for name, value in found.items()} == {
        "padding_id": 0,
        "start_of_sequence_id": 2,
        "end_of_segment_id": 3,
        "mask_id": 4,
        "vocab_size": 10,
    }
