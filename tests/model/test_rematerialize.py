"""Gradient checkpointing of blocks gives the same gradients with less memory."""

import numpy as np
import pytest
import tensorflow as tf

from model.config import EncoderConfig
from model.dropout import Dropout
from model.mlm import Pretrainer
from model.rematerialize import rematerialize

B, S, P, L = 2, 16, 3, 2


def model(**options) -> Pretrainer:
    config = EncoderConfig(
        vocab_size=60,
        hidden_size=16,
        num_hidden_layers=L,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=S,
        hidden_dropout_prob=0.2,
        attention_probs_dropout_prob=0.3,
        initializer_range=0.2,
    )
    return Pretrainer(config, seed=3, **options)


def features() -> dict[str, tf.Tensor]:
    rng = np.random.default_rng(0)
    return {
        "input_word_ids": tf.constant(rng.integers(0, 60, (B, S)), tf.int32),
        "input_mask": tf.ones([B, S], tf.int32),
        "input_type_ids": tf.zeros([B, S], tf.int32),
        "masked_lm_positions": tf.constant(rng.integers(0, S, (B, P)), tf.int32),
        "masked_lm_ids": tf.constant(rng.integers(0, 60, (B, P)), tf.int32),
        "masked_lm_weights": tf.ones([B, P]),
    }


def loss(model: Pretrainer, batch) -> tf.Tensor:
    dropout = Dropout(seed=1, step=tf.constant(2), example_B=tf.range(B))
    return model.sums(batch, dropout=dropout)[0]


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16], ids=["float32", "bfloat16"])
def test_gradients_are_bitwise_equal(dtype):
    def compute(model):
        @tf.function
        def step():
            with tf.GradientTape() as tape:
                value = loss(model, features())
            return value, tape.gradient(value, list(model.trainable_variables))

        value, gradients = step()
        return value, [tf.convert_to_tensor(gradient) for gradient in gradients]

    value, gradients = compute(model(dtype=dtype, rematerialize_blocks=True))
    expected_value, expected_gradients = compute(model(dtype=dtype))
    assert value == expected_value
    for gradient, expected in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_array_equal(gradient, expected)
        assert np.abs(expected).max() > 0


def kept_bytes(model: Pretrainer) -> int:
    """Return the bytes of forward results that the backward pass reads, without variables."""
    forward = set()

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            value = loss(model, features())
        forward.update(tf.compat.v1.get_default_graph().get_operations())
        return tape.gradient(value, list(model.trainable_variables))

    operations = step.get_concrete_function().graph.get_operations()
    backward = [op for op in operations if op not in forward]
    kept = {
        tensor.ref(): tensor.shape.num_elements() * tensor.dtype.size
        for op in backward
        for tensor in op.inputs
        if tensor.op in forward and tensor.op.type not in ("Const", "Placeholder", "ReadVariableOp")
    }
    return sum(kept.values())


def test_backward_pass_keeps_little_more_than_block_inputs():
    plain, rematerialized = kept_bytes(model()), kept_bytes(model(rematerialize_blocks=True))
    inputs = L * B * S * 16 * 4
    assert plain > 10 * inputs
    assert inputs < rematerialized < 0.2 * plain


def test_recomputation_is_behind_an_optimization_barrier():
    """Without it XLA would merge both computations and keep the results of the first."""
    small = model(rematerialize_blocks=True)

    @tf.function(jit_compile=True)
    def step():
        with tf.GradientTape() as tape:
            value = loss(small, features())
        return tape.gradient(value, list(small.trainable_variables))

    text = step.experimental_get_compiler_ir()(stage="hlo")
    assert text.count(" opt-barrier(") == L


def test_functions_without_variables_have_gradients():
    x = tf.constant([1.0, 2.0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = rematerialize(lambda x: x**3)(x)
    np.testing.assert_array_equal(tape.gradient(y, x), [3, 12])
