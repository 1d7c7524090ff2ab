"""LAMB (Layer-wise Adaptive Moments for Batch training) in four variants."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import tensorflow as tf
import tf_keras

from optim.config import LAMB_VARIANTS, matches
from optim.gate import Gated

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _compiled(function: _Function) -> _Function:
    # XLA fuses the function into one loop over a variable where operations run one by one. In a step that
    # is compiled as a whole, this changes nothing. (model/tracing.py has the same decorator; optim imports
    # no other package.)
    return tf.function(function, jit_compile=True, autograph=False)


@tf_keras.utils.register_keras_serializable(package="lambert")
class LAMB(Gated, tf_keras.optimizers.Optimizer):
    """LAMB with decoupled weight decay and, by default, bias-corrected moments.

    With g the gradient, x the weights of one variable, |.| the Euclidean norm, and steps t from 1:

        m = beta_1 * m + (1 - beta_1) * g          v = beta_2 * v + (1 - beta_2) * g ** 2
        r = m / (1 - beta_1 ** t) / (sqrt(v / (1 - beta_2 ** t)) + epsilon) + decay * x
        x = x - learning_rate * trust_ratio * r

    The variants differ in the trust ratio; one also scales the gradient:

        paper      min(max(|x|, gamma_l), gamma_u) / |r|
        tf_models  |x| / |r|
        nvlamb     |x| / |r|, with g / max(1, global norm of the gradient) instead of g
        clamped    min(max(|x| / |r|, min_trust_ratio), max_trust_ratio)

    If a norm is 0 after clipping, the ratio is 1; otherwise new biases would never leave zero.

    Sources: "paper" is algorithm 2 of You et al. with their clipping phi
    (https://arxiv.org/abs/1904.00962), for which they give no bounds; [0.001, 10] is from GluonNLP's
    LAMB. "tf_models" is `official.modeling.optimization.lamb`. "nvlamb" is
    `FusedLAMB(use_nvlamb=True)` of NVIDIA's apex (csrc/multi_tensor_lamb.cu), which adapts every
    tensor, including those without decay: use it with an empty `exclude_from_layer_adaptation`.
    "clamped" has the ratio of DeepSpeed's FusedLamb (csrc/lamb/fused_lamb_cuda_kernel.cu), whose BERT
    recipe clamps to [0.01, 0.3] and turns `bias_correction` off: r then contains m and v uncorrected.

    Variables that match `exclude_from_weight_decay` have decay 0, those that match
    `exclude_from_layer_adaptation` a trust ratio of 1. The lists are independent, and an empty list
    excludes nothing. The learning rate of each variable is multiplied by its factor of
    `optim.config.layer_factors`. A variable without a gradient is not updated. All arithmetic and all
    slots are float32, whatever the type of the variable. While `gate` is closed, a step increments
    `iterations` and changes nothing else.
    """

    def __init__(
        self,
        learning_rate: float | tf_keras.optimizers.schedules.LearningRateSchedule = 1e-3,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-6,
        weight_decay_rate: float = 0.0,
        exclude_from_weight_decay: Sequence[str] = (),
        exclude_from_layer_adaptation: Sequence[str] = (),
        variant: str = "tf_models",
        gamma_l: float = 1e-3,
        gamma_u: float = 10.0,
        min_trust_ratio: float = 0.01,
        max_trust_ratio: float = 0.3,
        layer_decay: float = 1.0,
        bias_correction: bool = True,
        name: str = "LAMB",
        **kwargs: Any,
    ):
        """Arguments are explained in OptimizerConfig; kwargs are those of tf_keras' Optimizer.

        Raises:
          ValueError: unknown variant.
        """
        if variant not in LAMB_VARIANTS:
            raise ValueError(f"variant={variant!r}: must be one of {', '.join(LAMB_VARIANTS)}")
        kwargs.setdefault("jit_compile", False)
        # tf_keras applies its own decay outside the trust ratio, and its default of 0 costs a pass over
        # all weights.
        kwargs.setdefault("weight_decay", None)
        super().__init__(name=name, layer_decay=layer_decay, **kwargs)
        self._learning_rate = self._build_learning_rate(learning_rate)
        self._beta_1, self._beta_2, self._epsilon = beta_1, beta_2, epsilon
        self._weight_decay_rate = weight_decay_rate
        self._no_decay = tuple(exclude_from_weight_decay)
        self._no_adaptation = tuple(exclude_from_layer_adaptation)
        self._variant, self._rules = variant, LAMB_VARIANTS[variant]
        self._gamma_l, self._gamma_u = gamma_l, gamma_u
        self._min_trust_ratio, self._max_trust_ratio = min_trust_ratio, max_trust_ratio
        self._bias_correction = bias_correction

    def build(self, var_list: Sequence[tf.Variable]) -> None:
        """Create the gate, and two float32 moments and the last trust ratio of each variable."""
        super().build(var_list)
        if getattr(self, "_built", False):
            return
        self._built = True
        # Not in `update_step`: the names of replicated variables end in "/replica_1" there.
        self._names = [variable.name for variable in var_list]
        self._moments_1 = [self._add_moment(v, "m") for v in var_list]
        self._moments_2 = [self._add_moment(v, "v") for v in var_list]
        self._trust_ratios = [self._add_slot(v, "trust_ratio", (), "ones") for v in var_list]

    def update_step(self, gradient: tf.Tensor | tf.IndexedSlices, variable: tf.Variable) -> None:
        """Update one variable."""
        # Converting a sparse gradient adds up its rows.
        gradient = tf.cast(tf.convert_to_tensor(gradient), tf.float32)
        weights = tf.cast(variable, tf.float32)
        index = self._index_dict[self._var_key(variable)]
        direction = self._advance(index, gradient, weights)
        adapts = not matches(self._no_adaptation, self._names[index])
        norms = (_norm(weights), _norm(direction)) if adapts else None
        rate = self._record_ratio(index, norms) * self.gated_learning_rate(variable)
        # Not the variable: inside the function it would be that of the first replica.
        variable.assign(_step(tf.convert_to_tensor(variable), direction, rate))

    def _advance(self, index: int, gradient: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Update the moments of a variable and return r of the class docstring, float32."""
        m, v = self._moment(self._moments_1[index]), self._moment(self._moments_2[index])
        new_m, new_v, direction = _moments_and_direction(
            gradient,
            weights,
            tf.convert_to_tensor(m),
            tf.convert_to_tensor(v),
            self.gate.is_open,
            (
                *self.gate.averaging_factors(self._beta_1),
                *self.gate.averaging_factors(self._beta_2),
            ),
            (self._correction(self._beta_1), self._correction(self._beta_2)),
            epsilon=self._epsilon,
            decay=0.0 if matches(self._no_decay, self._names[index]) else self._weight_decay_rate,
        )
        m.assign(new_m)
        v.assign(new_v)
        return direction

    def _record_ratio(self, index: int, norms: tuple[tf.Tensor, tf.Tensor] | None) -> tf.Tensor:
        """Return the trust ratio of a variable, and keep it for reports.

        Args:
          index: number of the variable.
          norms: norms of weights and direction; None for a ratio of 1.
        """
        ratio = self._trust_ratio(*norms) if norms else tf.ones(())
        last_ratio = self._trust_ratios[index]
        last_ratio.assign(self.gate.choose(ratio, last_ratio))
        return ratio

    def _moment(self, slot: tf.Variable) -> tf.Variable:
        """Return the variable of a moment."""
        return slot

    @property
    def trust_ratios(self) -> dict[str, tf.Variable]:
        """Last trust ratio of each adapted variable, by variable name."""
        return {
            name: ratio
            for name, ratio in zip(self._names, self._trust_ratios, strict=True)
            if not matches(self._no_adaptation, name)
        }

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments, including both exclusion lists."""
        return {
            **super().get_config(),
            "learning_rate": self._serialize_hyperparameter(self._learning_rate),
            "beta_1": self._beta_1,
            "beta_2": self._beta_2,
            "epsilon": self._epsilon,
            "weight_decay_rate": self._weight_decay_rate,
            "exclude_from_weight_decay": list(self._no_decay),
            "exclude_from_layer_adaptation": list(self._no_adaptation),
            "variant": self._variant,
            "gamma_l": self._gamma_l,
            "gamma_u": self._gamma_u,
            "min_trust_ratio": self._min_trust_ratio,
            "max_trust_ratio": self._max_trust_ratio,
            "bias_correction": self._bias_correction,
        }

    def _clip_gradients(
        self, gradients: Sequence[tf.Tensor | tf.IndexedSlices]
    ) -> Sequence[tf.Tensor | tf.IndexedSlices]:
        """Scale the gradients for "nvlamb".

        This is the only hook of tf_keras that gets all gradients together, summed over the replicas.
        """
        gradients = super()._clip_gradients(gradients)
        if not self._rules.max_gradient_norm:
            return gradients
        gradients = [tf.cast(tf.convert_to_tensor(g), tf.float32) for g in gradients]
        norm = self.global_norm(gradients)
        divisor = tf.maximum(1.0, norm / self._rules.max_gradient_norm)
        return [gradient / divisor for gradient in gradients]

    def _correction(self, beta: float) -> tf.Tensor:
        """Return 1 - beta ** t without the cancellation of computing it literally in float32."""
        if not self._bias_correction:
            return tf.ones(())
        step = tf.cast(self.iterations + 1, tf.float32)
        log_beta = math.log(beta) if beta else -math.inf
        return -tf.math.expm1(step * log_beta)

    def _trust_ratio(self, weight_norm: tf.Tensor, direction_norm: tf.Tensor) -> tf.Tensor:
        if self._rules.bounds_weight_norm:
            weight_norm = tf.clip_by_value(weight_norm, self._gamma_l, self._gamma_u)
        ratio = tf.math.divide_no_nan(weight_norm, direction_norm)
        if self._rules.bounds_trust_ratio:
            ratio = tf.clip_by_value(ratio, self._min_trust_ratio, self._max_trust_ratio)
        return tf.where((weight_norm > 0) & (direction_norm > 0), ratio, 1.0)

    def _add_moment(self, variable: tf.Variable, name: str) -> tf.Variable:
        return self._add_slot(variable, name, variable.shape, "zeros")

    def _add_slot(
        self, variable: tf.Variable, name: str, shape: Sequence[int], initializer: str
    ) -> tf.Variable:
        with tf.distribute.get_strategy().extended.colocate_vars_with(variable):
            return self.add_variable(
                shape, dtype=tf.float32, initializer=initializer, name=f"{name}/{_stem(variable)}"
            )


@_compiled
def _moments_and_direction(
    g: tf.Tensor,
    x: tf.Tensor,
    m: tf.Tensor,
    v: tf.Tensor,
    is_open: tf.Tensor,
    averages: tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor],
    corrections: tuple[tf.Tensor, tf.Tensor],
    *,
    epsilon: float,
    decay: float,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return the new moments and r of the class docstring, all float32.

    Args:
      g: gradient.
      x: weights.
      m: first moment.
      v: second moment.
      is_open: whether the gate is open, bool scalar.
      averages: factors of m and g in the new m, then of v and g ** 2 in the new v.
      corrections: divisors that correct the bias of m and of v.
      epsilon: Python number.
      decay: Python number; 0 for no decay.
    """
    m_factor, g_factor, v_factor, g2_factor = averages
    g = tf.where(is_open, g, 0.0)  # not `0 * g`: g may be NaN or Inf, and 0 * NaN is NaN
    m = m_factor * m + g_factor * g
    v = v_factor * v + g2_factor * tf.square(g)
    r = m / corrections[0] / (tf.sqrt(v / corrections[1]) + epsilon)
    return m, v, r + decay * x if decay else r


@_compiled
def _step(x: tf.Tensor, r: tf.Tensor, rate: tf.Tensor) -> tf.Tensor:
    """Return x - rate * r, in the type of x."""
    return x - tf.cast(rate * r, x.dtype)


def _norm(x: tf.Tensor) -> tf.Tensor:
    # tf.norm would write all squares to memory before summing them.
    return tf.sqrt(2 * tf.nn.l2_loss(x))


def _stem(variable: tf.Variable) -> str:
    return variable.name.partition(":")[0]
