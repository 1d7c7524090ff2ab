"""Functions with explicit gradients equal automatic differentiation, also with dropout."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from model.attention import IMPLEMENTATIONS, attention
from model.dropout import Dropout
from model.layers import apply_dropout, bias_dropout_add, bias_gelu, layer_norm, sum_rows


def value_and_gradients(function, inputs, weights, *, jit_compile=False):
    """Return a function's result, and the gradients of its weighted sum."""

    @tf.function(jit_compile=jit_compile)
    def compute():
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y = function(*inputs)
            loss = tf.reduce_sum(y * weights)
        return [y, *tape.gradient(loss, inputs)]

    return compute()


@pytest.mark.parametrize("activation", ["gelu_tanh", "gelu"])
def test_gelu_and_its_gradient_equal_those_of_tensorflow(activation):
    x = tf.linspace(-7.0, 6.0, 150)[None] + tf.constant([[0.0], [0.01]])
    bias = tf.linspace(-0.5, 0.7, 150)
    weights = tf.random.stateless_normal(x.shape, seed=[1, 2])
    found = value_and_gradients(lambda x, b: bias_gelu(x, b, activation), [x, bias], weights)
    expected = value_and_gradients(
        lambda x, bias: tf.nn.gelu(x + bias, approximate=activation == "gelu_tanh"),
        [tf.cast(value, tf.float64) for value in (x, bias)],
        tf.cast(weights, tf.float64),
    )
    for result, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(result, wanted, atol=1e-5)


def test_exact_and_approximate_gelu_differ():
    """The largest difference is 0.00047, near 2.7, where u * Phi(u) is 2.6906."""
    u, bias = tf.constant([[2.7, -2.7, 0.0, 10.0]]), tf.zeros(4)
    exact, tanh = (bias_gelu(u, bias, name).numpy()[0] for name in ("gelu", "gelu_tanh"))
    np.testing.assert_allclose(exact, [2.690639, -0.009361, 0, 10], atol=1e-6)
    np.testing.assert_allclose(tanh - exact, [0.000473, 0.000473, 0, 0], atol=2e-6)


def test_unknown_alternatives_are_errors():
    with pytest.raises(ValueError, match="activation='relu': must be one of gelu_tanh, gelu"):
        bias_gelu(tf.zeros([1, 4]), tf.zeros(4), "relu")
    x_BASD = tf.zeros([1, 1, 2, 4])
    with pytest.raises(ValueError, match="implementation='x': must be one of compiler, library"):
        attention(x_BASD, x_BASD, x_BASD, tf.zeros([1, 1, 1, 2]), None, implementation="x")


@pytest.mark.parametrize("jit_compile", [False, True], ids=["ops", "compiled"])
def test_gradients_with_dropout_equal_automatic_differentiation(jit_compile):
    """The backward pass has the masks of the forward pass."""
    keys = tf.random.stateless_normal([4, 2, 3, 5, 8], seed=[1, 2])
    q, k, v, weights = tf.unstack(keys)
    bias = tf.constant([0.0, 0, 0, 0, -1e9])[None, None, None] * tf.ones([2, 1, 1, 1])
    dropout = Dropout(seed=5, step=tf.constant(6), example_B=tf.range(2))
    rows = tf.range(5)[None]
    mask = dropout.attention_probs_mask(1, 0.4, rows_BR=rows, columns=5, heads=3)
    hidden_mask = dropout.hidden_mask(2, 0.4, rows_BR=rows, columns=8)

    def factor(mask):
        return tf.cast(mask.keep(), tf.float32) / mask.keep_probability

    def plain_attention(q, k, v):
        scores = tf.matmul(q, k, transpose_b=True) * 8**-0.5 + bias
        return tf.matmul(tf.nn.softmax(scores) * factor(mask), v)

    def compare(function, plain, inputs, weights):
        found, expected = (
            value_and_gradients(compute, inputs, weights, jit_compile=jit_compile)
            for compute in (function, plain)
        )
        for result, wanted in zip(found, expected, strict=True):
            np.testing.assert_allclose(result, wanted, atol=2e-6)
            assert np.abs(wanted).max() > 0.1

    for name in IMPLEMENTATIONS:
        compute = functools.partial(attention, bias_B11T=bias, mask=mask, implementation=name)
        compare(compute, plain_attention, [q, k, v], weights)
    inputs = [q[:, 0], k[:, 0], v[0, 0, 0]]
    compare(
        lambda x, y, b: bias_dropout_add(x, y, b, hidden_mask),
        lambda x, y, b: x + (y + b) * factor(hidden_mask),
        inputs,
        weights[:, 0],
    )
    compare(
        lambda x: apply_dropout(x, hidden_mask),
        lambda x: x * factor(hidden_mask),
        inputs[:1],
        weights[:, 0],
    )


def scale_of_bfloat16_products() -> float:
    """Return the projection of a product in bfloat16 on that in float32; 1 if rounding is unbiased."""
    rng = np.random.default_rng(0)
    a, b = (tf.constant(rng.normal(size=(256, 64)), tf.bfloat16) for _ in range(2))
    half = tf.cast(tf.matmul(a, b, transpose_b=True), tf.float32)
    single = tf.matmul(tf.cast(a, tf.float32), tf.cast(b, tf.float32), transpose_b=True)
    return float(tf.reduce_sum(half * single) / tf.reduce_sum(single**2))


@pytest.mark.parametrize("jit_compile", [False, True], ids=["ops", "compiled"])
def test_attention_gradients_in_bfloat16_are_unbiased(jit_compile):
    """They are those of float32 and noise: 0.9 in bfloat16 would scale some of them by 1.0017."""
    if not jit_compile and abs(scale_of_bfloat16_products() - 1) > 8e-4:
        pytest.skip("TensorFlow's own products in bfloat16 are biased on this processor")
    rng = np.random.default_rng(0)
    q, k, v, dy = (
        tf.cast(tf.constant(rng.normal(size=(2, 2, 64, 32)), tf.float32), tf.bfloat16)
        for _ in range(4)
    )

    @tf.function(jit_compile=jit_compile)
    def gradients(*inputs):
        *qkv, dy = inputs
        dropout = Dropout(seed=0, step=tf.constant(0), example_B=tf.range(2))
        mask = dropout.attention_probs_mask(1, 0.1, rows_BR=tf.range(64)[None], columns=64, heads=2)
        with tf.GradientTape() as tape:
            tape.watch(qkv)
            y = attention(*qkv, tf.zeros([2, 1, 1, 64], dy.dtype), mask)
        return tape.gradient(y, qkv, dy)

    halves = gradients(q, k, v, dy)
    expected = gradients(*(tf.cast(x, tf.float32) for x in (q, k, v, dy)))
    for half, single in zip(halves, expected, strict=True):
        scale = tf.reduce_sum(tf.cast(half, tf.float32) * single) / tf.reduce_sum(single**2)
        assert abs(scale - 1) < 8e-4


def test_layer_norm_of_equal_values_is_finite():
    """Their variance is 0, and rounding must not lead to the root of a negative number."""
    x = tf.constant([0.1, 1e-6, 333.33, -7e4])[:, None] * tf.ones([4, 12])
    y = layer_norm(x, tf.ones([12]), tf.range(12.0), tf.float32)
    assert np.isfinite(y).all()


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
@pytest.mark.parametrize("jit_compile", [False, True], ids=["ops", "compiled"])
def test_sums_over_rows_accumulate_in_float32(dtype, jit_compile):
    """In bfloat16, 256 + 1 is 256."""
    ones = tf.ones([4, 512, 3], dtype)
    sums = tf.function(sum_rows, jit_compile=jit_compile)(ones)
    assert sums.dtype == tf.float32
    assert sums.numpy().tolist() == [2048.0, 2048.0, 2048.0]
