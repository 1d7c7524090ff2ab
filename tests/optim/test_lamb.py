"""LAMB equals its formulas in float64 and tf-models' LAMB."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from official.modeling.optimization import lamb as tf_models_lamb

from model.config import EncoderConfig
from model.mlm import Pretrainer, mlm_sums
from optim.adamw import AdamW
from optim.build import build_optimizer
from optim.config import OptimizerConfig
from optim.lamb import LAMB
from optim.schedule import WarmupPolynomialDecay
from tests.support.optimizers import (
    EXCLUDED,
    RATIOS,
    SETTINGS,
    apply_steps,
    assert_near,
    gradients,
    numpy_lamb,
    variables,
)

LISTS = [(EXCLUDED, EXCLUDED), ((), EXCLUDED), (EXCLUDED, ()), ((), ()), (("kernel",), ("gamma",))]


@pytest.mark.parametrize(("no_decay", "no_adaptation"), LISTS)
@pytest.mark.parametrize("variant", RATIOS)
def test_updates_equal_float64(variant, no_decay, no_adaptation):
    ours = variables()
    optimizer = LAMB(
        0.1,
        **SETTINGS,
        weight_decay_rate=0.05,
        exclude_from_weight_decay=no_decay,
        exclude_from_layer_adaptation=no_adaptation,
        variant=variant,
    )
    apply_steps(optimizer, ours, 5)
    settings = dict(lr=0.1, **SETTINGS, decay=0.05)
    expected, ratios = numpy_lamb(
        variant,
        map(gradients, range(5)),
        variables(),
        **settings,
        no_decay=no_decay,
        no_adaptation=no_adaptation,
    )
    assert_near(ours, expected, relative=1e-6)
    found = {name: ratio.numpy() for name, ratio in optimizer.trust_ratios.items()}
    assert found.keys() == ratios.keys()
    for name, ratio in ratios.items():
        np.testing.assert_allclose(found[name], ratio, rtol=1e-6)


def test_updates_of_a_whole_model_equal_float64():
    """Compare every variable after five updates of a BERT with the gradients of its loss."""
    architecture = EncoderConfig(
        vocab_size=60,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=16,
    )
    model = Pretrainer(architecture, seed=1)
    weights = list(model.trainable_variables)
    before = [tf.Variable(variable, name=variable.name[:-2]) for variable in weights]
    optimizer = build_optimizer(OptimizerConfig(weight_decay_rate=0.05), 0.1)
    rng = np.random.default_rng(0)
    history = []
    for _ in range(5):
        shapes = {"input_word_ids": 16, "masked_lm_positions": 6, "masked_lm_ids": 6}
        drawn = {name: rng.integers(0, 16, (4, size)) for name, size in shapes.items()}
        features = {name: tf.constant(value, tf.int32) for name, value in drawn.items()}
        features["input_mask"] = tf.ones([4, 16], tf.int32)
        features["input_type_ids"] = tf.zeros([4, 16], tf.int32)
        with tf.GradientTape() as tape:
            sums = mlm_sums(model.logits(features), features["masked_lm_ids"], tf.ones([4, 6]))
            loss = sums[0] / 24
        found = [tf.convert_to_tensor(g) for g in tape.gradient(loss, weights)]
        history.append([gradient.numpy() for gradient in found])
        optimizer.apply_gradients(zip(found, weights, strict=True))
    lists = dict(no_decay=("LayerNorm", *EXCLUDED), no_adaptation=("LayerNorm", *EXCLUDED))
    settings = dict(lr=0.1, **SETTINGS, decay=0.05, **lists)
    expected, _ = numpy_lamb("tf_models", history, before, **settings)
    assert_near(weights, expected, relative=1e-6)
    for variable, old in zip(weights, before, strict=True):
        if "key/bias" not in variable.name:  # its gradient is only rounding errors
            assert abs(variable.numpy() - old.numpy()).max() > 0.01, variable.name


def test_the_example_distinguishes_the_variants():
    settings = dict(lr=0.1, **SETTINGS, decay=0.05, no_decay=(), no_adaptation=())
    values = {
        variant: numpy_lamb(variant, map(gradients, range(5)), variables(), **settings)[0]
        for variant in RATIOS
    }
    kernel, _, heavy, light, _ = range(5)
    for variant, index in [
        ("clamped", kernel),
        ("nvlamb", kernel),
        ("paper", heavy),
        ("paper", light),
    ]:
        changed = abs(values[variant][index] / values["tf_models"][index] - 1)
        assert changed.max() > 1e-2, (variant, index)


def test_bounds_of_norm_and_ratio_are_configurable():
    def ratio(weights, **settings):
        variable = tf.Variable(weights, name="x")
        optimizer = LAMB(0.1, **settings)
        optimizer.apply_gradients([(tf.constant([1.0, -1.0]), variable)])
        return optimizer.trust_ratios["x:0"].numpy()

    # The first direction is [1, -1], of norm sqrt(2).
    weights, root = [3.0, 4.0], np.sqrt(2)
    bounds = dict(gamma_l=6.0, gamma_u=7.0)
    assert ratio(weights, variant="paper", **bounds) == pytest.approx(6 / root, rel=1e-5)
    bounds = dict(gamma_l=1.0, gamma_u=2.0)
    assert ratio(weights, variant="paper", **bounds) == pytest.approx(2 / root, rel=1e-5)
    bounds = dict(min_trust_ratio=0.1, max_trust_ratio=0.7)
    assert ratio(weights, variant="clamped", **bounds) == pytest.approx(0.7)
    assert ratio([1e-3, 0.0], variant="clamped", **bounds) == pytest.approx(0.1)
    assert ratio([0.0, 0.0], variant="clamped", **bounds) == 1.0
    with pytest.raises(ValueError, match="variant='lars': must be one of paper, tf_models"):
        LAMB(variant="lars")


def test_nvlamb_adapts_variables_without_decay():
    optimizer = LAMB(0.1, variant="nvlamb", exclude_from_weight_decay=EXCLUDED)
    apply_steps(optimizer, variables(), 1)
    assert optimizer.trust_ratios["dense/bias:0"].numpy() != 1.0


@pytest.mark.parametrize("no_adaptation", [EXCLUDED, ("embeddings",)])
def test_updates_equal_tf_models(no_adaptation):
    ours, theirs = variables(), variables()
    settings = dict(
        **SETTINGS,
        weight_decay_rate=0.05,
        exclude_from_weight_decay=list(EXCLUDED),
        exclude_from_layer_adaptation=list(no_adaptation),
    )
    apply_steps(LAMB(0.1, **settings), ours, 10)
    apply_steps(tf_models_lamb.LAMB(0.1, **settings), theirs, 10)
    assert_near(ours, theirs, relative=1e-6)


@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.float16, tf.float64])
def test_slots_are_float32(dtype):
    ours = variables(dtype)
    optimizer = LAMB(0.1, **SETTINGS, weight_decay_rate=0.05)
    for step in range(5):
        pairs = zip(gradients(step), ours, strict=True)
        optimizer.apply_gradients([(tf.cast(g, dtype), v) for g, v in pairs])
    slots = optimizer.variables[1:]  # after the step
    assert len(slots) >= 3 * len(ours)
    assert {slot.dtype for slot in slots if slot.dtype.is_floating} == {tf.float32}
    reference = variables()
    apply_steps(LAMB(0.1, **SETTINGS, weight_decay_rate=0.05), reference, 5)
    tolerance = {tf.bfloat16: 3e-2, tf.float16: 4e-3, tf.float64: 1e-6}[dtype]
    for found, expected in zip(ours, reference, strict=True):
        if expected.name != "embeddings:0":  # too small for float16
            found = tf.cast(found, tf.float32)
            assert_near([found], [expected.numpy()], relative=tolerance)


def test_updates_without_bias_correction_equal_float64():
    config = OptimizerConfig(
        weight_decay_rate=0.5,
        exclude_from_weight_decay=EXCLUDED,
        exclude_from_layer_adaptation=EXCLUDED,
        bias_correction=False,
    )
    ours = variables()
    apply_steps(build_optimizer(config, 0.1), ours, 5)
    expected, _ = numpy_lamb(
        "tf_models",
        [gradients(step) for step in range(5)],
        variables(),
        lr=0.1,
        **SETTINGS,
        decay=0.5,
        no_decay=EXCLUDED,
        no_adaptation=EXCLUDED,
        bias_correction=False,
    )
    assert_near(ours, expected, relative=1e-5)


@pytest.mark.parametrize("variant", ["tf_models", "nvlamb"])
def test_rows_of_sparse_gradients_are_added_up(variant):
    dense, sparse = (tf.Variable(tf.ones((4, 2)), name="embeddings") for _ in range(2))
    dense_optimizer, sparse_optimizer = (LAMB(0.1, variant=variant) for _ in range(2))
    rows = tf.constant([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    for scale in (1.0, 0.01):
        slices = tf.IndexedSlices(scale * rows, tf.constant([1, 3, 1]), tf.constant([4, 2]))
        sparse_optimizer.apply_gradients([(slices, sparse)])
        dense_optimizer.apply_gradients([(tf.convert_to_tensor(slices), dense)])
    np.testing.assert_array_equal(dense.numpy(), sparse.numpy())


def test_tf_keras_weight_decay_is_off():
    """Its default of 0 would still multiply every weight at every step."""
    assert LAMB(0.1).weight_decay is None


@pytest.mark.parametrize("variant", RATIOS)
def test_compiled_updates_equal_uncompiled_ones(variant):
    ours, reference = variables(), variables()
    settings = dict(**SETTINGS, weight_decay_rate=0.05, variant=variant)
    compiled, plain = LAMB(0.1, **settings), LAMB(0.1, **settings)
    compiled.build(ours)

    @tf.function(jit_compile=True)
    def step(values):
        compiled.apply_gradients(zip(values, ours, strict=True))

    for i in range(3):
        step([tf.constant(g) for g in gradients(i)])
    apply_steps(plain, reference, 3)
    assert_near(ours, [v.numpy() for v in reference], relative=1e-6)


def test_config_round_trip_keeps_every_argument():
    optimizer = LAMB(
        WarmupPolynomialDecay(peak_learning_rate=0.5, warmup_steps=2, total_steps=9),
        beta_1=0.8,
        beta_2=0.98,
        epsilon=1e-5,
        weight_decay_rate=0.03,
        exclude_from_weight_decay=["a"],
        exclude_from_layer_adaptation=[],
        variant="paper",
        gamma_l=0.1,
        gamma_u=2.0,
        min_trust_ratio=0.2,
        max_trust_ratio=0.4,
    )
    copy = tf_keras.optimizers.deserialize(tf_keras.optimizers.serialize(optimizer))
    config = copy.get_config()
    assert config["exclude_from_weight_decay"] == ["a"]
    assert config["exclude_from_layer_adaptation"] == []
    numbers = ("beta_1", "beta_2", "epsilon", "weight_decay_rate", "gamma_l", "gamma_u")
    assert [config[name] for name in numbers] == [0.8, 0.98, 1e-5, 0.03, 0.1, 2.0]
    assert (config["min_trust_ratio"], config["max_trust_ratio"]) == (0.2, 0.4)
    assert config == optimizer.get_config()
    # The copy makes the same updates.
    ours, theirs = variables(), variables()
    apply_steps(optimizer, ours, 3)
    apply_steps(copy, theirs, 3)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize("optimizer", [LAMB, AdamW])
def test_keras_3_says_which_keras_the_optimizers_are_for(optimizer):
    import keras

    model = keras.Sequential([keras.layers.Dense(1)])
    with pytest.raises(ValueError, match=r"(LAMB|AdamW), an optimizer of tf_keras.*TF_USE_LEGACY"):
        model.compile(optimizer=optimizer(), loss="mse")
