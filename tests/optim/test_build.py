"""Optimizers built from settings: properties that all of them share."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from optim.adamw import AdamW
from optim.build import _OPTIMIZER_BUILDERS, build_optimizer, build_schedule
from optim.config import OPTIMIZERS, SCHEDULES, OptimizerConfig
from optim.lamb import LAMB
from tests.support.optimizers import (
    RATIOS,
    SETTINGS,
    apply_steps,
    assert_near,
    gradients,
    variables,
)


@pytest.mark.parametrize("variant", [*RATIOS, "adamw"])
def test_variables_without_a_gradient_are_not_updated(variant):
    trained, pooler, missing = (tf.Variable(tf.ones((2, 2)), name=n) for n in "abc")
    choice = {"optimizer": "adamw"} if variant == "adamw" else {"variant": variant}
    settings = dict(exclude_from_layer_adaptation=(), exclude_from_weight_decay=(), **choice)
    optimizer = build_optimizer(OptimizerConfig(**settings, weight_decay_rate=0.5), 0.1)
    optimizer.build([trained, pooler, missing])
    for _ in range(3):
        optimizer.apply_gradients([(tf.ones((2, 2)), trained), (None, missing)])
    assert (trained.numpy() != 1).all()
    np.testing.assert_array_equal(pooler.numpy(), np.ones((2, 2)))
    np.testing.assert_array_equal(missing.numpy(), np.ones((2, 2)))


def test_patterns_match_on_every_replica():
    """On the second device the name of a variable is dense/bias/replica_1."""
    strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(4)])
    settings = dict(
        **SETTINGS,
        weight_decay_rate=0.5,
        exclude_from_weight_decay=["bias:0$"],
        exclude_from_layer_adaptation=["kernel:0$"],
        variant="nvlamb",
    )
    for build in (
        lambda: LAMB(0.1, **settings),
        lambda: AdamW(0.1, weight_decay=0.5, exclude_patterns=["bias:0$"]),
    ):
        alone, alone_optimizer = variables(), build()
        apply_steps(alone_optimizer, alone, 3)
        with strategy.scope():
            shared, optimizer = variables(), build()
            optimizer.build(shared)

        @tf.function
        def step(values, optimizer=optimizer, shared=shared):
            pairs = list(zip(values, shared, strict=True))
            strategy.run(lambda: optimizer.apply_gradients(pairs, skip_gradients_aggregation=True))

        for i in range(3):
            step([tf.constant(g) for g in gradients(i)])
        for variable, expected in zip(shared, alone, strict=True):
            for local in strategy.experimental_local_results(variable):
                assert_near([local], [expected.numpy()], relative=1e-5)


@pytest.mark.parametrize(
    "build", [lambda **kw: LAMB(0.1, **kw), lambda **kw: AdamW(0.1, **kw)], ids=["lamb", "adamw"]
)
def test_averages_and_programs_of_tf_keras_still_work(build):
    """Its own options, which our way to apply gradients leaves to tf_keras."""
    expected = variables()
    apply_steps(build(), expected, 2)
    compiled = variables()
    apply_steps(build(jit_compile=True), compiled, 2)
    assert_near(compiled, [variable.numpy() for variable in expected], relative=1e-6)

    averaged, optimizer = variables(), build(use_ema=True, ema_momentum=0.5)
    apply_steps(optimizer, averaged, 2)
    assert_near(averaged, [variable.numpy() for variable in expected], relative=1e-6)
    once = variables()
    apply_steps(build(), once, 1)
    optimizer.finalize_variable_values(averaged)
    triples = zip(variables(), once, expected, strict=True)
    means = [0.25 * a.numpy() + 0.25 * b.numpy() + 0.5 * c.numpy() for a, b, c in triples]
    assert_near(averaged, means, relative=1e-6)


def test_every_setting_reaches_the_optimizer():
    settings = dict(
        beta_1=0.8,
        beta_2=0.98,
        epsilon=1e-5,
        weight_decay_rate=0.03,
        exclude_from_weight_decay=("a",),
        exclude_from_layer_adaptation=(),
        variant="clamped",
        gamma_l=0.1,
        gamma_u=2.0,
        min_trust_ratio=0.2,
        max_trust_ratio=0.4,
        layer_decay=0.9,
        bias_correction=False,
    )
    lamb = build_optimizer(OptimizerConfig(**settings), 0.1).get_config()
    for name, value in settings.items():
        assert lamb[name] == (list(value) if isinstance(value, tuple) else value)
    adamw = build_optimizer(OptimizerConfig(optimizer="adamw", **settings), 0.1)
    copy = tf_keras.optimizers.deserialize(tf_keras.optimizers.serialize(adamw))
    assert copy.get_config() == adamw.get_config()
    assert copy.get_config()["exclude_patterns"] == ["a"]
    assert copy.get_config()["weight_decay"] == 0.03
    assert copy.get_config()["bias_correction"] is False


def test_every_optimizer_and_schedule_has_a_builder():
    for name in OPTIMIZERS:
        config = OptimizerConfig(optimizer=name)
        for schedule in SCHEDULES:
            rate = build_schedule(dataclasses.replace(config, schedule=schedule), 20_000)
            assert rate(config.warmup_steps - 1).numpy() == np.float32(config.peak_learning_rate)
        assert build_optimizer(config, 0.1).learning_rate.numpy() == np.float32(0.1)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_properties_describe_the_built_optimizer(name):
    config = OptimizerConfig(optimizer=name, exclude_from_layer_adaptation=("bias",))
    optimizer = build_optimizer(config, 0.1)
    kernel = tf.Variable(tf.ones((3, 2)), name="kernel")
    optimizer.build([kernel])
    slots = [slot for slot in optimizer.variables if slot.shape == kernel.shape]
    slot_bytes = sum(slot.dtype.size for slot in slots)
    assert slot_bytes == config.properties.state_bytes_per_parameter
    assert hasattr(optimizer, "trust_ratios") == config.properties.has_trust_ratios
    assert config.adapts("kernel") == config.properties.has_trust_ratios
    assert not config.adapts("bias")


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (tf_keras.optimizers.SGD(), "SGD lacks optim.gate.Gated"),
        (LAMB(), "has_trust_ratios=False, but LAMB has `trust_ratios`"),
    ],
)
def test_an_optimizer_that_differs_from_its_row_is_an_error(monkeypatch, optimizer, message):
    monkeypatch.setitem(_OPTIMIZER_BUILDERS, "adamw", lambda config, schedule: optimizer)
    with pytest.raises(TypeError, match=rf"OPTIMIZERS\['adamw'\]: {message}"):
        build_optimizer(OptimizerConfig(optimizer="adamw"), 0.1)


def compiled_model(config: OptimizerConfig) -> tf_keras.Model:
    model = tf_keras.Sequential([tf_keras.layers.Dense(1, input_shape=(3,))])
    optimizer = build_optimizer(config, build_schedule(config, 200))
    model.compile(optimizer=optimizer, loss="mse")
    return model


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_checkpoints_and_keras_files_restore_weights_and_slots(name, tmp_path):
    tf_keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, 3)).astype(np.float32)
    y = x @ np.array([[1.0], [-2.0], [0.5]], np.float32)
    config = OptimizerConfig(
        optimizer=name, peak_learning_rate=0.05, warmup_steps=4, variant="paper"
    )
    trained = compiled_model(config)
    losses = trained.fit(x, y, epochs=20, verbose=0).history["loss"]
    assert losses[-1] < 0.05 * losses[0]

    tf.train.Checkpoint(model=trained).write(str(tmp_path / "checkpoint"))
    trained.save(tmp_path / "model.keras")
    restored = compiled_model(config)
    restored.optimizer.build(restored.trainable_variables)
    status = tf.train.Checkpoint(model=restored).read(str(tmp_path / "checkpoint"))
    status.assert_existing_objects_matched()
    loaded = tf_keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config() == trained.optimizer.get_config()
    history = trained.fit(x, y, epochs=2, shuffle=False, verbose=0).history
    for copy in (restored, loaded):
        assert copy.optimizer.iterations.numpy() == 160
        assert copy.fit(x, y, epochs=2, shuffle=False, verbose=0).history == history
