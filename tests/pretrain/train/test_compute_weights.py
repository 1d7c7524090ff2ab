"""The trainer refreshes weights in the compute type after updates, restores and before evaluation."""

import numpy as np
import pytest
import tensorflow as tf

from pretrain.checkpoints.checkpoint import Checkpoints
from pretrain.experiment import build_trainer
from tests.support.compute_weights import assert_fresh, layers_with_compute_kernel
from tests.support.training import iterator, run_config, strategy_of

CONFIG = run_config(precision="mixed_bfloat16", layers=1)


def kernels_of(model: tf.Module) -> list[np.ndarray]:
    return [layer.kernel.numpy() for layer in layers_with_compute_kernel(model)]


def assert_all_changed(before: list[np.ndarray], model: tf.Module) -> None:
    for old, new in zip(before, kernels_of(model), strict=True):
        assert (old != new).any()


def checkpoints_of(trainer, directory) -> Checkpoints:
    run = {"config_sha256": "c", "data_sha256": "d"}
    return Checkpoints(directory, items=trainer.checkpoint_items, run=run, keep=1)


@pytest.mark.slow
def test_updates_refresh_them_on_every_replica():
    strategy = strategy_of(4)
    trainer = build_trainer(CONFIG, strategy)
    before = kernels_of(trainer.model)
    trainer.train(iterator(strategy, 2), 2)
    assert_fresh(trainer.model, blocks=1)
    assert_all_changed(before, trainer.model)
    for layer in layers_with_compute_kernel(trainer.model):
        replicas = strategy.experimental_local_results(layer.compute_kernel.variable)
        values = [variable.numpy() for variable in replicas]
        assert len(values) == 4
        assert all((value == values[0]).all() for value in values)


def test_updates_restores_and_evaluation_refresh_them(tmp_path):
    strategy = strategy_of(1)
    trainer = build_trainer(CONFIG, strategy)
    model = tf.train.Checkpoint(**trainer.model.checkpoint_items)
    initial_path, initial_kernels = (
        model.write(str(tmp_path / "initial")),
        kernels_of(trainer.model),
    )
    initial_outputs = trainer.evaluate(iterator(strategy, 1), 1)

    trainer.train(iterator(strategy, 2), 2)
    assert_fresh(trainer.model, blocks=1)
    assert_all_changed(initial_kernels, trainer.model)

    # A new trainer continues from a checkpoint exactly like the old one.
    checkpoints = checkpoints_of(trainer, tmp_path / "run")
    checkpoints.save(2)
    checkpoints.wait()
    expected = trainer.train(iterator(strategy, 1, first=2), 1)
    resumed = build_trainer(CONFIG, strategy)
    checkpoints_of(resumed, tmp_path / "run").restore_newest()
    assert resumed.train(iterator(strategy, 1, first=2), 1).loss_sum == expected.loss_sum
    assert_fresh(resumed.model, blocks=1)

    # Evaluation uses weights that were restored after training.
    assert (trainer.evaluate(iterator(strategy, 1), 1) != initial_outputs).any()
    model.read(initial_path).assert_existing_objects_matched()
    np.testing.assert_array_equal(trainer.evaluate(iterator(strategy, 1), 1), initial_outputs)


def test_refreshing_is_traced_once(monkeypatch):
    trainer = build_trainer(CONFIG, strategy_of(1))
    models = []
    monkeypatch.setattr("pretrain.train.trainer.refresh_compute_weights", models.append)
    for _ in range(3):
        trainer.evaluate(iterator(trainer.strategy, 1), 1)
    assert models == [trainer.model]
