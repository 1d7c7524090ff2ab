"""The exported SavedModels in use: the snippets of the model card and the API of TensorFlow Hub."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
import tensorflow_text as text
import tf_keras
from official.nlp.tasks.utils import get_encoder_from_hub

from data.text.wordpiece import WordPieceTokenizer
from model.weights import assign, build_tf_models
from pretrain.export.saved_model import encoder_with_mlm
from tests.support.paths import ROOT
from tests.support.published import random_values

L, H, V, P = 2, 16, 1500, 4  # sizes of tests/support/published.py, and predictions


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
def pretrainer(published):
    """The exported model; its pooler is drawn from the seed of the run."""
    tf_keras.mixed_precision.set_global_policy("float32")
    model = build_tf_models(published.config.encoder, seed=published.config.train.seed)
    assign(model, random_values(published.config, "encoder", "head"))
    return model


@pytest.fixture(scope="module")
def export_dir(published):
    return published.export_dir


@pytest.fixture(scope="module")
def encoder(loaded_export):
    return loaded_export.encoder


@pytest.fixture(scope="module")
def preprocessor(loaded_export):
    return loaded_export.preprocessor


@pytest.fixture(scope="module")
def hub_layer(export_dir):
    return hub.KerasLayer(str(export_dir / "encoder"), trainable=True)


def test_outputs_equal_those_of_the_model(encoder, pretrainer):
    actual = encoder(inputs())
    expected = pretrainer.encoder_network(inputs())
    assert set(actual) == {"default", "pooled_output", "sequence_output", "encoder_outputs"}
    for name in ("pooled_output", "sequence_output"):
        np.testing.assert_allclose(actual[name], expected[name], atol=1e-6)
    np.testing.assert_array_equal(actual["default"], actual["pooled_output"])
    assert len(actual["encoder_outputs"]) == L
    for block, source in zip(actual["encoder_outputs"], expected["encoder_outputs"], strict=True):
        np.testing.assert_allclose(block, source, atol=1e-6)
    np.testing.assert_array_equal(actual["encoder_outputs"][-1], actual["sequence_output"])
    assert actual["sequence_output"].shape == (3, 12, H)
    assert actual["sequence_output"].dtype == tf.float32


def test_mlm_outputs_equal_those_of_the_model(encoder, pretrainer):
    actual = encoder.mlm(mlm_inputs())
    expected = pretrainer(mlm_inputs())
    assert set(actual) == {"mlm_logits", "pooled_output", "sequence_output", "encoder_outputs"}
    assert actual["mlm_logits"].shape == (3, P, V)
    np.testing.assert_allclose(actual["mlm_logits"], expected["mlm_logits"], atol=1e-5)
    for name in ("pooled_output", "sequence_output", "encoder_outputs"):
        np.testing.assert_allclose(actual[name], expected[name], rtol=0, atol=1e-6)


def test_variables_and_assets(encoder, pretrainer, vocab):
    source = pretrainer.encoder_network.trainable_variables
    assert len(encoder.trainable_variables) == len(source) == 39
    assert len(encoder.variables) == 40  # and do_lower_case
    assert len(encoder.mlm.trainable_variables) == len(pretrainer.trainable_variables) == 44
    # The variables of the root are shared with .mlm, not copied.
    shared = {id(v) for v in encoder.mlm.trainable_variables}
    assert {id(v) for v in encoder.trainable_variables} <= shared
    assert encoder.regularization_losses == []
    assert bool(encoder.do_lower_case.numpy()) is True
    path = Path(encoder.vocab_file.asset_path.numpy().decode())
    assert (path.name, path.read_text()) == ("vocab.txt", vocab.text)
    assert not hasattr(encoder, "sp_model_file")


@pytest.mark.parametrize("part", ["root", "mlm"])
def test_dropout_is_active_in_training_only(encoder, part):
    call = encoder if part == "root" else encoder.mlm
    features = inputs() if part == "root" else mlm_inputs()
    for training, low, high in ((False, 0, 1e-6), (True, 1e-3, 10)):
        outputs = [call(features, training=training)["sequence_output"] for _ in range(8)]
        assert low <= np.std(outputs, axis=0).mean() <= high


def test_padding_is_masked(encoder):
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


def test_persistent_gradient_tapes(encoder):
    """Supported since version 2 of the published encoder."""
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
    actual = preprocessor.tokenize(tf.constant(paragraphs)).merge_dims(1, 2)
    ids, lengths = WordPieceTokenizer(vocab, lower_case=True).encode(paragraphs)
    np.testing.assert_array_equal(actual.values, ids)
    np.testing.assert_array_equal(actual.row_lengths(), lengths)


def test_preprocessor_in_a_tf_data_pipeline(preprocessor):
    dataset = tf.data.Dataset.from_tensor_slices(["a bird", "a tree"]).batch(2).map(preprocessor)
    assert dataset.element_spec["input_word_ids"].shape.as_list() == [None, 64]
    assert len(list(dataset)) == 1


def test_loads_in_a_mirrored_strategy(export_dir):
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        loaded = tf.saved_model.load(str(export_dir / "encoder"))
    assert len(loaded.trainable_variables) == 39
    results = strategy.run(lambda: loaded(inputs())["pooled_output"])
    for value in strategy.experimental_local_results(results):
        assert value.shape == (3, H)


def test_hub_layer(export_dir, hub_layer, pretrainer):
    """As tf-models fine-tunes with `task.hub_module_url`."""
    model = get_encoder_from_hub(str(export_dir / "encoder"))
    assert len(model.trainable_variables) == 39
    expected = pretrainer.encoder_network(inputs())["pooled_output"]
    np.testing.assert_allclose(model(inputs())["pooled_output"], expected, atol=1e-6)
    source = pretrainer.encoder_network.trainable_variables
    for weight, expected in zip(hub_layer.trainable_weights, source, strict=True):
        assert weight.name == expected.name
        np.testing.assert_array_equal(weight, expected)


def test_static_shapes_propagate(hub_layer):
    outputs = hub_layer({name: tf_keras.Input((10,), dtype=tf.int32) for name in inputs()})
    assert outputs["pooled_output"].shape.as_list() == [None, H]
    assert outputs["sequence_output"].shape.as_list() == [None, 10, H]
    assert [o.shape.as_list() for o in outputs["encoder_outputs"]] == [[None, 10, H]] * L


def test_no_lambda_layers(pretrainer):
    """They would contain bytecode of one Python version."""

    def layers(layer):
        return [layer, *(inner for part in getattr(layer, "layers", []) for inner in layers(part))]

    core = encoder_with_mlm(pretrainer, max_length=64)
    actual = layers(core) + layers(core.mlm)
    assert len(actual) > 8
    assert not any(isinstance(layer, tf_keras.layers.Lambda) for layer in actual)


def test_outputs_are_float32_under_a_mixed_policy(export_dir):
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        loaded = tf.saved_model.load(str(export_dir / "encoder"))
        assert {t.dtype for t in tf.nest.flatten(loaded(inputs()))} == {tf.float32}
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")


def test_signatures_name_their_outputs(encoder):
    actual = encoder.signatures["serving_default"](**inputs())
    assert actual.keys() == {"default", "pooled_output", "sequence_output"}
    np.testing.assert_allclose(actual["default"], encoder(inputs())["default"], atol=1e-5)
    actual = encoder.signatures["mlm"](**mlm_inputs())
    assert actual.keys() == {"mlm_logits", "pooled_output", "sequence_output"}
    np.testing.assert_allclose(
        actual["mlm_logits"], encoder.mlm(mlm_inputs())["mlm_logits"], rtol=0, atol=1e-5
    )


class TestWrongInputs:
    def test_too_long(self, encoder):
        """Eager calls, the signature (length known at run time only), and XLA as on accelerators."""
        too_long, mlm_too_long = inputs(seq_length=65), mlm_inputs(seq_length=65)
        with pytest.raises(ValueError, match="input_has_more_than_64_tokens"):
            encoder(too_long)
        with pytest.raises(ValueError, match="input_has_more_than_64_tokens"):
            encoder.mlm(mlm_too_long)
        message = "the encoder takes at most 64 tokens, the input has more"
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            encoder.signatures["serving_default"](**too_long)
        compiled = tf.function(lambda features: encoder(features)["default"], jit_compile=True)
        assert compiled(inputs(seq_length=64)).shape == (3, H)
        with pytest.raises(ValueError, match="input_has_more_than_64_tokens"):
            compiled(too_long)

    def test_wrong_type(self, encoder):
        features = {name: tf.cast(value, tf.int64) for name, value in inputs().items()}
        with pytest.raises(ValueError, match=r"(?s)dtype=int64.*Expected.*dtype=tf\.int32"):
            encoder(features)
        with pytest.raises(tf.errors.InvalidArgumentError, match="expected to be a int32 tensor"):
            encoder.signatures["serving_default"](**features)


def test_masking_with_tensorflow_text(preprocessor, encoder, vocab):
    """Pairs of sentences through both SavedModels and the masking of tensorflow-text."""
    special = preprocessor.tokenize.get_special_tokens_dict()
    cls, sep = int(special["start_of_sequence_id"]), int(special["end_of_segment_id"])
    segments = [["the bird", "the tree"], ["of the sole tree", "a lay"]]
    tokens = [preprocessor.tokenize(tf.constant(s)).merge_dims(1, 2) for s in segments]
    tokens = text.WaterfallTrimmer(16 - 3).trim(tokens)
    ids, types = text.combine_segments(tokens, start_of_sequence_id=cls, end_of_segment_id=sep)
    ids, positions, _ = text.mask_language_model(
        input_ids=ids,
        item_selector=text.RandomItemSelector(2, selection_rate=0.5, unselectable_ids=[cls, sep]),
        mask_values_chooser=text.MaskValuesChooser(
            vocab_size=V,
            mask_token=int(special["mask_id"]),
            mask_token_rate=1.0,
            random_token_rate=0.0,
        ),
    )
    word_ids, mask = text.pad_model_inputs(ids, 16, pad_value=int(special["padding_id"]))
    type_ids, _ = text.pad_model_inputs(types, 16)
    positions, _ = text.pad_model_inputs(positions, 2)
    assert (word_ids.numpy() == vocab.ids["[MASK]"]).sum() == 4
    outputs = encoder.mlm(
        {
            "input_word_ids": word_ids,
            "input_mask": mask,
            "input_type_ids": type_ids,
            "masked_lm_positions": tf.cast(positions, tf.int32),
        }
    )
    assert outputs["mlm_logits"].shape == (2, 2, V)
    assert outputs["sequence_output"].shape == (2, 16, H)
    assert (outputs["pooled_output"].shape, len(outputs["encoder_outputs"])) == ((2, H), L)


@pytest.mark.parametrize(
    "keras", ["legacy variable", pytest.param("tf_keras", marks=pytest.mark.slow)]
)
def test_snippets_of_the_card(export_dir, tmp_path, keras):
    script = ROOT / "docs/use_export.py"
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": "1"}
    if keras == "tf_keras":
        code = script.read_text().replace("tf.keras", "tf_keras")
        script = tmp_path / "snippets.py"
        script.write_text(code.replace("import sys", "import sys, tf_keras"))
        del environment["TF_USE_LEGACY_KERAS"]
    command = [sys.executable, str(script), str(export_dir)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    for line in ("2 blocks", "39 variables are fine-tuned", "logits: [None, 4, 1500]"):
        assert line in done.stdout.splitlines()
    assert "fine-tuned on one batch: loss" in done.stdout
