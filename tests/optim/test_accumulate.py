"""Sums over micro-batches equal the sums over the whole batch."""

import numpy as np
import pytest
import tensorflow as tf

from optim.accumulate import accumulate


def sums(batch):
    """Return a vector and a scalar, both sums over the examples."""
    return tf.reduce_sum(batch["x"] * batch["w"][:, None], axis=0), tf.reduce_sum(batch["w"])


ZEROS = (tf.zeros([2]), tf.zeros([]))


@pytest.mark.parametrize("size", [0, 1, 4, 12, 99])
@pytest.mark.parametrize("compiled", [False, True])
def test_sums_do_not_depend_on_the_micro_batch_size(size, compiled):
    batch = {
        "x": tf.reshape(tf.range(24.0), [12, 2]),
        "w": tf.constant([1.0, 0, 2] * 4),
    }
    found = tf.function(
        lambda: accumulate(sums, batch, micro_batch_size=size, zeros=ZEROS), jit_compile=compiled
    )()
    np.testing.assert_array_equal(found[0], [140, 152])
    assert found[1] == 12


@pytest.mark.parametrize("size", [0, 1])
def test_sums_are_float32(size):
    """In bfloat16, 256 + 1 is 256."""
    total = accumulate(
        lambda batch: tf.cast(tf.reduce_sum(batch["x"]), tf.bfloat16),
        {"x": tf.ones([512])},
        micro_batch_size=size,
        zeros=tf.zeros([]),
    )
    assert (total.dtype, total.numpy()) == (tf.float32, 512)


def test_micro_batches_are_consecutive_examples():
    seen = []

    def record(batch):
        seen.append(batch["i"].numpy().tolist())
        return tf.zeros([])

    batch = {"i": tf.range(6)}
    accumulate(record, batch, micro_batch_size=2, zeros=tf.zeros([]))
    assert seen == [[0, 1], [2, 3], [4, 5]]


def test_the_function_is_traced_once():
    traces = []

    def compute(batch):
        traces.append(batch["x"].shape)
        return tf.reduce_sum(batch["x"])

    step = tf.function(
        lambda: accumulate(compute, {"x": tf.ones([30])}, micro_batch_size=3, zeros=tf.zeros([]))
    )
    assert step() == 30
    assert traces == [[3]]


def test_indivisible_batch_is_an_error():
    with pytest.raises(ValueError, match=r"micro_batch_size=4 .* 6"):
        accumulate(sums, {"x": tf.ones([6, 2])}, micro_batch_size=4, zeros=ZEROS)
