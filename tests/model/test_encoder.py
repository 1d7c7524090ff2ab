"""The encoder equals tf-models' with the same weights: outputs, gradients, and an update."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from data.errors import UserError
from model.compute_weights import refresh_compute_weights
from model.config import EncoderConfig
from model.dropout import Dropout
from model.encoder import Encoder, gather_rows
from model.layers import Initializer
from model.mlm import Pretrainer, mlm_sums
from model.weights import build_tf_models, trained_variables
from optim.lamb import LAMB
from tests.support.encoders import (
    batch,
    encoder_config,
    model_pair,
    random_pretrainer,
    relative_error,
    sums_and_gradients,
    tf_models_inputs,
)

# (batch, positions, predictions, layers, heads, hidden, intermediate), and the activation.
CASES = [
    ((3, 24, 5, 3, 4, 32, 48), "gelu_tanh"),
    ((2, 7, 7, 1, 1, 8, 40), "gelu"),
    ((1, 33, 1, 1, 6, 48, 16), "gelu_tanh"),
]


@functools.cache
def expected_of_tf_models(shape, activation):
    """Return our model with tf-models' weights, a batch, and what tf-models computes from it."""
    ours, theirs = model_pair(encoder_config(*shape[3:], activation=activation))
    features = batch(*shape[:3])
    outputs = theirs(tf_models_inputs(theirs, features))
    sums, gradients = sums_and_gradients(
        lambda: theirs(tf_models_inputs(theirs, features), training=True)["mlm_logits"],
        trained_variables(ours, theirs),
        features,
    )
    return ours, features, outputs, sums, gradients


@pytest.mark.parametrize("jit_compile", [False, True], ids=["ops", "compiled"])
@pytest.mark.parametrize(("shape", "activation"), CASES)
def test_outputs_and_all_gradients_equal_tf_models(shape, activation, jit_compile):
    ours, features, expected, expected_sums, expected_gradients = expected_of_tf_models(
        shape, activation
    )
    our_variables = list(ours.trainable_variables)

    @tf.function(jit_compile=jit_compile)
    def compute():
        with tf.GradientTape() as tape:
            logits = ours.logits(features)
            sums = mlm_sums(logits, features["masked_lm_ids"], features["masked_lm_weights"])
        gradients = tape.gradient(sums[0], our_variables)
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        return ours.encoder(features)["encoder_outputs"], logits, sums, gradients

    outputs, logits, sums, gradients = compute()
    for output, expected_output in zip(outputs, expected["encoder_outputs"], strict=True):
        np.testing.assert_allclose(output, expected_output, atol=2e-5)
        assert np.std(expected_output) > 0.5
    np.testing.assert_allclose(logits, expected["mlm_logits"], atol=5e-5)
    assert np.std(expected["mlm_logits"]) > 0.5
    np.testing.assert_allclose(sums, expected_sums, rtol=1e-6)

    scale = max(np.linalg.norm(gradient) for gradient in expected_gradients)
    for variable, gradient, expected_gradient in zip(
        our_variables, gradients, expected_gradients, strict=True
    ):
        expected_gradient = np.reshape(expected_gradient, gradient.shape)
        if "key/bias" in variable.name:
            # It shifts all scores of a row, which has no effect: only rounding errors remain.
            assert np.linalg.norm(gradient) < 1e-5 * scale
            assert np.linalg.norm(expected_gradient) < 1e-5 * scale
        elif np.linalg.norm(expected_gradient) > 1e-6 * scale:
            assert relative_error(gradient, expected_gradient) < 2e-5, variable.name
        else:  # with one attended position or one predicted row the gradient is 0
            assert np.linalg.norm(gradient) < 1e-5 * scale, variable.name


def test_positions_of_the_last_block_equal_those_of_its_full_output():
    ours, features = random_pretrainer(encoder_config(dropout=0.3)), batch()
    size, length = features["input_word_ids"].shape
    positions = features["masked_lm_positions"]
    everywhere = tf.tile(tf.range(length)[None], [size, 1])
    for dropout in (None, Dropout(seed=1, step=tf.constant(2), example_B=tf.range(size))):
        full = ours.encoder.encode(features, dropout=dropout)
        for positions_BP in (positions, everywhere):
            found = ours.encoder.encode(features, dropout=dropout, positions_BP=positions_BP)
            np.testing.assert_allclose(
                found, tf.gather(full, positions_BP, batch_dims=1), atol=1e-5
            )
        if dropout is None:
            np.testing.assert_allclose(full, ours.encoder(features)["sequence_output"], atol=1e-5)
    np.testing.assert_array_equal(
        gather_rows(full, positions), tf.gather(full, positions, batch_dims=1)
    )


def numpy_layer_norm(x, norm):
    x = x - x.mean(-1, keepdims=True)
    x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-12)
    return x * norm.gamma.numpy() + norm.beta.numpy()


def test_attention_weights_equal_float64():
    encoder, features = random_pretrainer(encoder_config()).encoder, batch()
    ids, types, mask = (
        features[f"input_{name}"].numpy() for name in ("word_ids", "type_ids", "mask")
    )
    tables = (encoder.word_embeddings, encoder.type_embeddings, encoder.position_embeddings)
    words, segments, positions = (table.numpy().astype(np.float64) for table in tables)
    x = words[ids] + segments[types] + positions[: ids.shape[1]]
    outputs = encoder(features)["encoder_outputs"]
    inputs = [numpy_layer_norm(x, encoder.embeddings_norm), *outputs[:-1]]
    found = encoder.attention_weights(features)
    assert len(found) == len(encoder.blocks)
    for block, x, weights in zip(encoder.blocks, inputs, found, strict=True):
        x = np.asarray(x, np.float64)
        q, k = (
            (x @ dense.kernel.numpy() + dense.bias.numpy()).reshape(*ids.shape, 4, 8)
            for dense in (block.query, block.key)
        )
        e = np.exp(np.einsum("bsad,btad->bast", q, k) / np.sqrt(8)) * mask[:, None, None]
        expected = e / e.sum(-1, keepdims=True)
        np.testing.assert_allclose(weights, expected, atol=1e-5)
        assert expected.max() > 0.5


def test_unknown_position_encoding_is_an_error(monkeypatch):
    monkeypatch.setattr(EncoderConfig, "position_encoding", "rotary")
    with pytest.raises(ValueError, match="position_encoding='rotary': must be one of absolute"):
        Encoder(encoder_config(layers=1), Initializer(0, 0.1), tf.float32)


def test_tf_models_has_absolute_positions_only(monkeypatch):
    monkeypatch.setattr(EncoderConfig, "position_encoding", "rotary")
    with pytest.raises(UserError, match=r"position_encoding='rotary': .* 'absolute' only"):
        build_tf_models(encoder_config(layers=1), seed=0)


def test_bfloat16_is_close_to_float32():
    """One rounding in bfloat16 is 2**-9 = 0.002; two blocks have several roundings in sequence."""
    ours, features = random_pretrainer(encoder_config()), batch()
    half = Pretrainer(encoder_config(), seed=4, dtype=tf.bfloat16)
    for variable, value in zip(half.variables, ours.variables, strict=True):
        variable.assign(value)
    refresh_compute_weights(half)
    assert half.logits(features).dtype == tf.bfloat16
    dropout = Dropout(seed=1, step=tf.constant(2), example_B=tf.range(3))
    results = []
    for model in (half, ours):
        variables = list(model.trainable_variables)
        assert {variable.dtype for variable in variables} == {tf.float32}
        logits = functools.partial(model.logits, features, dropout=dropout)
        results.append(sums_and_gradients(logits, variables, features))
    (sums, gradients), (expected_sums, expected_gradients) = results
    np.testing.assert_allclose(sums[0], expected_sums[0], rtol=0.01)
    for variable, gradient, expected in zip(
        ours.trainable_variables, gradients, expected_gradients, strict=True
    ):
        if "key/bias" not in variable.name:  # its gradient is only rounding errors
            assert relative_error(gradient, expected) < 0.05, variable.name


def test_an_update_with_lamb_equals_that_of_tf_models():
    ours, theirs = model_pair(encoder_config(layers=1))
    features = batch()
    settings = {
        "weight_decay_rate": 0.01,
        "exclude_from_weight_decay": ["layer_norm", "LayerNorm", "bias"],
        "exclude_from_layer_adaptation": ["layer_norm", "LayerNorm", "bias"],
        "epsilon": 1e-3,  # LAMB divides by the gradient's size; without it rounding would decide
    }
    their_variables = trained_variables(ours, theirs)
    before = [variable.numpy() for variable in their_variables]
    for variables, logits in (
        (list(ours.trainable_variables), lambda: ours.logits(features)),
        (
            their_variables,
            lambda: theirs(tf_models_inputs(theirs, features), training=True)["mlm_logits"],
        ),
    ):
        _, gradients = sums_and_gradients(logits, variables, features)
        LAMB(0.05, **settings).apply_gradients(zip(gradients, variables, strict=True))
    for variable, their_variable, old in zip(
        ours.trainable_variables, their_variables, before, strict=True
    ):
        expected = np.reshape(their_variable.numpy() - old, variable.shape)
        change = variable.numpy() - np.reshape(old, variable.shape)
        if "key/bias" in variable.name:  # its gradient is only rounding errors
            np.testing.assert_allclose(change, expected, atol=1e-4)
        else:
            assert relative_error(change, expected) < 1e-3, variable.name
            assert np.abs(expected).max() > 1e-3, variable.name


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_the_compiled_step_suits_tpus(dtype):
    """It has no dynamic shapes and no float64, which `jit_compile` on a CPU would accept."""
    model = Pretrainer(encoder_config(dropout=0.1), seed=0, dtype=dtype)
    variables, features = list(model.trainable_variables), batch()
    optimizer = LAMB(0.01)
    optimizer.build(variables)

    @tf.function(jit_compile=True)
    def step(features):
        with tf.GradientTape() as tape:
            size = features["input_word_ids"].shape[0]
            dropout = Dropout(seed=1, step=optimizer.iterations, example_B=tf.range(size))
            logits = model.logits(features, dropout=dropout)
            sums = mlm_sums(logits, features["masked_lm_ids"], features["masked_lm_weights"])
        gradients = [tf.convert_to_tensor(g) for g in tape.gradient(sums[0], variables)]
        gradients, _ = tf.clip_by_global_norm(gradients, 1.0)
        optimizer.apply_gradients(
            zip(gradients, variables, strict=True), skip_gradients_aggregation=True
        )
        return sums[0]

    text = step.experimental_get_compiler_ir(features)(stage="stablehlo")
    assert "stablehlo.dot" in text
    assert "ui32" in text
    for unsuitable in ("f64", "set_dimension_size", "#stablehlo.bounds"):
        assert unsuitable not in text
    if dtype == tf.bfloat16:
        products = [line for line in text.splitlines() if "stablehlo.dot" in line]
        in_float32 = [line for line in products if "bf16" not in line]
        # Segment types: the embedding, its gradient, and that of its sum over the batch.
        assert len(in_float32) <= 3, in_float32
