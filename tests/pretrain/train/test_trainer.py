import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from data.config import InputConfig
from data.errors import UserError
from launch.config import ClusterConfig
from launch.strategy import build_strategy
from model.config import EncoderConfig
from model.dropout import Dropout
from model.mlm import mlm_sums
from optim.config import OptimizerConfig
from pretrain.checkpoints.checkpoint import Checkpoints
from pretrain.config import RunConfig
from pretrain.experiment import build_trainer
from pretrain.train import trainer as trainer_module
from pretrain.train.config import TrainConfig

S, P, V = 16, 3, 50


def run_config(
    *, micro_batch_size=0, precision="float32", dropout=0.0, attention_dropout=0.0, **train
) -> RunConfig:
    return RunConfig(
        train=TrainConfig(
            **{"train_steps": 10, "global_batch_size": 8, **train},
            micro_batch_size=micro_batch_size,
            precision=precision,
        ),
        input=InputConfig(),
        encoder=EncoderConfig(
            vocab_size=V,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=S,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=attention_dropout,
        ),
        optimizer=OptimizerConfig(peak_learning_rate=0.01, warmup_steps=2),
        cluster=ClusterConfig(),
    )


def global_batch(step: int, size: int = 8) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(step)
    # Unequal weights in each row: a mean of means would differ from the global mean.
    used = rng.integers(1, P + 1, size)
    word_ids = rng.integers(1, V, (size, S)).astype(np.int32)
    positions = rng.integers(1, S, (size, P)).astype(np.int32)
    labels = rng.integers(1, V, (size, P)).astype(np.int32)
    labels[0] = word_ids[0, positions[0]]  # one row shows what is to be predicted
    return {
        "input_word_ids": word_ids,
        "input_mask": np.ones((size, S), np.int32),
        "input_type_ids": np.zeros((size, S), np.int32),
        "masked_lm_positions": positions,
        "masked_lm_ids": labels,
        "masked_lm_weights": (np.arange(P) < used[:, None]).astype(np.float32),
    }


def iterator(strategy, steps, first=0):
    """Distributed batches, one element a replica as in training."""

    def dataset(context):
        replicas = context.num_replicas_in_sync
        elements = []
        for step in range(first, first + steps):
            batch = global_batch(step)
            for part in np.split(np.arange(8), replicas):
                elements.append({name: values[part] for name, values in batch.items()})
        stacked = {name: np.stack([e[name] for e in elements]) for name in elements[0]}
        return tf.data.Dataset.from_tensor_slices(stacked)

    return iter(strategy.distribute_datasets_from_function(dataset))


def train(config, strategy, steps=5):
    trainer = build_trainer(config, strategy)
    batches = iterator(strategy, steps)
    metrics = [trainer.train(batches, 1) for _ in range(steps)]
    return trainer, metrics


DROPOUT = {"dropout": 0.2, "attention_dropout": 0.3}


@pytest.fixture(scope="module")
def reference():
    return train(run_config(), tf.distribute.get_strategy())


@pytest.fixture(scope="module")
def dropout_reference():
    return train(run_config(**DROPOUT), tf.distribute.get_strategy())


def mirrored(replicas):
    # One process cannot have collectives over groups of different sizes: always all four CPUs.
    assert replicas == 4
    return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])


def assert_same_training(found, expected):
    (trainer, metrics), (expected_trainer, expected_metrics) = found, expected
    for one, wanted in zip(metrics, expected_metrics, strict=True):
        np.testing.assert_allclose(one.loss, wanted.loss, rtol=2e-6)
        np.testing.assert_allclose(one.grad_norm, wanted.grad_norm, rtol=1e-5)
        assert one.mlm_accuracy == pytest.approx(wanted.mlm_accuracy)
    for a, b in zip(trainer.variables, expected_trainer.variables, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-3, atol=2e-6)


@pytest.mark.parametrize(("replicas", "micro_batch_size"), [(1, 2), (1, 1), (4, 0), (4, 1)])
@pytest.mark.parametrize("dropout", [{}, DROPOUT], ids=["no dropout", "dropout"])
def test_replicas_and_micro_batches_change_nothing(request, replicas, micro_batch_size, dropout):
    strategy = mirrored(replicas) if replicas > 1 else tf.distribute.get_strategy()
    found = train(run_config(micro_batch_size=micro_batch_size, **dropout), strategy)
    name = "dropout_reference" if dropout else "reference"
    assert_same_training(found, request.getfixturevalue(name))


@pytest.mark.parametrize(("replicas", "micro_batch_size"), [(1, 2), (4, 1)])
def test_every_example_has_its_own_masks_once(monkeypatch, replicas, micro_batch_size):
    """Exactly: masks are a function of these keys and of the place in the network."""
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
    strategy = mirrored(replicas) if replicas > 1 else tf.distribute.get_strategy()
    train(run_config(micro_batch_size=micro_batch_size, **DROPOUT), strategy, steps=2)
    wanted = [
        (step, example, int(key))
        for step in range(2)
        for example, key in enumerate(
            Dropout(seed=12345, step=tf.constant(step), example_B=tf.range(8))._key_B
        )
    ]
    assert sorted(seen) == wanted
    assert len({key for *_, key in wanted}) == 16


@pytest.mark.parametrize(("replicas", "jit_compile"), [(1, "on"), (4, "off")])
def test_ways_to_compute_change_nothing(dropout_reference, replicas, jit_compile):
    strategy = mirrored(replicas) if replicas > 1 else tf.distribute.get_strategy()
    options = dict(rematerialize_blocks=True, logits_chunk_size=2, jit_compile=jit_compile)
    found = train(run_config(micro_batch_size=1, **options, **DROPOUT), strategy)
    assert_same_training(found, dropout_reference)


def test_auto_compiles_for_gpus(monkeypatch):
    assert [trainer_module._compiles(setting) for setting in ("on", "off", "auto")] == [1, 0, 0]
    monkeypatch.setattr(tf.config, "list_logical_devices", {"GPU": ["GPU:0"]}.get)
    assert [trainer_module._compiles(setting) for setting in ("on", "off", "auto")] == [1, 0, 1]


def test_a_loop_on_the_device_equals_single_steps(reference):
    trainer = build_trainer(run_config(), tf.distribute.get_strategy())
    metrics = trainer.train(iterator(trainer.strategy, 5), 5)
    expected_trainer, expected = reference
    assert trainer.step == 5
    # The mean over the loop weighs every prediction alike.
    weights = [global_batch(step)["masked_lm_weights"].sum() for step in range(5)]
    loss = np.average([m.loss for m in expected], weights=weights)
    np.testing.assert_allclose(metrics.loss, loss, rtol=1e-6)
    for a, b in zip(trainer.variables, expected_trainer.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


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
    _, metrics = train(run_config(), tf.distribute.get_strategy())
    assert [m.loss for m in metrics] == [m.loss for m in reference[1]]
    _, other = train(run_config(seed=1), tf.distribute.get_strategy())
    assert other[0].loss != metrics[0].loss


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_going_on_from_a_checkpoint_is_bit_equal(tmp_path, precision):
    """With dropout: nothing but the variables and the step decides the next update."""
    config = run_config(precision=precision, **DROPOUT)
    whole, metrics = train(config, tf.distribute.get_strategy(), steps=6)

    def checkpoints(trainer):
        return Checkpoints(tmp_path, items=trainer.checkpoint_items, run={}, keep=1)

    first, _ = train(config, tf.distribute.get_strategy(), steps=4)
    saving = checkpoints(first)
    saving.save(4)
    saving.wait()
    second = build_trainer(config, tf.distribute.get_strategy())
    assert checkpoints(second).restore_newest().step == second.step == 4
    batches = iterator(second.strategy, 2, first=4)
    assert [second.train(batches, 1).loss for _ in range(2)] == [m.loss for m in metrics[4:]]
    for a, b in zip(second.variables, whole.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_going_on_with_other_devices(tmp_path):
    """One device, then four, then one in micro-batches: as if nothing had changed."""
    config = run_config(**DROPOUT)
    _, expected = train(config, tf.distribute.get_strategy(), steps=5)
    found = []
    for strategy, micro_batch_size, steps in (
        (tf.distribute.get_strategy(), 0, 1),
        (mirrored(4), 0, 2),
        (tf.distribute.get_strategy(), 2, 2),
    ):
        trainer = build_trainer(run_config(micro_batch_size=micro_batch_size, **DROPOUT), strategy)
        checkpoints = Checkpoints(tmp_path, items=trainer.checkpoint_items, run={}, keep=1)
        checkpoints.restore_newest()
        batches = iterator(strategy, steps, first=len(found))
        found += [trainer.train(batches, 1) for _ in range(steps)]
        checkpoints.save(len(found))
        checkpoints.wait()
        assert trainer.step == len(found)
    np.testing.assert_allclose([m.loss for m in found], [m.loss for m in expected], rtol=2e-6)
    norms = [m.grad_norm for m in expected]
    np.testing.assert_allclose([m.grad_norm for m in found], norms, rtol=1e-5)


@pytest.mark.parametrize("site", ["dropout", "attention_dropout"])
def test_dropout_depends_on_seed_and_step(reference, site):
    """The weights of the first step are the same, so the loss differs by the masks alone."""
    _, (first, *_) = train(run_config(**{site: 0.1}), tf.distribute.get_strategy(), steps=1)
    _, (plain, *_) = reference
    assert abs(first.loss - plain.loss) > 1e-5
    later = build_trainer(run_config(**{site: 0.1}), tf.distribute.get_strategy())
    later.optimizer.iterations.assign(4)
    loss = later.train(iterator(later.strategy, 1), 1).loss
    assert abs(loss - first.loss) > 1e-5


def test_bfloat16_stays_near_float32(reference):
    trainer, metrics = train(run_config(precision="mixed_bfloat16"), tf.distribute.get_strategy())
    for found, wanted in zip(metrics, reference[1], strict=True):
        np.testing.assert_allclose(found.loss, wanted.loss, rtol=5e-3)
    assert {v.dtype for v in trainer.variables} == {tf.float32}


def test_learning_rate_and_trust_ratios_are_reported(reference):
    trainer, _ = reference
    np.testing.assert_allclose(trainer.learning_rate, 0.01 * 6 / 8, rtol=1e-6)  # of the fifth step
    ratios = trainer.trust_ratios()
    assert ratios.keys() == {
        v.name.removesuffix(":0")
        for v in trainer.variables
        if not any(word in v.name for word in ("layer_norm", "LayerNorm", "bias"))
    }
    assert all(0 < ratio < 10 for ratio in ratios.values())


@pytest.mark.parametrize("replicas", [1, 4])
def test_evaluation_gives_the_sums_of_each_sequence_in_order(replicas):
    strategy = mirrored(replicas) if replicas > 1 else tf.distribute.get_strategy()
    trainer = build_trainer(run_config(), strategy)
    found = trainer.evaluate(iterator(strategy, 3), 3)
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
def test_a_bad_step_in_a_loop_on_the_device_is_passed_over(replicas):
    """Nothing but the count of steps shows that there was one: the good ones are as they would be."""
    strategy = mirrored(replicas) if replicas > 1 else tf.distribute.get_strategy()
    poisoned = {1, 3}

    def batches(context):
        elements = []
        for step in range(5):
            batch = global_batch(step)
            if step in poisoned:  # in one row: of one replica
                batch["masked_lm_weights"][5, 0] = np.nan
            for part in np.split(np.arange(8), context.num_replicas_in_sync):
                elements.append({name: values[part] for name, values in batch.items()})
        stacked = {name: np.stack([e[name] for e in elements]) for name in elements[0]}
        return tf.data.Dataset.from_tensor_slices(stacked)

    trainer = build_trainer(run_config(), strategy)
    batches_of_all = iter(strategy.distribute_datasets_from_function(batches))
    metrics = trainer.train(batches_of_all, 5)
    assert trainer.step == 5
    assert [verdict.step for verdict in metrics.bad_steps] == [2, 4]
    assert [verdict.recent for verdict in metrics.bad_steps] == [1, 2]
    assert all(np.isnan(verdict.loss) for verdict in metrics.bad_steps)

    # The same steps, one by one, with the optimizer's count moved past the bad ones.
    expected = build_trainer(run_config(), strategy)
    losses = []
    for step in (0, 2, 4):
        expected.optimizer.iterations.assign(step)
        losses.append(expected.train(iterator(strategy, 1, first=step), 1).loss)
    weights = [global_batch(step)["masked_lm_weights"].sum() for step in (0, 2, 4)]
    np.testing.assert_allclose(metrics.loss, np.average(losses, weights=weights), rtol=1e-6)
    assert np.isfinite(metrics.grad_norm)
    for a, b in zip(trainer.variables, expected.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    slots = zip(trainer.optimizer.variables[1:], expected.optimizer.variables[1:], strict=True)
    for a, b in slots:
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert trainer.bad_steps.seen.numpy() == 3


class TestStrategy:
    def test_several_devices_are_mirrored(self, capsys):
        assert build_strategy(ClusterConfig()).num_replicas_in_sync == 4
        assert capsys.readouterr().out == "running on 4 x CPU (mirrored strategy)\n"
        assert build_strategy(ClusterConfig(strategy="default")).num_replicas_in_sync == 1

    def test_multi_worker_needs_a_cluster(self, monkeypatch):
        monkeypatch.delenv("TF_CONFIG", raising=False)
        with pytest.raises(UserError, match="needs the environment variable TF_CONFIG"):
            build_strategy(ClusterConfig(strategy="multi_worker"))

    @pytest.mark.parametrize("text", ["{", "[]", '{"cluster": [1]}'])
    def test_a_wrong_tf_config(self, monkeypatch, text):
        monkeypatch.setenv("TF_CONFIG", text)
        with pytest.raises(UserError, match="TF_CONFIG does not describe a cluster"):
            build_strategy(ClusterConfig())

    def test_no_tpu(self):
        with pytest.raises(UserError, match="no TPU could be reached"):
            build_strategy(ClusterConfig(strategy="tpu"))
