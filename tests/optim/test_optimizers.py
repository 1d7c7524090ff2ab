import re

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from official.modeling.optimization import lamb as tf_models_lamb

from model.config import EncoderConfig
from model.mlm import Pretrainer, mlm_sums
from optim.adamw import AdamW
from optim.build import build_optimizer, build_schedule
from optim.config import OptimizerConfig
from optim.lamb import LAMB
from optim.schedule import WarmupPolynomialDecay

EXCLUDED = ("layer_norm", "bias")


def variables(dtype=tf.float32):
    rng = np.random.default_rng(0)
    values = {
        "dense/kernel": rng.normal(size=(5, 7)),
        "dense/bias": rng.normal(size=7),
        "layer_norm/gamma": 100 * rng.normal(size=7),  # heavier than gamma_u
        "embeddings": 1e-5 * rng.normal(size=(6, 4)),  # lighter than gamma_l
        "zeros/kernel": np.zeros((3, 2)),
    }
    return [tf.Variable(v, name=n, dtype=dtype) for n, v in values.items()]


def gradients(step):
    """Their global norm is above 1 at even steps and below 1 at odd ones."""
    rng = np.random.default_rng(100 + step)
    scale = 0.02 if step % 2 else 1.0
    return [scale * rng.normal(size=v.shape).astype(np.float32) for v in variables()]


def excluded(patterns, name):
    return any(re.search(pattern, name) for pattern in patterns)


RATIOS = {
    "paper": lambda x, r: np.clip(x, 1e-3, 10) / r,
    "tf_models": lambda x, r: x / r if x else 1.0,
    "nvlamb": lambda x, r: x / r if x else 1.0,
    "clamped": lambda x, r: np.clip(x / r, 0.01, 0.3) if x else 1.0,
}


def numpy_lamb(
    variant,
    gradients_of_steps,
    variables,
    *,
    lr,
    beta_1,
    beta_2,
    epsilon,
    decay,
    no_decay,
    no_adaptation,
    bias_correction=True,
):
    """The formulas in float64, written apart from the optimizer: weights and last trust ratios."""
    names = [v.name for v in variables]
    xs = [v.numpy().astype(np.float64) for v in variables]
    ms, vs = [0 * x for x in xs], [0 * x for x in xs]
    ratios = {}
    for t, gs in enumerate(gradients_of_steps, start=1):
        gs = [g.astype(np.float64) for g in gs]
        if variant == "nvlamb":
            norm = np.sqrt(sum((g**2).sum() for g in gs))
            gs = [g / max(1, norm) for g in gs]
        for i, g in enumerate(gs):
            ms[i] = beta_1 * ms[i] + (1 - beta_1) * g
            vs[i] = beta_2 * vs[i] + (1 - beta_2) * g**2
            share_m, share_v = (1 - beta_1**t, 1 - beta_2**t) if bias_correction else (1, 1)
            r = ms[i] / share_m / (np.sqrt(vs[i] / share_v) + epsilon)
            if not excluded(no_decay, names[i]):
                r = r + decay * xs[i]
            ratio = 1.0
            if not excluded(no_adaptation, names[i]):
                ratio = RATIOS[variant](np.linalg.norm(xs[i]), np.linalg.norm(r))
                ratios[names[i]] = ratio
            xs[i] = xs[i] - lr * ratio * r
    return xs, ratios


def numpy_adamw(steps, *, lr, beta_1, beta_2, epsilon, decay, no_decay, bias_correction=True):
    names = [v.name for v in variables()]
    xs = [v.numpy().astype(np.float64) for v in variables()]
    ms, vs = [0 * x for x in xs], [0 * x for x in xs]
    for t in range(1, steps + 1):
        for i, g in enumerate(gradients(t - 1)):
            ms[i] = beta_1 * ms[i] + (1 - beta_1) * g
            vs[i] = beta_2 * vs[i] + (1 - beta_2) * g.astype(np.float64) ** 2
            share_m, share_v = (1 - beta_1**t, 1 - beta_2**t) if bias_correction else (1, 1)
            root, tiny = np.sqrt(vs[i]) / np.sqrt(share_v), epsilon / np.sqrt(share_v)
            direction = ms[i] / share_m / (root + tiny)
            shrink = 1.0 if excluded(no_decay, names[i]) else 1 - lr * decay
            xs[i] = shrink * xs[i] - lr * direction
    return xs


def apply(optimizer, weights, steps):
    for step in range(steps):
        optimizer.apply_gradients(zip(map(tf.constant, gradients(step)), weights, strict=True))


def assert_near(found, expected, *, relative):
    """Within a share of the tensor's largest value."""
    for a, b in zip(found, expected, strict=True):
        b = np.asarray(b)
        np.testing.assert_allclose(a.numpy(), b, rtol=0, atol=relative * abs(b).max())


SETTINGS = dict(beta_1=0.9, beta_2=0.99, epsilon=1e-6)
LISTS = [(EXCLUDED, EXCLUDED), ((), EXCLUDED), (EXCLUDED, ()), ((), ()), (("kernel",), ("gamma",))]


class TestLamb:
    @pytest.mark.parametrize(("no_decay", "no_adaptation"), LISTS)
    @pytest.mark.parametrize("variant", RATIOS)
    def test_equals_float64_numpy(self, variant, no_decay, no_adaptation):
        ours = variables()
        optimizer = LAMB(
            0.1,
            **SETTINGS,
            weight_decay_rate=0.05,
            exclude_from_weight_decay=no_decay,
            exclude_from_layer_adaptation=no_adaptation,
            variant=variant,
        )
        apply(optimizer, ours, 5)
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

    def test_a_whole_model_equals_float64_numpy(self):
        """Five updates of a BERT with the gradients of its loss; every variable is compared."""
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
            if "key/bias" not in variable.name:  # its gradient is rounding alone
                assert abs(variable.numpy() - old.numpy()).max() > 0.01, variable.name

    def test_the_variants_differ_where_they_should(self):
        """So the example above tells them apart."""
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

    def test_bounds_are_settings(self):
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

    def test_nvlamb_adapts_what_does_not_decay(self):
        optimizer = LAMB(0.1, variant="nvlamb", exclude_from_weight_decay=EXCLUDED)
        apply(optimizer, variables(), 1)
        assert optimizer.trust_ratios["dense/bias:0"].numpy() != 1.0

    @pytest.mark.parametrize("no_adaptation", [EXCLUDED, ("embeddings",)])
    def test_equals_tf_models(self, no_adaptation):
        ours, theirs = variables(), variables()
        settings = dict(
            **SETTINGS,
            weight_decay_rate=0.05,
            exclude_from_weight_decay=list(EXCLUDED),
            exclude_from_layer_adaptation=list(no_adaptation),
        )
        apply(LAMB(0.1, **settings), ours, 10)
        apply(tf_models_lamb.LAMB(0.1, **settings), theirs, 10)
        assert_near(ours, theirs, relative=1e-6)

    @pytest.mark.parametrize("dtype", [tf.bfloat16, tf.float16, tf.float64])
    def test_slots_are_float32(self, dtype):
        ours = variables(dtype)
        optimizer = LAMB(0.1, **SETTINGS, weight_decay_rate=0.05)
        for step in range(5):
            pairs = zip(gradients(step), ours, strict=True)
            optimizer.apply_gradients([(tf.cast(g, dtype), v) for g, v in pairs])
        slots = optimizer.variables[1:]  # after the step
        assert len(slots) >= 3 * len(ours)
        assert {slot.dtype for slot in slots if slot.dtype.is_floating} == {tf.float32}
        reference = variables()
        apply(LAMB(0.1, **SETTINGS, weight_decay_rate=0.05), reference, 5)
        tolerance = {tf.bfloat16: 3e-2, tf.float16: 4e-3, tf.float64: 1e-6}[dtype]
        for found, expected in zip(ours, reference, strict=True):
            if expected.name != "embeddings:0":  # too small for float16
                found = tf.cast(found, tf.float32)
                assert_near([found], [expected.numpy()], relative=tolerance)

    @pytest.mark.parametrize("variant", [*RATIOS, "adamw"])
    def test_without_a_gradient_nothing_moves(self, variant):
        trained, pooler, missing = (tf.Variable(tf.ones((2, 2)), name=n) for n in "abc")
        which = {"optimizer": "adamw"} if variant == "adamw" else {"variant": variant}
        settings = dict(exclude_from_layer_adaptation=(), exclude_from_weight_decay=(), **which)
        optimizer = build_optimizer(OptimizerConfig(**settings, weight_decay_rate=0.5), 0.1)
        optimizer.build([trained, pooler, missing])
        for _ in range(3):
            optimizer.apply_gradients([(tf.ones((2, 2)), trained), (None, missing)])
        assert (trained.numpy() != 1).all()
        np.testing.assert_array_equal(pooler.numpy(), np.ones((2, 2)))
        np.testing.assert_array_equal(missing.numpy(), np.ones((2, 2)))

    def test_replicas_agree_though_their_names_differ(self):
        """On the second device a variable is called dense/bias/replica_1."""
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
            apply(alone_optimizer, alone, 3)
            with strategy.scope():
                shared, optimizer = variables(), build()
                optimizer.build(shared)

            @tf.function
            def step(values, optimizer=optimizer, shared=shared):
                pairs = list(zip(values, shared, strict=True))
                strategy.run(
                    lambda: optimizer.apply_gradients(pairs, skip_gradients_aggregation=True)
                )

            for i in range(3):
                step([tf.constant(g) for g in gradients(i)])
            for variable, expected in zip(shared, alone, strict=True):
                for local in strategy.experimental_local_results(variable):
                    assert_near([local], [expected.numpy()], relative=1e-5)

    @pytest.mark.parametrize("variant", ["tf_models", "nvlamb"])
    def test_sparse_gradients_are_added_up(self, variant):
        dense, sparse = (tf.Variable(tf.ones((4, 2)), name="embeddings") for _ in range(2))
        of_dense, of_sparse = (LAMB(0.1, variant=variant) for _ in range(2))
        rows = tf.constant([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
        for scale in (1.0, 0.01):
            slices = tf.IndexedSlices(scale * rows, tf.constant([1, 3, 1]), tf.constant([4, 2]))
            of_sparse.apply_gradients([(slices, sparse)])
            of_dense.apply_gradients([(tf.convert_to_tensor(slices), dense)])
        np.testing.assert_array_equal(dense.numpy(), sparse.numpy())

    def test_no_second_weight_decay(self):
        """Even at its default of 0, tf_keras would multiply every weight at every step."""
        assert LAMB(0.1).weight_decay is None

    @pytest.mark.parametrize("variant", RATIOS)
    def test_compiles_for_accelerators(self, variant):
        ours, reference = variables(), variables()
        settings = dict(**SETTINGS, weight_decay_rate=0.05, variant=variant)
        compiled, plain = LAMB(0.1, **settings), LAMB(0.1, **settings)
        compiled.build(ours)

        @tf.function(jit_compile=True)
        def step(values):
            compiled.apply_gradients(zip(values, ours, strict=True))

        for i in range(3):
            step([tf.constant(g) for g in gradients(i)])
        apply(plain, reference, 3)
        assert_near(ours, [v.numpy() for v in reference], relative=1e-6)

    def test_config_keeps_everything(self):
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
        # And the copy does what the original does.
        ours, theirs = variables(), variables()
        apply(optimizer, ours, 3)
        apply(copy, theirs, 3)
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_adamw_equals_float64_numpy():
    for no_decay in (EXCLUDED, ()):
        config = OptimizerConfig(
            optimizer="adamw", weight_decay_rate=0.5, exclude_from_weight_decay=no_decay
        )
        ours = variables()
        apply(build_optimizer(config, 0.1), ours, 5)
        expected = numpy_adamw(5, lr=0.1, **SETTINGS, decay=0.5, no_decay=no_decay)
        # tf_keras takes 1 - beta_2 ** t in float32, which costs digits in the first steps.
        assert_near(ours, expected, relative=1e-5)


@pytest.mark.parametrize("name", ["adamw", "lamb"])
def test_without_bias_correction(name):
    """As the Adam that BERT was published with: the first moments count as they are."""
    config = OptimizerConfig(
        optimizer=name,
        weight_decay_rate=0.5,
        exclude_from_weight_decay=EXCLUDED,
        exclude_from_layer_adaptation=EXCLUDED,
        bias_correction=False,
    )
    ours = variables()
    apply(build_optimizer(config, 0.1), ours, 5)
    settings = dict(lr=0.1, **SETTINGS, decay=0.5, no_decay=EXCLUDED, bias_correction=False)
    if name == "adamw":
        expected = numpy_adamw(5, **settings)
    else:
        steps = [gradients(t) for t in range(5)]
        expected, _ = numpy_lamb(
            "tf_models", steps, variables(), no_adaptation=EXCLUDED, **settings
        )
    assert_near(ours, expected, relative=1e-5)


def test_build_optimizer_passes_every_setting_on():
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


class TestCompiledModel:
    @pytest.fixture(params=["lamb", "adamw"])
    def trained(self, request):
        tf_keras.utils.set_random_seed(0)
        rng = np.random.default_rng(0)
        x = rng.normal(size=(256, 3)).astype(np.float32)
        y = x @ np.array([[1.0], [-2.0], [0.5]], np.float32)
        config = OptimizerConfig(
            optimizer=request.param, peak_learning_rate=0.05, warmup_steps=4, variant="paper"
        )

        def model():
            built = tf_keras.Sequential([tf_keras.layers.Dense(1, input_shape=(3,))])
            optimizer = build_optimizer(config, build_schedule(config, 200))
            built.compile(optimizer=optimizer, loss="mse")
            return built

        fitted = model()
        losses = fitted.fit(x, y, epochs=20, verbose=0).history["loss"]
        assert losses[-1] < 0.05 * losses[0]
        return model, fitted, x, y

    def test_weights_and_slots_come_back(self, trained, tmp_path):
        model, fitted, x, y = trained
        tf.train.Checkpoint(model=fitted).write(str(tmp_path / "checkpoint"))
        fitted.save(tmp_path / "model.keras")
        restored = model()
        restored.optimizer.build(restored.trainable_variables)
        status = tf.train.Checkpoint(model=restored).read(str(tmp_path / "checkpoint"))
        status.assert_existing_objects_matched()
        loaded = tf_keras.models.load_model(tmp_path / "model.keras")
        assert loaded.optimizer.get_config() == fitted.optimizer.get_config()
        history = fitted.fit(x, y, epochs=2, shuffle=False, verbose=0).history
        for copy in (restored, loaded):
            assert copy.optimizer.iterations.numpy() == 160
            assert copy.fit(x, y, epochs=2, shuffle=False, verbose=0).history == history
