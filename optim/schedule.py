"""Learning rate schedules."""

from __future__ import annotations

import tensorflow as tf
import tf_keras


@tf_keras.utils.register_keras_serializable(package="lambert")
class WarmupPolynomialDecay(tf_keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up that truly reaches the peak, then polynomial decay from the peak.

    With s counting from 0:

        s < warmup:  peak * (s + 1) / warmup
        otherwise:   end + (peak - end) * ((total - s) / (total - warmup)) ** power

    So step warmup - 1 has the peak rate. (Warming up towards a decay that has already begun, as
    tf-models does, stops short of it.)
    """

    def __init__(
        self,
        *,
        peak_learning_rate: float,
        warmup_steps: int,
        total_steps: int,
        end_learning_rate: float = 0.0,
        power: float = 1.0,
    ):
        """See the class; warmup_steps must be smaller than total_steps."""
        super().__init__()
        self._config = dict(
            peak_learning_rate=peak_learning_rate,
            warmup_steps=warmup_steps,
            total_steps=total_steps,
            end_learning_rate=end_learning_rate,
            power=power,
        )

    def __call__(self, step) -> tf.Tensor:
        """Learning rate of a step, float32 scalar."""
        peak, end = self._config["peak_learning_rate"], self._config["end_learning_rate"]
        warmup, total = self._config["warmup_steps"], self._config["total_steps"]
        step = tf.cast(step, tf.float32)
        warming = peak * (step + 1.0) / max(warmup, 1)
        remaining = tf.clip_by_value((total - step) / (total - warmup), 0.0, 1.0)
        decaying = end + (peak - end) * remaining ** self._config["power"]
        return tf.where(step < warmup, warming, decaying)

    def get_config(self) -> dict:
        """Constructor arguments."""
        return dict(self._config)
