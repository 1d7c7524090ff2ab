"""Learning rates of single steps, against numbers worked out by hand."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from optim.build import build_schedule
from optim.config import OptimizerConfig
from optim.schedule import WarmupConstant, WarmupCosineDecay, WarmupPolynomialDecay


class TestSchedule:
    def schedule(self, **changes):
        settings = dict(peak_learning_rate=2.5e-3, warmup_steps=10_000, total_steps=200_000)
        return WarmupPolynomialDecay(**{**settings, **changes})

    @pytest.mark.parametrize(
        ("step", "expected"),
        [
            (0, 2.5e-7),
            (4_999, 1.25e-3),
            (9_999, 2.5e-3),  # the peak
            (10_000, 2.5e-3),
            (105_000, 1.25e-3),
            (199_999, 2.5e-3 / 190_000),
            (200_000, 0.0),
            (300_000, 0.0),
        ],
    )
    def test_lambert_schedule(self, step, expected):
        np.testing.assert_allclose(self.schedule()(step).numpy(), expected, rtol=1e-6)

    def test_peak_is_exact(self):
        assert self.schedule()(9_999).numpy() == np.float32(2.5e-3)

    def test_decay_power_and_end_learning_rate(self):
        schedule = self.schedule(end_learning_rate=1e-4, power=2.0)
        middle = 1e-4 + 2.4e-3 * 0.25
        np.testing.assert_allclose(schedule(105_000).numpy(), middle, rtol=1e-5)
        np.testing.assert_allclose(schedule(200_000).numpy(), 1e-4, rtol=1e-6)

    def test_no_warmup(self):
        assert self.schedule(warmup_steps=0)(0).numpy() == np.float32(2.5e-3)

    @pytest.mark.parametrize(
        ("schedule", "expected"),
        [
            # The first step, the last of the warm-up, the first after it, the middle, the last
            # step, the end, and beyond.
            ("polynomial", [0.25, 1.0, 1.0, 0.6, 0.28, 0.2, 0.2]),
            ("cosine", [0.25, 1.0, 1.0, 0.6, 0.2 + 0.8 * 0.02447174185, 0.2, 0.2]),
            ("constant", [0.25, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]),
        ],
    )
    def test_rates_at_the_boundaries(self, schedule, expected):
        config = OptimizerConfig(
            schedule=schedule,
            peak_learning_rate=1.0,
            end_learning_rate=0.2,
            warmup_steps=4,
        )
        rates = build_schedule(config, 14)
        found = [rates(step).numpy() for step in (0, 3, 4, 9, 13, 14, 99)]
        np.testing.assert_allclose(found, expected, rtol=2e-7)

    @pytest.mark.parametrize("warmup_steps", [1, 3, 7, 49, 9_999])
    @pytest.mark.parametrize("schedule", ["polynomial", "cosine", "constant"])
    def test_every_schedule_reaches_its_peak_exactly(self, schedule, warmup_steps):
        config = OptimizerConfig(
            schedule=schedule, peak_learning_rate=1.7e-3, warmup_steps=warmup_steps
        )
        rates = build_schedule(config, 20_000)
        assert rates(warmup_steps - 1).numpy() == np.float32(1.7e-3)
        assert max(rates(tf.range(20_000)).numpy()) == np.float32(1.7e-3)

    @pytest.mark.parametrize(
        "schedule",
        [
            WarmupPolynomialDecay(
                peak_learning_rate=0.5,
                warmup_steps=2,
                total_steps=9,
                end_learning_rate=0.1,
                power=2.0,
            ),
            WarmupCosineDecay(
                peak_learning_rate=0.5, warmup_steps=2, total_steps=9, end_learning_rate=0.1
            ),
            WarmupConstant(peak_learning_rate=0.5, warmup_steps=2),
        ],
    )
    def test_config_round_trip(self, schedule):
        schedules = tf_keras.optimizers.schedules
        copy = schedules.deserialize(schedules.serialize(schedule))
        assert copy.get_config() == schedule.get_config()
        assert type(copy) is type(schedule)
        assert copy(5).numpy() == schedule(5).numpy()
