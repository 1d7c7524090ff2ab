"""Learning rate schedules: linear warm-up to the peak, then a decay or a constant rate."""

from __future__ import annotations

import math

import tensorflow as tf
import tf_keras


class _Warmup(tf_keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up that reaches the peak.

    With s counting from 0:

        s < warmup:  peak * (s + 1) / warmup
        otherwise:   the subclass's rate, which starts at the peak

    So step warmup - 1 has the peak rate. (In tf-models the decay begins at step 0, and warm-up towards
    the decayed rate never reaches the peak.)
    """

    def __init__(self, **config: float):
        super().__init__()
        self._config = config

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """Return the learning rate of a step, float32 with the step's shape."""
        step = tf.cast(step, tf.float32)
        peak, warmup = self._config["peak_learning_rate"], self._config["warmup_steps"]
        # In this order: the fraction is exactly 1 at the peak.
        warming = peak * ((step + 1.0) / max(warmup, 1))
        return tf.where(step < warmup, warming, self._after_warmup(step))

    def get_config(self) -> dict[str, float]:
        """Return the constructor arguments."""
        return dict(self._config)


class _Decay(_Warmup):
    """Decay from peak to end: end + (peak - end) * share(remaining), with remaining from 1 to 0."""

    def _after_warmup(self, step: tf.Tensor) -> tf.Tensor:
        peak, end = self._config["peak_learning_rate"], self._config["end_learning_rate"]
        warmup, total = self._config["warmup_steps"], self._config["total_steps"]
        remaining = tf.clip_by_value((total - step) / (total - warmup), 0.0, 1.0)
        return end + (peak - end) * self._share(remaining)


@tf_keras.utils.register_keras_serializable(package="lambert")
class WarmupPolynomialDecay(_Decay):
    """Warm-up, then end + (peak - end) * ((total - s) / (total - warmup)) ** power."""

    def __init__(
        self,
        *,
        peak_learning_rate: float,
        warmup_steps: int,
        total_steps: int,
        end_learning_rate: float = 0.0,
        power: float = 1.0,
    ):
        """Arguments are explained in OptimizerConfig; warmup_steps must be below total_steps."""
        super().__init__(
            peak_learning_rate=peak_learning_rate,
            warmup_steps=warmup_steps,
            total_steps=total_steps,
            end_learning_rate=end_learning_rate,
            power=power,
        )

    def _share(self, remaining: tf.Tensor) -> tf.Tensor:
        return remaining ** self._config["power"]


@tf_keras.utils.register_keras_serializable(package="lambert")
class WarmupCosineDecay(_Decay):
    """Warm-up, then half a period of a cosine from the peak to the end.

    Loshchilov and Hutter, "SGDR", equation 5 without restarts (https://arxiv.org/abs/1608.03983):

        end + (peak - end) * (1 + cos(pi * (s - warmup) / (total - warmup))) / 2
    """

    def __init__(
        self,
        *,
        peak_learning_rate: float,
        warmup_steps: int,
        total_steps: int,
        end_learning_rate: float = 0.0,
    ):
        """Arguments are explained in OptimizerConfig; warmup_steps must be below total_steps."""
        super().__init__(
            peak_learning_rate=peak_learning_rate,
            warmup_steps=warmup_steps,
            total_steps=total_steps,
            end_learning_rate=end_learning_rate,
        )

    def _share(self, remaining: tf.Tensor) -> tf.Tensor:
        # Equals (1 + cos(pi * (1 - remaining))) / 2 without its cancellation near the end.
        return tf.square(tf.sin(0.5 * math.pi * remaining))


@tf_keras.utils.register_keras_serializable(package="lambert")
class WarmupConstant(_Warmup):
    """Warm-up, then the peak rate without decay."""

    def __init__(self, *, peak_learning_rate: float, warmup_steps: int):
        """Arguments are explained in OptimizerConfig."""
        super().__init__(peak_learning_rate=peak_learning_rate, warmup_steps=warmup_steps)

    def _after_warmup(self, step: tf.Tensor) -> tf.Tensor:
        return tf.fill(tf.shape(step), self._config["peak_learning_rate"])
