"""Weights in the compute type follow their float32 masters."""

import numpy as np
import tensorflow as tf

from model.layers import Dense, Initializer
from model.mlm import Pretrainer
from model.weights import assign, values_of
from tests.support.compute_weights import assert_fresh
from tests.support.encoders import encoder_config


def dense(dtype=tf.bfloat16) -> Dense:
    return Dense(4, 3, Initializer(7, 0.5), "d", dtype)


def test_product_and_gradients_are_those_of_the_rounded_kernel():
    layer, x_BSI = dense(), tf.cast(tf.random.stateless_normal([2, 5, 4], [1, 2]), tf.bfloat16)
    with tf.GradientTape() as tape:
        tape.watch(x_BSI)
        y_BSO = layer.project(x_BSI)
        loss = tf.reduce_sum(tf.cast(y_BSO, tf.float32) ** 2)
    found = tape.gradient(loss, [layer.kernel, x_BSI])
    with tf.GradientTape() as tape:
        tape.watch(x_BSI)
        flat = tf.reshape(x_BSI, [-1, 4]) @ tf.cast(layer.kernel, tf.bfloat16)
        loss = tf.reduce_sum(tf.cast(flat, tf.float32) ** 2)
    expected = tape.gradient(loss, [layer.kernel, x_BSI])
    assert found[0].dtype == tf.float32
    for gradient, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(gradient.numpy(), wanted.numpy())


def test_float32_has_no_compute_kernel():
    assert dense(tf.float32).compute_kernel is None


def test_refresh_rounds_the_current_value():
    layer = dense()
    layer.kernel.assign(tf.fill([4, 3], 1.00390625))  # 1 + 2 ** -8: halfway, rounds to 1
    before = layer.compute_kernel.value().numpy()
    assert not (before == 1).any()
    layer.compute_kernel.refresh()
    assert (layer.compute_kernel.value().numpy() == 1).all()


def test_compute_kernels_are_neither_in_checkpoints_nor_variables_of_the_model(tmp_path):
    config = encoder_config(layers=1)
    mixed, plain = Pretrainer(config, seed=1, dtype=tf.bfloat16), Pretrainer(config, seed=1)
    assert [v.name for v in mixed.variables] == [v.name for v in plain.variables]
    saved = [
        dict(tf.train.list_variables(tf.train.Checkpoint(**model.checkpoint_items).write(path)))
        for model, path in ((mixed, str(tmp_path / "mixed")), (plain, str(tmp_path / "plain")))
    ]
    assert saved[0] == saved[1]


def test_assigned_weights_are_refreshed():
    config = encoder_config(layers=2)
    model, other = (Pretrainer(config, seed=seed, dtype=tf.bfloat16) for seed in (1, 2))
    assign(model, values_of(other, config))
    assert_fresh(model, blocks=2)
