"""The exported SavedModels as their users see them: the card's snippets and the Hub's API."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from data.wordpiece import WordPieceTokenizer
from model.config import EncoderConfig
from model.preprocess import export_preprocessor
from model.weights import build_tf_models
from pretrain.export import encoder_with_mlm

L, H, V, P = 2, 16, 1500, 4


def inputs(batch=3, seq_length=12):
    rng = np.random.default_rng(0)
    ids = rng.integers(5, V, (batch, seq_length)).astype(np.int32)
    mask = np.ones_like(ids)
    mask[0, 8:] = 0
    return {
        "input_word_ids": tf.constant(ids),
        "input_mask": tf.constant(mask),
        "input_type_ids": tf.zeros_like(ids),
    }


def mlm_inputs(**shape):
    features = inputs(**shape)
    batch = features["input_mask"].shape[0]
    positions = tf.tile(tf.constant([[1, 3, 5, 0]], tf.int32), [batch, 1])
    return {**features, "masked_lm_positions": positions}


@pytest.fixture(scope="module")
def pretrainer():
    tf_keras.mixed_precision.set_global_policy("float32")
    config = EncoderConfig(
        vocab_size=V,
        hidden_size=H,
        num_hidden_layers=L,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        initializer_range=0.3,
    )
    return build_tf_models(config, seed=1)


@pytest.fixture(scope="module")
def export_dir(pretrainer, golden, tmp_path_factory):
    """Without training: outputs depend on the weights, whatever they are."""
    path = tmp_path_factory.mktemp("export")
    core = encoder_with_mlm(pretrainer)
    core.vocab_file = tf.saved_model.Asset(str(golden / "vocab.txt"))
    core.do_lower_case = tf.Variable(True, trainable=False)
    core.save(str(path / "encoder"), include_optimizer=False, save_format="tf")
    export_preprocessor(
        path / "preprocessor", vocab_file=golden / "vocab.txt", lower_case=True, seq_length=64
    )
    return path


@pytest.fixture(scope="module")
def encoder(export_dir):
    return tf.saved_model.load(str(export_dir / "encoder"))


@pytest.fixture(scope="module")
def preprocessor(export_dir):
    return tf.saved_model.load(str(export_dir / "preprocessor"))


def test_outputs_equal_the_source(encoder, pretrainer):
    found = encoder(inputs())
    expected = pretrainer.encoder_network(inputs())
    assert set(found) == {"default", "pooled_output", "sequence_output", "encoder_outputs"}
    for name in ("pooled_output", "sequence_output"):
        np.testing.assert_allclose(found[name], expected[name], atol=1e-6)
    np.testing.assert_array_equal(found["default"], found["pooled_output"])
    assert len(found["encoder_outputs"]) == L
    for ours, theirs in zip(found["encoder_outputs"], expected["encoder_outputs"], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    np.testing.assert_array_equal(found["encoder_outputs"][-1], found["sequence_output"])
    assert found["sequence_output"].shape == (3, 12, H)
    assert found["sequence_output"].dtype == tf.float32


def test_mlm_outputs_equal_the_source(encoder, pretrainer):
    found = encoder.mlm(mlm_inputs())
    expected = pretrainer(mlm_inputs())
    assert set(found) == {"mlm_logits", "pooled_output", "sequence_output", "encoder_outputs"}
    assert found["mlm_logits"].shape == (3, P, V)
    np.testing.assert_allclose(found["mlm_logits"], expected["mlm_logits"], atol=1e-5)


def test_variables(encoder, pretrainer):
    source = pretrainer.encoder_network.trainable_variables
    assert len(encoder.trainable_variables) == len(source) == 39
    assert len(encoder.variables) == 40  # and do_lower_case
    assert len(encoder.mlm.trainable_variables) == len(pretrainer.trainable_variables) == 44
    # The root's variables are those of .mlm, not copies.
    shared = {id(v) for v in encoder.mlm.trainable_variables}
    assert {id(v) for v in encoder.trainable_variables} <= shared
    assert encoder.regularization_losses == []
    assert bool(encoder.do_lower_case.numpy()) is True
    assert encoder.vocab_file.asset_path.numpy().endswith(b"vocab.txt")


@pytest.mark.parametrize("part", ["root", "mlm"])
def test_dropout_is_on_in_training_only(encoder, part):
    call = encoder if part == "root" else encoder.mlm
    features = inputs() if part == "root" else mlm_inputs()
    for training, low, high in ((False, 0, 1e-6), (True, 1e-3, 10)):
        outputs = [call(features, training=training)["sequence_output"] for _ in range(8)]
        assert low <= np.std(outputs, axis=0).mean() <= high


def test_the_mask_hides_padding(encoder):
    features = inputs()
    changed = dict(features)
    ids = features["input_word_ids"].numpy()
    ids[0, 8:] = 7
    changed["input_word_ids"] = tf.constant(ids)
    np.testing.assert_allclose(
        encoder(features)["sequence_output"][0, :8],
        encoder(changed)["sequence_output"][0, :8],
        atol=1e-6,
    )


def test_persistent_tapes(encoder):
    """Version 2 of the card."""
    with tf.GradientTape(persistent=True) as tape:
        outputs = encoder(inputs(), training=True)
        losses = [tf.reduce_sum(outputs[name]) for name in ("pooled_output", "sequence_output")]
    for loss in losses:
        gradients = tape.gradient(loss, encoder.trainable_variables)
        assert sum(g is not None for g in gradients) >= 37
    with tf.GradientTape(persistent=True) as tape:
        loss = tf.reduce_sum(encoder.mlm(mlm_inputs(), training=True)["mlm_logits"])
    for _ in range(2):
        assert any(g is not None for g in tape.gradient(loss, encoder.mlm.trainable_variables))


def test_preprocessor_packs_sentences(preprocessor, vocab):
    features = preprocessor(tf.constant(["The Phoenix!", ""]))
    assert set(features) == {"input_word_ids", "input_mask", "input_type_ids"}
    cls, sep = vocab.ids["[CLS]"], vocab.ids["[SEP]"]
    words = [vocab.ids[piece] for piece in ("the", "phoenix", "!")]
    assert features["input_word_ids"].shape == (2, 64)
    assert features["input_word_ids"][0, :6].numpy().tolist() == [cls, *words, sep, 0]
    assert features["input_mask"].numpy().sum(axis=1).tolist() == [5, 2]
    assert {value.dtype for value in features.values()} == {tf.int32}


def test_preprocessor_parts(preprocessor, vocab):
    special = preprocessor.tokenize.get_special_tokens_dict()
    assert {name: int(value) for name, value in special.items()} == {
        "padding_id": vocab.ids["[PAD]"],
        "start_of_sequence_id": vocab.ids["[CLS]"],
        "end_of_segment_id": vocab.ids["[SEP]"],
        "mask_id": vocab.ids["[MASK]"],
        "vocab_size": len(vocab),
    }
    pair = [preprocessor.tokenize(tf.constant([text])) for text in ("the bird", "of the tree")]
    packed = preprocessor.bert_pack_inputs(pair, seq_length=tf.constant(10))
    assert packed["input_type_ids"].shape == (1, 10)
    first = 2 + int(pair[0].merge_dims(1, 2).row_lengths()[0])
    second = 1 + int(pair[1].merge_dims(1, 2).row_lengths()[0])
    expected = [0] * first + [1] * second + [0] * (10 - first - second)
    assert packed["input_type_ids"][0].numpy().tolist() == expected


def test_preprocessor_tokens_equal_those_of_the_data_build(preprocessor, vocab, paragraphs):
    found = preprocessor.tokenize(tf.constant(paragraphs)).merge_dims(1, 2)
    ids, lengths = WordPieceTokenizer(vocab, lower_case=True).encode(paragraphs)
    np.testing.assert_array_equal(found.values, ids)
    np.testing.assert_array_equal(found.row_lengths(), lengths)


def test_preprocessor_in_a_dataset(preprocessor):
    dataset = tf.data.Dataset.from_tensor_slices(["a bird", "a tree"]).batch(2).map(preprocessor)
    assert dataset.element_spec["input_word_ids"].shape.as_list() == [None, 64]
    assert len(list(dataset)) == 1


def test_loads_in_a_strategy_scope(export_dir):
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        loaded = tf.saved_model.load(str(export_dir / "encoder"))
    assert len(loaded.trainable_variables) == 39
    results = strategy.run(lambda: loaded(inputs())["pooled_output"])
    for value in strategy.experimental_local_results(results):
        assert value.shape == (3, H)


# The model card's snippets, word for word but for the two addresses. `tf.keras` is Keras 3 in
# TF 2.20; TF_USE_LEGACY_KERAS=1 makes it the Keras that tensorflow_hub knows.
CARD_SNIPPETS = """
import sys
import tensorflow as tf
import tensorflow_hub as hub
import tensorflow_text

PREPROCESSOR, ENCODER = sys.argv[1:]
assert not any(name.split(".")[0] in ("pretrain", "model", "official") for name in sys.modules)

text_input = tf.keras.layers.Input(shape=(), dtype=tf.string)
preprocessor = hub.KerasLayer(PREPROCESSOR)
encoder_inputs = preprocessor(text_input)
encoder = hub.KerasLayer(ENCODER, trainable=True)
outputs = encoder(encoder_inputs)
pooled_output = outputs["pooled_output"]      # [batch_size, 1024].
sequence_output = outputs["sequence_output"]  # [batch_size, seq_length, 1024].

embedding_model = tf.keras.Model(text_input, pooled_output)
sentences = tf.constant(["(your text here)"])
print(embedding_model(sentences))
assert embedding_model(sentences).shape == (1, 16)
assert len(embedding_model.trainable_variables) == 39
assert len(outputs["encoder_outputs"]) == 2

seq_length, num_predict = 24, 4
mlm_inputs = dict(
    input_word_ids=tf.keras.layers.Input(shape=(seq_length,), dtype=tf.int32),
    input_mask=tf.keras.layers.Input(shape=(seq_length,), dtype=tf.int32),
    input_type_ids=tf.keras.layers.Input(shape=(seq_length,), dtype=tf.int32),
    masked_lm_positions=tf.keras.layers.Input(shape=(num_predict,), dtype=tf.int32),
)

encoder = hub.load(ENCODER)
mlm = hub.KerasLayer(encoder.mlm, trainable=True)
mlm_outputs = mlm(mlm_inputs)
mlm_logits = mlm_outputs["mlm_logits"]  # [batch_size, num_predict, vocab_size]
assert mlm_logits.shape.as_list() == [None, 4, 1500], mlm_logits.shape

model = tf.keras.Model(mlm_inputs, mlm_logits)
model.compile("adam", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
ones = {name: tf.ones(value.shape[1:])[None] for name, value in mlm_inputs.items()}
ones = {name: tf.cast(value, tf.int32) for name, value in ones.items()}
first = model.train_on_batch(ones, tf.ones((1, 4), tf.int32))
for _ in range(5):
    last = model.train_on_batch(ones, tf.ones((1, 4), tf.int32))
assert last < first, (first, last)
print("the snippets ran")
"""


@pytest.mark.parametrize("keras", ["legacy variable", "tf_keras"])
def test_the_snippets_of_the_card(export_dir, tmp_path, keras):
    code, environment = CARD_SNIPPETS, {"TF_USE_LEGACY_KERAS": "1"}
    if keras == "tf_keras":
        code = code.replace("tf.keras", "tf_keras").replace("import sys", "import sys, tf_keras")
        environment = {}
    import os

    script = tmp_path / "snippets.py"
    script.write_text(code)
    command = [sys.executable, str(script), f"{export_dir}/preprocessor", f"{export_dir}/encoder"]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "the snippets ran" in done.stdout
