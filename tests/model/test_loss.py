"""Sums of the MLM loss and their gradients equal float64 numpy and automatic differentiation."""

import numpy as np
import pytest
import tensorflow as tf

from model.loss import compute_logits, mlm_sums, mlm_sums_by_chunks

B, P, V, H = 4, 3, 50, 8


def example(dtype=tf.float32):
    """Return x [B, P, H], table, bias, ids and weights, a third of which are 0."""
    rng = np.random.default_rng(1)
    x = tf.constant(rng.normal(size=(B, P, H)), dtype)
    table, bias = rng.normal(size=(V, H)), rng.normal(size=V)
    ids, weights = rng.integers(0, V, (B, P)), np.array([[1, 1, 0]] * B)
    predicted = np.argmax(x.numpy().astype(float) @ table.T + bias, axis=-1)
    ids[:2] = predicted[:2]
    table, bias, weights = (tf.constant(a, tf.float32) for a in (table, bias, weights))
    return x, table, bias, tf.constant(ids, tf.int32), weights


def in_float64(logits, ids, weights):
    """Return the sums, and the gradient of the loss, in numpy."""
    log_sum = np.log(np.exp(logits).sum(-1, keepdims=True))
    one_hot = np.eye(logits.shape[-1])[ids]
    losses = log_sum[..., 0] - (logits * one_hot).sum(-1)
    correct = logits.argmax(-1) == ids
    sums = [(losses * weights).sum(), (correct * weights).sum(), weights.sum()]
    return sums, (np.exp(logits - log_sum) - one_hot) * weights[..., None]


def sums_and_gradients(function, *inputs, factor=1.0):
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        sums = function(*inputs)
        loss = sums[0] * factor
    return sums, tape.gradient(loss, inputs)


def test_sums_and_gradient_equal_float64():
    x, table, bias, ids, weights = example()
    logits = (x.numpy() @ table.numpy().T + bias.numpy()).astype(np.float32)
    sums, (gradient,) = sums_and_gradients(
        lambda logits: mlm_sums(logits, ids, weights), tf.constant(logits), factor=3.0
    )
    expected, expected_gradient = in_float64(logits.astype(float), ids.numpy(), weights.numpy())
    np.testing.assert_allclose([s.numpy() for s in sums], expected, rtol=1e-6)
    assert expected[1:] == [4, 8]
    np.testing.assert_allclose(gradient, 3 * expected_gradient, atol=1e-6)


def test_bfloat16_logits_have_float32_sums_and_a_bfloat16_gradient():
    logits = tf.cast(tf.random.stateless_normal([2, 300, V], seed=[1, 2]) * 3, tf.bfloat16)
    ids, weights = tf.zeros([2, 300], tf.int32), tf.ones([2, 300])
    sums, (gradient,) = sums_and_gradients(lambda x: mlm_sums(x, ids, weights), logits)
    values = logits.numpy().astype(float)
    expected, expected_gradient = in_float64(values, ids.numpy(), weights.numpy())
    np.testing.assert_allclose(sums[0], expected[0], rtol=1e-6)  # a bfloat16 sum: 1e-2
    assert gradient.dtype == tf.bfloat16
    np.testing.assert_allclose(
        gradient.numpy().astype(float), expected_gradient, rtol=2**-8, atol=1e-7
    )


def test_first_of_equal_logits_is_the_prediction():
    logits = tf.constant([[[1.0, 2.0, 2.0]], [[1.0, 2.0, 2.0]]])
    _, correct, _ = mlm_sums(logits, tf.constant([[1], [2]]), tf.constant([[1.0], [10.0]]))
    assert correct.numpy() == 1


@pytest.mark.parametrize("chunk_size", [4, 5])
@pytest.mark.parametrize("compiled", [False, True])
def test_chunked_sums_and_gradients_equal_unchunked(chunk_size, compiled):
    """A chunk size of 5 does not divide the 12 predictions."""
    x, table, bias, ids, weights = example()

    def whole(x, table, bias):
        logits_NV = compute_logits(tf.reshape(x, [-1, H]), table, bias)
        return mlm_sums(tf.reshape(logits_NV, [B, P, V]), ids, weights)

    def chunked(x, table, bias):
        return mlm_sums_by_chunks(x, table, bias, ids, weights, chunk_size=chunk_size)

    def compute(function):
        return tf.function(
            lambda: sums_and_gradients(function, x, table, bias, factor=3.0), jit_compile=compiled
        )()

    (sums, gradients), (expected, expected_gradients) = compute(chunked), compute(whole)
    np.testing.assert_allclose(sums, expected, rtol=1e-6)
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        assert np.abs(expected_gradient).max() > 0.5
        np.testing.assert_allclose(gradient, expected_gradient, atol=3e-6)


def test_chunked_gradients_accumulate_in_float32():
    """The gradient of 600 equal predictions in bfloat16 is 600 times that of one."""
    x = tf.ones([600, 1, H], tf.bfloat16)
    table, bias = tf.zeros([2, H]), tf.zeros([2])  # logits 0 and 0: gradients of -0.5 and 0.5

    @tf.function
    def compute():
        def chunked(*inputs):
            ids, weights = tf.zeros([600, 1], tf.int32), tf.ones([600, 1])
            return mlm_sums_by_chunks(*inputs, ids, weights, chunk_size=1)

        return sums_and_gradients(chunked, x, table, bias)

    _, (dx, dtable, dbias) = compute()
    assert (dx.dtype, dtable.dtype, dbias.dtype) == (tf.bfloat16, tf.float32, tf.float32)
    np.testing.assert_array_equal(
        dtable[:, 0], [-300, 300]
    )  # in bfloat16 the sum would stop at 128
    np.testing.assert_array_equal(dbias, [-300, 300])


def test_logits_exist_only_in_chunks():
    """No tensor of the graph, including its gradient and its loops, is as large as all logits."""

    def largest(compute):
        @tf.function(autograph=False)
        def step(x, table, bias):
            return sums_and_gradients(compute, x, table, bias)

        shapes = (tf.TensorSpec([64, 4, H]), tf.TensorSpec([1000, H]), tf.TensorSpec([1000]))
        graph = step.get_concrete_function(*shapes).graph.as_graph_def(add_shapes=True)
        nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
        shapes = [s for n in nodes for s in n.attr["_output_shapes"].list.shape]
        return max(np.prod([d.size for d in s.dim]) for s in shapes if s.dim)

    ids, weights = tf.zeros([64, 4], tf.int32), tf.ones([64, 4])

    def whole(x, table, bias):
        return mlm_sums(compute_logits(tf.reshape(x, [-1, H]), table, bias), ids, weights)

    def chunked(x, table, bias):
        return mlm_sums_by_chunks(x, table, bias, ids, weights, chunk_size=16)

    assert largest(whole) == 64 * 4 * 1000
    assert largest(chunked) == 16 * 1000
