import re

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from official.modeling.optimization import lamb as tf_models_lamb

from optim.lamb import LAMB
from optim.schedule import WarmupPolynomialDecay

EXCLUDED = ("layer_norm", "bias")


class TestSchedule:
    def schedule(self, **changes):
        settings = dict(peak_learning_rate=2.5e-3, warmup_steps=10_000, total_steps=200_000)
        return WarmupPolynomialDecay(**{**settings, **changes})

    @pytest.mark.parametrize(
        ("step", "expected"),
        [
            (0, 2.5e-7),
            (4_999, 1.25e-3),
            (9_999, 2.5e-3),  # truly reached
            (10_000, 2.5e-3),
            (105_000, 1.25e-3),
            (199_999, 2.5e-3 / 190_000),
            (200_000, 0.0),
            (300_000, 0.0),
        ],
    )
    def test_lambert(self, step, expected):
        np.testing.assert_allclose(self.schedule()(step).numpy(), expected, rtol=1e-6)

    def test_peak_is_exact(self):
        assert self.schedule()(9_999).numpy() == np.float32(2.5e-3)

    def test_power_and_end(self):
        schedule = self.schedule(end_learning_rate=1e-4, power=2.0)
        middle = 1e-4 + 2.4e-3 * 0.25
        np.testing.assert_allclose(schedule(105_000).numpy(), middle, rtol=1e-5)
        np.testing.assert_allclose(schedule(200_000).numpy(), 1e-4, rtol=1e-6)

    def test_no_warmup(self):
        assert self.schedule(warmup_steps=0)(0).numpy() == np.float32(2.5e-3)

    def test_config_round_trip(self):
        schedule = self.schedule(power=0.5)
        copy = WarmupPolynomialDecay.from_config(schedule.get_config())
        assert copy(50_000).numpy() == schedule(50_000).numpy()


def variables():
    rng = np.random.default_rng(0)
    values = {
        "dense/kernel": rng.normal(size=(5, 7)),
        "dense/bias": rng.normal(size=7),
        "layer_norm/gamma": rng.normal(size=7),
        "zeros/kernel": np.zeros((3, 2)),
    }
    return [tf.Variable(v, name=n, dtype=tf.float32) for n, v in values.items()]


def gradients(step):
    rng = np.random.default_rng(100 + step)
    return [rng.normal(size=v.shape).astype(np.float32) for v in variables()]


def numpy_lamb(steps, *, lr, beta_1, beta_2, epsilon, decay, no_decay, no_adaptation):
    """Algorithm 2 of the paper in float64."""
    names = [v.name for v in variables()]
    xs = [v.numpy().astype(np.float64) for v in variables()]
    ms, vs = [0 * x for x in xs], [0 * x for x in xs]
    ratios = {}
    for t in range(1, steps + 1):
        for i, g in enumerate(gradients(t - 1)):
            g = g.astype(np.float64)
            ms[i] = beta_1 * ms[i] + (1 - beta_1) * g
            vs[i] = beta_2 * vs[i] + (1 - beta_2) * g**2
            r = ms[i] / (1 - beta_1**t) / (np.sqrt(vs[i] / (1 - beta_2**t)) + epsilon)
            if not any(re.search(p, names[i]) for p in no_decay):
                r = r + decay * xs[i]
            ratio = 1.0
            if not any(re.search(p, names[i]) for p in no_adaptation):
                x_norm, r_norm = np.linalg.norm(xs[i]), np.linalg.norm(r)
                ratio = x_norm / r_norm if x_norm and r_norm else 1.0
                ratios[names[i]] = ratio
            xs[i] = xs[i] - lr * ratio * r
    return xs, ratios


SETTINGS = dict(beta_1=0.9, beta_2=0.99, epsilon=1e-6)


class TestLamb:
    @pytest.mark.parametrize(
        ("no_decay", "no_adaptation"),
        [(EXCLUDED, EXCLUDED), ((), EXCLUDED), (EXCLUDED, ()), ((), ())],
    )
    def test_equals_float64_numpy(self, no_decay, no_adaptation):
        ours = variables()
        optimizer = LAMB(
            0.1,
            **SETTINGS,
            weight_decay_rate=0.05,
            exclude_from_weight_decay=no_decay,
            exclude_from_layer_adaptation=no_adaptation,
        )
        for step in range(10):
            optimizer.apply_gradients(zip(map(tf.constant, gradients(step)), ours, strict=True))
        expected, ratios = numpy_lamb(
            10, lr=0.1, **SETTINGS, decay=0.05, no_decay=no_decay, no_adaptation=no_adaptation
        )
        for variable, value in zip(ours, expected, strict=True):
            np.testing.assert_allclose(variable.numpy(), value, rtol=1e-5, atol=1e-6)
        found = {name: ratio.numpy() for name, ratio in optimizer.trust_ratios.items()}
        assert found.keys() == ratios.keys()
        for name, ratio in ratios.items():
            np.testing.assert_allclose(found[name], ratio, rtol=1e-5)

    def test_equals_tf_models(self):
        ours, theirs = variables(), variables()
        settings = dict(
            **SETTINGS,
            weight_decay_rate=0.05,
            exclude_from_weight_decay=list(EXCLUDED),
            exclude_from_layer_adaptation=list(EXCLUDED),
        )
        mine, reference = LAMB(0.1, **settings), tf_models_lamb.LAMB(0.1, **settings)
        for step in range(10):
            mine.apply_gradients(zip(map(tf.constant, gradients(step)), ours, strict=True))
            reference.apply_gradients(zip(map(tf.constant, gradients(step)), theirs, strict=True))
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6)

    def test_sparse_gradients_are_added_up(self):
        dense, sparse = (tf.Variable(tf.ones((4, 2)), name="embeddings") for _ in range(2))
        rows = tf.constant([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
        slices = tf.IndexedSlices(rows, tf.constant([1, 3, 1]), tf.constant([4, 2]))
        LAMB(0.1).apply_gradients([(slices, sparse)])
        LAMB(0.1).apply_gradients([(tf.convert_to_tensor(slices), dense)])
        np.testing.assert_array_equal(dense.numpy(), sparse.numpy())

    def test_config_keeps_both_lists(self):
        optimizer = LAMB(
            WarmupPolynomialDecay(peak_learning_rate=0.5, warmup_steps=2, total_steps=9),
            exclude_from_weight_decay=["a"],
            exclude_from_layer_adaptation=[],
        )
        copy = tf_keras.optimizers.deserialize(tf_keras.optimizers.serialize(optimizer))
        assert copy.get_config()["exclude_from_weight_decay"] == ["a"]
        assert copy.get_config()["exclude_from_layer_adaptation"] == []
        assert copy.get_config() == optimizer.get_config()

    def test_trains_a_compiled_model(self):
        tf_keras.utils.set_random_seed(0)
        model = tf_keras.Sequential([tf_keras.layers.Dense(1, input_shape=(3,))])
        model.compile(optimizer=LAMB(0.05), loss="mse")
        x = np.random.default_rng(0).normal(size=(256, 3)).astype(np.float32)
        y = x @ np.array([[1.0], [-2.0], [0.5]], np.float32)
        losses = model.fit(x, y, epochs=20, verbose=0).history["loss"]
        assert losses[-1] < 0.02 * losses[0]
