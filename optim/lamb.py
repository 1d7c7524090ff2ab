"""LAMB: Layer-wise Adaptive Moments for large batches, in four forms."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import tensorflow as tf
import tf_keras

from optim.config import VARIANTS, layer_factors, matches
from optim.gate import Gate

# One loop over a variable where operations run one by one; in a step that is compiled as a whole, such
# a function is one like any other.
_compiled = functools.partial(tf.function, jit_compile=True, autograph=False)


@tf_keras.utils.register_keras_serializable(package="lambert")
class LAMB(tf_keras.optimizers.Optimizer):
    """LAMB with bias-corrected moments (unless told otherwise) and decoupled weight decay.

    With g the gradient, x the weights of one variable, |.| the Euclidean norm, t from 1:

        m = beta_1 * m + (1 - beta_1) * g          v = beta_2 * v + (1 - beta_2) * g ** 2
        r = m / (1 - beta_1 ** t) / (sqrt(v / (1 - beta_2 ** t)) + epsilon) + decay * x
        x = x - learning_rate * trust_ratio * r

    The variants differ in the trust ratio, and one in the gradient:

        paper      min(max(|x|, gamma_l), gamma_u) / |r|
        tf_models  |x| / |r|
        nvlamb     |x| / |r|, with g / max(1, norm of all gradients together) in place of g
        clamped    min(max(|x| / |r|, min_trust_ratio), max_trust_ratio)

    Where a norm is 0 after `gamma_l`, the ratio is 1: new biases would never leave zero otherwise.

    Sources: "paper" is algorithm 2 of You et al. with their clipping phi
    (https://arxiv.org/abs/1904.00962), for which they give no bounds; [0.001, 10] are those of
    GluonNLP's LAMB. "tf_models" is `official.modeling.optimization.lamb`. "nvlamb" is
    `FusedLAMB(use_nvlamb=True)` of NVIDIA's apex (csrc/multi_tensor_lamb.cu), which adapts every
    tensor, those without decay included: give it no `exclude_from_layer_adaptation`. "clamped" has
    the ratio of DeepSpeed's FusedLamb (csrc/lamb/fused_lamb_cuda_kernel.cu), whose BERT recipe
    clamps to [0.01, 0.3], and sets `bias_correction` off: then r has m and v as they are.

    Variables that match `exclude_from_weight_decay` have decay 0, those that match
    `exclude_from_layer_adaptation` a trust ratio of 1. The lists are independent of each other; an
    empty one excludes nothing. The learning rate of a variable is multiplied by its
    `optim.config.layer_factors`. A variable without a gradient stays as it is. All arithmetic and all
    slots are float32, whatever the type of the variable. While `gate` is closed a step counts, and
    changes nothing else.
    """

    def __init__(
        self,
        learning_rate=1e-3,
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
        **kwargs,
    ):
        """See the class and OptimizerConfig; kwargs are those of tf_keras' Optimizer."""
        if variant not in VARIANTS:
            raise ValueError(f"variant={variant!r}: must be one of {', '.join(VARIANTS)}")
        kwargs.setdefault("jit_compile", False)
        # tf_keras' own decay, which knows no trust ratio; its default 0 costs a pass over all weights.
        kwargs.setdefault("weight_decay", None)
        super().__init__(name=name, **kwargs)
        self._learning_rate = self._build_learning_rate(learning_rate)
        self._beta_1, self._beta_2, self._epsilon = beta_1, beta_2, epsilon
        self._weight_decay_rate = weight_decay_rate
        self._no_decay = tuple(exclude_from_weight_decay)
        self._no_adaptation = tuple(exclude_from_layer_adaptation)
        self._variant = variant
        self._gamma_l, self._gamma_u = gamma_l, gamma_u
        self._min_trust_ratio, self._max_trust_ratio = min_trust_ratio, max_trust_ratio
        self._layer_decay, self._bias_correction = layer_decay, bias_correction

    def build(self, var_list) -> None:
        """Creates two float32 moments and a record of the last trust ratio for each variable."""
        super().build(var_list)
        if getattr(self, "_built", False):
            return
        self._built = True
        self.gate = Gate()
        # Here and not in `update_step`, where the copies on further devices end in "/replica_1".
        self._names = [variable.name for variable in var_list]
        self._factors = layer_factors(self._names, self._layer_decay)
        self._moments_1 = [self._add_slot(v, "m", v.shape, "zeros") for v in var_list]
        self._moments_2 = [self._add_slot(v, "v", v.shape, "zeros") for v in var_list]
        self._trust_ratios = [self._add_slot(v, "trust_ratio", (), "ones") for v in var_list]

    def update_step(self, gradient, variable) -> None:
        """Updates one variable."""
        # Adds up the rows of sparse gradients.
        gradient = tf.cast(tf.convert_to_tensor(gradient), tf.float32)
        weights = tf.cast(variable, tf.float32)
        index = self._index_dict[self._var_key(variable)]
        m, v, name = self._moments_1[index], self._moments_2[index], self._names[index]
        new_m, new_v, direction = _moments_and_direction(
            gradient,
            weights,
            tf.convert_to_tensor(m),
            tf.convert_to_tensor(v),
            self.gate.is_open,
            (*self.gate.weights(self._beta_1), *self.gate.weights(self._beta_2)),
            (self._correction(self._beta_1), self._correction(self._beta_2)),
            epsilon=self._epsilon,
            decay=0.0 if matches(self._no_decay, name) else self._weight_decay_rate,
        )
        m.assign(new_m)
        v.assign(new_v)
        ratio = tf.ones(())
        if not matches(self._no_adaptation, name):
            ratio = self._trust_ratio(_norm(weights), _norm(direction))
        last_ratio = self._trust_ratios[index]
        last_ratio.assign(self.gate.choose(ratio, last_ratio))
        rate = self._factors[index] * tf.cast(self.learning_rate, tf.float32)
        rate = self.gate.choose(rate, 0.0)
        variable.assign(_moved(variable, direction, rate * ratio))

    @property
    def trust_ratios(self) -> dict[str, tf.Variable]:
        """Last trust ratio of every adapted variable, by the variable's name."""
        return {
            name: ratio
            for name, ratio in zip(self._names, self._trust_ratios, strict=True)
            if not matches(self._no_adaptation, name)
        }

    def get_config(self) -> dict:
        """Constructor arguments, both exclusion lists included."""
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
            "layer_decay": self._layer_decay,
            "bias_correction": self._bias_correction,
        }

    def _clip_gradients(self, gradients):
        """The one place where tf_keras shows all gradients at once, summed over the replicas."""
        gradients = super()._clip_gradients(gradients)
        if self._variant != "nvlamb":
            return gradients
        gradients = [tf.cast(tf.convert_to_tensor(g), tf.float32) for g in gradients]
        divisor = tf.maximum(1.0, tf.linalg.global_norm(gradients))
        return [gradient / divisor for gradient in gradients]

    def _correction(self, beta: float) -> tf.Tensor:
        """1 - beta ** t; taken literally, float32 loses digits of it while it is small."""
        if not self._bias_correction:
            return tf.ones(())
        step = tf.cast(self.iterations + 1, tf.float32)
        log_beta = math.log(beta) if beta else -math.inf
        return -tf.math.expm1(step * log_beta)

    def _trust_ratio(self, weight_norm: tf.Tensor, direction_norm: tf.Tensor) -> tf.Tensor:
        if self._variant == "paper":
            weight_norm = tf.clip_by_value(weight_norm, self._gamma_l, self._gamma_u)
        ratio = tf.math.divide_no_nan(weight_norm, direction_norm)
        if self._variant == "clamped":
            ratio = tf.clip_by_value(ratio, self._min_trust_ratio, self._max_trust_ratio)
        return tf.where((weight_norm > 0) & (direction_norm > 0), ratio, 1.0)

    def _add_slot(self, variable, name: str, shape, initializer: str) -> tf.Variable:
        with tf.distribute.get_strategy().extended.colocate_vars_with(variable):
            return self.add_variable(
                shape, dtype=tf.float32, initializer=initializer, name=f"{name}/{_stem(variable)}"
            )


@_compiled
def _moments_and_direction(g, x, m, v, is_open, averages, corrections, *, epsilon, decay):
    """New moments, and r of the class, all float32.

    Args:
      g: gradient.
      x: weights.
      m: first moment.
      v: second moment.
      is_open: the gate's.
      averages: what m keeps and takes, what v keeps and takes.
      corrections: of the bias of m and of v, to divide by.
      epsilon: a Python number, as decay.
      decay: 0 for none.
    """
    keep_1, take_1, keep_2, take_2 = averages
    g = tf.where(is_open, g, 0.0)  # a number that is none must not even be multiplied by 0
    m = keep_1 * m + take_1 * g
    v = keep_2 * v + take_2 * tf.square(g)
    r = m / corrections[0] / (tf.sqrt(v / corrections[1]) + epsilon)
    return m, v, r + decay * x if decay else r


@_compiled
def _moved(x, r, rate):
    """Computes x - rate * r, in the type of x."""
    return x - tf.cast(rate * r, x.dtype)


def _norm(x: tf.Tensor) -> tf.Tensor:
    # tf.norm would write all squares to memory before it adds them up.
    return tf.sqrt(2 * tf.nn.l2_loss(x))


def _stem(variable) -> str:
    return variable.name.partition(":")[0]
