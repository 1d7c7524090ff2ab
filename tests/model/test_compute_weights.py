"""Weights in the compute type beside their float32 masters."""

import numpy as np
import pytest
import tensorflow as tf

from model.compute_weights import ComputeWeight
from model.layers import Dense, Initializer
from model.mlm import Pretrainer
from model.weights import assign, values_of
from pretrain.checkpoints.checkpoint import Checkpoints
from pretrain.experiment import build_trainer
from tests.support.training import iterator, run_config, strategy_of


def dense(dtype=tf.bfloat16) -> Dense:
    return Dense(4, 3, Initializer(7, 0.5), "d", dtype)


def copies(model: tf.Module) -> dict[str, ComputeWeight]:
    return {m.kernel.name: m for m in model.submodules if getattr(m, "compute_kernel", None)}


def assert_fresh(model: tf.Module) -> None:
    found = copies(model)
    assert len(found) == 2 * 6 + 1  # two blocks and the head
    for module in found.values():
        rounded = tf.cast(module.kernel, tf.bfloat16)
        np.testing.assert_array_equal(module.compute_kernel.value().numpy(), rounded.numpy())


def test_a_product_and_its_gradients_are_those_of_the_rounded_kernel():
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
    for one, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.numpy(), wanted.numpy())


def test_float32_needs_no_copy():
    assert dense(tf.float32).compute_kernel is None


def test_a_copy_follows_when_it_is_told_to():
    layer = dense()
    layer.kernel.assign(tf.fill([4, 3], 1.00390625))  # 1 + 2 ** -8: halfway, rounds to 1
    before = layer.compute_kernel.value().numpy()
    assert not (before == 1).any()
    layer.compute_kernel.refresh()
    assert (layer.compute_kernel.value().numpy() == 1).all()


def test_copies_are_neither_state_nor_variables_of_the_model(tmp_path):
    ours = Pretrainer(run_config().encoder, seed=1, dtype=tf.bfloat16)
    plain = Pretrainer(run_config().encoder, seed=1)
    assert [v.name for v in ours.variables] == [v.name for v in plain.variables]
    saved = [
        dict(tf.train.list_variables(tf.train.Checkpoint(**model.checkpoint_items).write(path)))
        for model, path in ((ours, str(tmp_path / "ours")), (plain, str(tmp_path / "plain")))
    ]
    assert saved[0] == saved[1]


def test_weights_that_are_set_reach_the_copies():
    config = run_config().encoder
    model, other = (Pretrainer(config, seed=seed, dtype=tf.bfloat16) for seed in (1, 2))
    assign(model, values_of(other, config))
    assert_fresh(model)


@pytest.mark.parametrize("replicas", [1, 4])
def test_updates_keep_them_fresh(replicas):
    strategy = strategy_of(replicas)
    trainer = build_trainer(run_config(precision="mixed_bfloat16"), strategy)
    before = {name: m.kernel.numpy() for name, m in copies(trainer.model).items()}
    trainer.train(iterator(strategy, 2), 2)
    assert_fresh(trainer.model)
    assert all((m.kernel.numpy() != before[n]).any() for n, m in copies(trainer.model).items())
    for module in copies(trainer.model).values():  # on every replica
        values = [
            v.numpy() for v in strategy.experimental_local_results(module.compute_kernel._variable)
        ]
        assert all((value == values[0]).all() for value in values)


def test_restored_weights_reach_the_copies(tmp_path):
    config, strategy = run_config(precision="mixed_bfloat16"), tf.distribute.get_strategy()

    def checkpoints(trainer) -> Checkpoints:
        run = {"config_sha256": "c", "data_sha256": "d"}
        return Checkpoints(tmp_path, items=trainer.checkpoint_items, run=run, keep=1)

    first = build_trainer(config, strategy)
    first.train(iterator(strategy, 2), 2)
    saving = checkpoints(first)
    saving.save(2)
    saving.wait()
    expected = first.train(iterator(strategy, 1, first=2), 1)

    second = build_trainer(config, strategy)
    checkpoints(second).restore_newest()
    assert second.train(iterator(strategy, 1, first=2), 1).loss_sum == expected.loss_sum
    assert_fresh(second.model)


def test_weights_that_are_restored_after_training_are_evaluated(tmp_path):
    config, strategy = run_config(precision="mixed_bfloat16"), tf.distribute.get_strategy()
    trainer = build_trainer(config, strategy)
    items = trainer.model.checkpoint_items
    path = tf.train.Checkpoint(**items).write(str(tmp_path / "before"))
    before = trainer.evaluate(iterator(strategy, 1), 1)
    trainer.train(iterator(strategy, 3), 3)
    assert (trainer.evaluate(iterator(strategy, 1), 1) != before).any()
    tf.train.Checkpoint(**items).read(path).assert_existing_objects_matched()
    np.testing.assert_array_equal(trainer.evaluate(iterator(strategy, 1), 1), before)


def test_refreshing_is_traced_once(monkeypatch):
    trainer = build_trainer(run_config(precision="mixed_bfloat16"), tf.distribute.get_strategy())
    traced = []
    monkeypatch.setattr("pretrain.train.trainer.refresh_compute_weights", traced.append)
    for _ in range(3):
        trainer.evaluate(iterator(trainer.strategy, 1), 1)
    assert traced == [trainer.model]
