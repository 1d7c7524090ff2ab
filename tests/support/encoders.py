"""Small encoders with random weights, batches for them, and tf-models' model with the same weights."""

import numpy as np
import tensorflow as tf
import tf_keras

from model.config import EncoderConfig
from model.mlm import Pretrainer, mlm_sums
from model.weights import build_tf_models, from_tf_models

VOCAB_SIZE = 90


def encoder_config(
    layers=2, heads=4, hidden=32, intermediate=48, dropout=0.0, activation="gelu_tanh"
) -> EncoderConfig:
    return EncoderConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=intermediate,
        hidden_activation=activation,
        max_position_embeddings=40,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        initializer_range=0.2,  # outputs that depend on their inputs
    )


def batch(size=3, positions=24, predictions=5) -> dict[str, tf.Tensor]:
    """Return features with padding, two segments, repeated positions and unused prediction slots."""
    rng = np.random.default_rng(size)
    lengths = rng.integers(positions // 2, positions, size)
    mask = (np.arange(positions) < lengths[:, None]).astype(np.int32)
    values = {
        "input_word_ids": rng.integers(0, VOCAB_SIZE, (size, positions)),
        "input_mask": mask,
        "input_type_ids": rng.integers(0, 2, (size, positions)),
        "masked_lm_positions": rng.integers(0, positions // 2, (size, predictions)),
        "masked_lm_ids": rng.integers(0, VOCAB_SIZE, (size, predictions)),
    }
    features = {name: tf.constant(value, tf.int32) for name, value in values.items()}
    weights = np.ones((size, predictions), np.float32)
    weights[:, predictions // 2 + 1 :] = 0
    return {**features, "masked_lm_weights": tf.constant(weights)}


def randomize_vectors(variables) -> None:
    """Add noise to biases and LayerNorm parameters, whose initial values are 0 and 1."""
    rng = np.random.default_rng(0)
    for variable in variables:
        if variable.shape.rank < 3:
            variable.assign_add(rng.normal(size=variable.shape) * 0.1)


def random_pretrainer(config: EncoderConfig) -> Pretrainer:
    """Return our model with random values in all variables."""
    model = Pretrainer(config, seed=4)
    randomize_vectors(model.trainable_variables)
    return model


def model_pair(config: EncoderConfig):
    """Return our model and tf-models' with the same random values in all variables."""
    tf_keras.mixed_precision.set_global_policy("float32")
    theirs = build_tf_models(config, seed=3)
    randomize_vectors(theirs.trainable_variables)
    ours = Pretrainer(config, seed=4)
    from_tf_models(theirs, ours)
    return ours, theirs


def tf_models_inputs(model, features):
    return {name: features[name] for name in model.inputs}


def sums_and_gradients(logits, variables, features, *, jit_compile=False):
    """Return `mlm_sums` of the logits, and the gradients of the loss."""

    @tf.function(jit_compile=jit_compile)
    def compute():
        with tf.GradientTape() as tape:
            sums = mlm_sums(logits(), features["masked_lm_ids"], features["masked_lm_weights"])
        gradients = tape.gradient(sums[0], variables)
        return sums, [tf.convert_to_tensor(gradient) for gradient in gradients]

    return compute()


def relative_error(found, expected) -> float:
    """Return the norm of the difference divided by the norm of the expected tensor."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)
