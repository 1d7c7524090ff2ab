"""LAMB: Layer-wise Adaptive Moments for large batches."""

from __future__ import annotations

import re
from collections.abc import Sequence

import tensorflow as tf
import tf_keras


@tf_keras.utils.register_keras_serializable(package="lambert")
class LAMB(tf_keras.optimizers.Optimizer):
    """LAMB with bias-corrected moments and decoupled weight decay.

    You et al., "Large batch optimization for deep learning", algorithm 2
    (https://arxiv.org/abs/1904.00962); the numbers equal those of tf-models' `LAMB`:

        m = beta_1 * m + (1 - beta_1) * g          v = beta_2 * v + (1 - beta_2) * g ** 2
        r = m / (1 - beta_1 ** t) / (sqrt(v / (1 - beta_2 ** t)) + epsilon) + decay * x
        x = x - learning_rate * trust_ratio * r    trust_ratio = |x| / |r|, 1 if either is 0

    Variables that match `exclude_from_weight_decay` have decay 0, those that match
    `exclude_from_layer_adaptation` a trust ratio of 1. The lists are independent of each other; an
    empty one excludes nothing.
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
        name: str = "LAMB",
        **kwargs,
    ):
        """See the class and OptimizerConfig; kwargs are those of tf_keras' Optimizer."""
        kwargs.setdefault("jit_compile", False)
        super().__init__(name=name, **kwargs)
        self._learning_rate = self._build_learning_rate(learning_rate)
        self._beta_1, self._beta_2, self._epsilon = beta_1, beta_2, epsilon
        self._weight_decay_rate = weight_decay_rate
        self._no_decay = tuple(exclude_from_weight_decay)
        self._no_adaptation = tuple(exclude_from_layer_adaptation)

    def build(self, var_list) -> None:
        """Creates two float32 moments and a record of the last trust ratio for each variable."""
        super().build(var_list)
        if getattr(self, "_built", False):
            return
        self._built = True
        self._names = [variable.name for variable in var_list]
        self._moments_1 = [self.add_variable_from_reference(v, "m") for v in var_list]
        self._moments_2 = [self.add_variable_from_reference(v, "v") for v in var_list]
        self._trust_ratios = [
            self.add_variable_from_reference(v, "trust_ratio", shape=(), initial_value=tf.ones(()))
            for v in var_list
        ]

    def update_step(self, gradient, variable) -> None:
        """Updates one variable."""
        gradient = tf.convert_to_tensor(gradient)  # adds up the rows of sparse gradients
        index = self._index_dict[self._var_key(variable)]
        m, v = self._moments_1[index], self._moments_2[index]
        step = tf.cast(self.iterations + 1, variable.dtype)
        beta_1, beta_2 = self._beta_1, self._beta_2

        m.assign(beta_1 * m + (1 - beta_1) * gradient)
        v.assign(beta_2 * v + (1 - beta_2) * tf.square(gradient))
        direction = (m / (1 - beta_1**step)) / (tf.sqrt(v / (1 - beta_2**step)) + self._epsilon)
        if not _matches(self._no_decay, variable.name):
            direction += self._weight_decay_rate * variable
        ratio = tf.ones((), variable.dtype)
        if not _matches(self._no_adaptation, variable.name):
            weight_norm, direction_norm = tf.norm(variable), tf.norm(direction)
            ratio = tf.where(
                (weight_norm > 0) & (direction_norm > 0),
                tf.math.divide_no_nan(weight_norm, direction_norm),
                ratio,
            )
        self._trust_ratios[index].assign(ratio)
        variable.assign_sub(tf.cast(self.learning_rate, variable.dtype) * ratio * direction)

    @property
    def trust_ratios(self) -> dict[str, tf.Variable]:
        """Last trust ratio of every adapted variable, by the variable's name."""
        return {
            name: ratio
            for name, ratio in zip(self._names, self._trust_ratios, strict=True)
            if not _matches(self._no_adaptation, name)
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
        }


def _matches(patterns: Sequence[str], name: str) -> bool:
    return any(re.search(pattern, name) for pattern in patterns)
