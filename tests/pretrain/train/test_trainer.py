import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from model.dropout import Dropout
from model.mlm import mlm_sums
from optim.config import OptimizerConfig
from pretrain.checkpoints.checkpoint import Checkpoints
from pretrain.experiment import build_trainer
from pretrain.train import trainer as trainer_module
from tests.support.training import (
    DROPOUT,
    Training,
    fresh_trainer,
    global_batch,
    iterate,
    iterator,
    run_config,
    state,
    strategy_of,
    train,
)
from tests.support.training import PREDICTIONS as P
from tests.support.training import SEQ_LENGTH as S
from tests.support.training import VOCAB_SIZE as V


@pytest.fixture(scope="module")
def reference() -> Training:
    return train(fresh_trainer(run_config()))


@pytest.fixture(scope="module")
def dropout_reference() -> Training:
    return train(fresh_trainer(run_config(**DROPOUT)))


def assert_same_training(found: Training, expected: Training):
    for metrics, expected_metrics in zip(found.metrics, expected.metrics, strict=True):
        np.testing.assert_allclose(metrics.loss, expected_metrics.loss, rtol=2e-6)
        np.testing.assert_allclose(metrics.grad_norm, expected_metrics.grad_norm, rtol=1e-5)
        assert metrics.mlm_accuracy == pytest.approx(expected_metrics.mlm_accuracy)
    for value, expected_value in zip(found.values, expected.values, strict=True):
        np.testing.assert_allclose(value, expected_value, rtol=1e-3, atol=2e-6)


def test_micro_batches_change_nothing(reference):
    assert_same_training(train(fresh_trainer(run_config(micro_batch_size=2))), reference)


# Settings that save memory and must not change the update.
FRUGAL = {"micro_batch_size": 1, "rematerialize_blocks": True, "logits_chunk_size": 2}


@pytest.mark.parametrize(
    ("replicas", "settings"),
    [
        (1, {"micro_batch_size": 1}),
        (1, {"micro_batch_size": 2}),
        (4, {}),
        (1, {**FRUGAL, "jit_compile": "on"}),
        (4, {"jit_compile": "on"}),
        pytest.param(4, {**FRUGAL, "jit_compile": "off"}, marks=pytest.mark.slow),
    ],
)
def test_replicas_and_settings_change_nothing_with_dropout(dropout_reference, replicas, settings):
    trainer = fresh_trainer(run_config(**settings, **DROPOUT), replicas)
    assert_same_training(train(trainer), dropout_reference)


@pytest.mark.parametrize(("replicas", "micro_batch_size"), [(1, 2), (4, 1)])
def test_each_example_is_dropped_out_once_with_its_own_key(monkeypatch, replicas, micro_batch_size):
    """Dropout is a function of these keys and of the site in the network."""
    seen = []

    class Recorded(Dropout):
        def __init__(self, *, seed, step, example_B):
            super().__init__(seed=seed, step=step, example_B=example_B)
            tf.numpy_function(record, [step, example_B, self._key_B], [])

    def record(step, examples, keys):
        seen.extend(
            (int(step), *pair) for pair in zip(examples.tolist(), keys.tolist(), strict=True)
        )

    monkeypatch.setattr(trainer_module, "Dropout", Recorded)
    # Built here: a cached trainer was traced with another Dropout. Keys do not depend on layers.
    config = run_config(micro_batch_size=micro_batch_size, layers=1, **DROPOUT)
    train(build_trainer(config, strategy_of(replicas)), steps=2)
    expected = [
        (step, example, int(key))
        for step in range(2)
        for example, key in enumerate(
            Dropout(seed=12345, step=tf.constant(step), example_B=tf.range(8))._key_B
        )
    ]
    assert sorted(seen) == expected
    assert len({key for *_, key in expected}) == 16


def test_auto_compiles_for_gpus(monkeypatch):
    assert [trainer_module._compiles_with_xla(setting) for setting in ("on", "off", "auto")] == [
        1,
        0,
        0,
    ]
    monkeypatch.setattr(tf.config, "list_logical_devices", {"GPU": ["GPU:0"]}.get)
    assert [trainer_module._compiles_with_xla(setting) for setting in ("on", "off", "auto")] == [
        1,
        0,
        1,
    ]


def test_a_loop_on_the_device_equals_single_steps(reference):
    trainer = fresh_trainer(run_config())
    metrics = trainer.train(iterator(trainer.strategy, 5), 5)
    assert trainer.step == 5
    # The mean over the loop weighs every prediction alike.
    weights = [global_batch(step)["masked_lm_weights"].sum() for step in range(5)]
    loss = np.average([m.loss for m in reference.metrics], weights=weights)
    np.testing.assert_allclose(metrics.loss, loss, rtol=1e-6)
    for variable, expected in zip(trainer.variables, reference.values, strict=True):
        np.testing.assert_array_equal(variable.numpy(), expected)


def test_training_learns_and_trains_every_variable():
    trainer = build_trainer(run_config(train_steps=200), tf.distribute.get_strategy())
    before = [v.numpy() for v in trainer.variables]
    same_batch = iter([global_batch(0)] * 60)

    def repeat(_):
        stacked = {name: values[None] for name, values in next(same_batch).items()}
        return tf.data.Dataset.from_tensor_slices(stacked).repeat()

    batches = iter(trainer.strategy.distribute_datasets_from_function(repeat))
    first = trainer.train(batches, 1)
    last = trainer.train(batches, 149)
    final = trainer.train(batches, 1)
    assert first.loss == pytest.approx(np.log(V), rel=0.05)
    assert final.loss < 0.5 * first.loss
    assert final.loss < last.loss
    assert (first.mlm_accuracy, final.mlm_accuracy) == (0.0, 1.0)
    assert len(trainer.variables) == 3 + 2 + 2 * 16 + 5  # and none of a pooler
    for variable, value in zip(trainer.variables, before, strict=True):
        assert not np.array_equal(variable.numpy(), value), variable.name


def test_learns_from_context():
    """Each hidden piece is the one before it: only attention by position can tell, and it does.

    Every step shows new sequences, so nothing can be learned by heart.
    """
    rng = np.random.default_rng(0)
    steps, size, mask_id = 250, 32, 1
    word_ids = rng.integers(2, V, (steps, size, S)).astype(np.int32)
    positions = np.broadcast_to(np.array([3, 7, 12], np.int32), (steps, size, P))
    labels = np.take_along_axis(word_ids, positions - 1, axis=-1)
    np.put_along_axis(word_ids, positions, mask_id, axis=-1)
    batches = {
        "input_word_ids": word_ids,
        "input_mask": np.ones_like(word_ids),
        "input_type_ids": np.zeros_like(word_ids),
        "masked_lm_positions": positions,
        "masked_lm_ids": labels,
        "masked_lm_weights": np.ones(labels.shape, np.float32),
    }
    config = run_config(train_steps=steps, global_batch_size=size)
    encoder = dataclasses.replace(
        config.encoder, hidden_size=32, intermediate_size=64, initializer_range=0.1
    )
    optimizer = OptimizerConfig(peak_learning_rate=0.02, warmup_steps=20)
    config = dataclasses.replace(config, encoder=encoder, optimizer=optimizer)
    trainer = build_trainer(config, tf.distribute.get_strategy())
    dataset = tf.data.Dataset.from_tensor_slices(batches)
    iterator_ = iter(trainer.strategy.distribute_datasets_from_function(lambda _: dataset))
    assert trainer.train(iterator_, 50).mlm_accuracy < 0.5
    trainer.train(iterator_, 150)
    assert trainer.train(iterator_, 50).mlm_accuracy > 0.99


def test_the_same_seed_gives_the_same_numbers(reference):
    def losses(config) -> list[float]:
        return [m.loss for m in train(build_trainer(config, strategy_of(1))).metrics]

    found = losses(run_config())
    assert found == [m.loss for m in reference.metrics]
    assert losses(run_config(seed=1))[0] != found[0]


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_resuming_from_a_checkpoint_is_bit_equal(tmp_path, precision):
    """With dropout: only the variables and the step decide the next update."""
    config = run_config(precision=precision, **DROPOUT)

    def checkpoints(trainer):
        return Checkpoints(tmp_path, items=trainer.checkpoint_items, run={}, keep=1)

    uninterrupted = fresh_trainer(config)
    batches = iterator(uninterrupted.strategy, 6)
    uninterrupted.train(batches, 4)
    saving = checkpoints(uninterrupted)
    saving.save(4)
    saving.wait()
    expected = [uninterrupted.train(batches, 1).loss for _ in range(2)]
    resumed = build_trainer(config, strategy_of(1))
    assert checkpoints(resumed).restore_newest().step == resumed.step == 4
    batches = iterator(resumed.strategy, 2, first=4)
    assert [resumed.train(batches, 1).loss for _ in range(2)] == expected
    for variable, expected_variable in zip(resumed.variables, uninterrupted.variables, strict=True):
        np.testing.assert_array_equal(variable.numpy(), expected_variable.numpy())


def test_resuming_with_other_devices_changes_nothing(tmp_path, dropout_reference):
    """One device, then four, then one with micro-batches."""
    metrics = []
    for replicas, micro_batch_size, steps in ((1, 0, 1), (4, 0, 2), (1, 2, 2)):
        config = run_config(micro_batch_size=micro_batch_size, **DROPOUT)
        trainer = fresh_trainer(config, replicas)
        checkpoints = Checkpoints(tmp_path, items=trainer.checkpoint_items, run={}, keep=1)
        checkpoints.restore_newest()
        assert trainer.step == len(metrics)
        batches = iterator(trainer.strategy, steps, first=len(metrics))
        metrics += [trainer.train(batches, 1) for _ in range(steps)]
        checkpoints.save(len(metrics))
        checkpoints.wait()
        assert trainer.step == len(metrics)
    expected = dropout_reference.metrics
    np.testing.assert_allclose([m.loss for m in metrics], [m.loss for m in expected], rtol=2e-6)
    np.testing.assert_allclose(
        [m.grad_norm for m in metrics], [m.grad_norm for m in expected], rtol=1e-5
    )


@pytest.mark.parametrize("site", ["dropout", "attention_dropout"])
def test_dropout_depends_on_seed_and_step(reference, site):
    """The weights of the first step are the same, so only dropout can change its loss."""
    config = run_config(**{site: 0.1})
    first = train(fresh_trainer(config), steps=1).metrics[0].loss
    assert abs(first - reference.metrics[0].loss) > 1e-5
    later = fresh_trainer(config)
    later.optimizer.iterations.assign(4)
    assert abs(later.train(iterator(later.strategy, 1), 1).loss - first) > 1e-5


def test_bfloat16_stays_near_float32(reference):
    trainer = fresh_trainer(run_config(precision="mixed_bfloat16"))
    for metrics, expected in zip(train(trainer).metrics, reference.metrics, strict=True):
        np.testing.assert_allclose(metrics.loss, expected.loss, rtol=5e-3)
    assert {v.dtype for v in trainer.variables} == {tf.float32}


def test_learning_rate_and_trust_ratios_are_reported():
    trainer = fresh_trainer(run_config())
    train(trainer)
    np.testing.assert_allclose(trainer.learning_rate, 0.01 * 6 / 8, rtol=1e-6)  # of the fifth step
    ratios = trainer.trust_ratios()
    assert ratios.keys() == {
        v.name.removesuffix(":0")
        for v in trainer.variables
        if not any(word in v.name for word in ("layer_norm", "LayerNorm", "bias"))
    }
    assert all(0 < ratio < 10 for ratio in ratios.values())


@pytest.mark.parametrize("replicas", [1, 4])
def test_evaluation_returns_the_sums_of_each_sequence_in_order(replicas):
    trainer = fresh_trainer(run_config(**DROPOUT), replicas)
    found = trainer.evaluate(iterator(trainer.strategy, 3), 3)
    expected = np.zeros((24, 2, 3))
    for step in range(3):
        batch = global_batch(step)
        logits = trainer.model.logits({name: tf.constant(batch[name]) for name in batch}).numpy()
        for i, j in np.argwhere(batch["masked_lm_weights"]):
            label, scores = batch["masked_lm_ids"][i, j], logits[i, j].astype(np.float64)
            loss = np.log(np.exp(scores).sum()) - scores[label]
            terms = [loss, scores.argmax() == label, 1]
            expected[8 * step + i, 0] += terms
            if batch["input_word_ids"][i, batch["masked_lm_positions"][i, j]] != label:
                expected[8 * step + i, 1] += terms
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert 0 < expected[:, 1, 2].sum() < expected[:, 0, 2].sum()


def test_mlm_sums_equal_float64_numpy():
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(4, P, V)) * 3
    ids = rng.integers(0, V, (4, P))
    ids[0] = logits[0].argmax(-1)
    weights = np.array([[1, 1, 0]] * 4, np.float64)
    log_sum = np.log(np.exp(logits).sum(-1))
    losses = log_sum - np.take_along_axis(logits, ids[..., None], -1)[..., 0]
    correct = (logits.argmax(-1) == ids) * weights
    found = mlm_sums(
        tf.constant(logits, tf.float32),
        tf.constant(ids, tf.int32),
        tf.constant(weights, tf.float32),
    )
    expected = [(losses * weights).sum(), correct.sum(), 8]
    np.testing.assert_allclose([f.numpy() for f in found], expected, rtol=1e-6)
    assert correct.sum() >= 2


@pytest.mark.parametrize("replicas", [1, 4])
def test_bad_steps_within_a_loop_are_skipped(replicas):
    """Bad steps change only the step counter; the good ones are unaffected."""
    trainer = fresh_trainer(run_config(**DROPOUT), replicas)
    batches = [global_batch(step) for step in range(5)]
    for step in (1, 3):
        batches[step]["masked_lm_weights"][5, 0] = np.nan  # one row, so one replica
    metrics = trainer.train(iterate(trainer.strategy, batches), 5)
    assert trainer.step == 5
    assert [verdict.step for verdict in metrics.bad_steps] == [2, 4]
    assert [verdict.recent for verdict in metrics.bad_steps] == [1, 2]
    assert all(np.isnan(verdict.loss) for verdict in metrics.bad_steps)
    assert trainer.bad_steps.seen.numpy() == 3
    found = [v.numpy() for v in (*trainer.variables, *trainer.optimizer.variables[1:])]

    # The same steps one by one, with the step counter moved past the bad ones.
    expected = fresh_trainer(run_config(**DROPOUT), replicas)
    losses = []
    for step in (0, 2, 4):
        expected.optimizer.iterations.assign(step)
        losses.append(expected.train(iterator(expected.strategy, 1, first=step), 1).loss)
    weights = [global_batch(step)["masked_lm_weights"].sum() for step in (0, 2, 4)]
    np.testing.assert_allclose(metrics.loss, np.average(losses, weights=weights), rtol=1e-6)
    assert np.isfinite(metrics.grad_norm)
    variables = (*expected.variables, *expected.optimizer.variables[1:])
    for value, variable in zip(found, variables, strict=True):
        np.testing.assert_array_equal(value, variable.numpy())


def test_a_reset_trainer_trains_like_a_new_one(reference):
    trainer = fresh_trainer(run_config())
    assert_same_training(train(trainer), reference)
    built = build_trainer(run_config(), strategy_of(1))
    for variable, expected in zip(state(fresh_trainer(run_config())), state(built), strict=True):
        np.testing.assert_array_equal(variable.numpy(), expected.numpy())
