"""AdamW with serializable exclusion patterns, layer-wise learning rates and a gate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from optim.config import matches
from optim.gate import Gated


@tf_keras.utils.register_keras_serializable(package="lambert")
class AdamW(Gated, tf_keras.optimizers.AdamW):
    """Adam with decoupled weight decay, with the arithmetic of tf_keras.

    Loshchilov and Hutter, "Decoupled weight decay regularization", algorithm 2 without the schedule
    multiplier (https://arxiv.org/abs/1711.05101), where decay is scaled by the learning rate:

        x = x - learning_rate * decay * x - learning_rate * m' / (sqrt(v') + epsilon)

    with m' and v' the bias-corrected moments; as in tf_keras, epsilon is added before v is corrected.
    Without `bias_correction` they are the uncorrected moments, as in the Adam that BERT was published
    with. Variables that match a pattern have decay 0; an empty list excludes nothing. The learning rate
    of each variable is multiplied by its factor of `optim.config.layer_factors`. While `gate` is
    closed, a step increments `iterations` and changes nothing else.
    """

    def __init__(
        self,
        *args: Any,
        exclude_patterns: Sequence[str] = (),
        bias_correction: bool = True,
        **kwargs: Any,
    ):
        """Create the optimizer; `build` creates its variables.

        Args:
          *args: see tf_keras' AdamW.
          exclude_patterns: regular expressions, searched in variable names; matches do not decay.
          bias_correction: whether to correct the moments for their start at 0.
          **kwargs: see tf_keras' AdamW; `layer_decay`, see `optim.config.layer_factors`.
        """
        kwargs.setdefault("jit_compile", False)
        super().__init__(*args, **kwargs)
        self._no_decay, self._bias_correction = tuple(exclude_patterns), bias_correction

    def build(self, var_list: Sequence[tf.Variable]) -> None:
        """Create the gate and the moments; find the variables without decay."""
        if not getattr(self, "_built", False):
            # Not by `var_names`: the names of replicated variables end in "/replica_1".
            excluded = [v for v in var_list if matches(self._no_decay, v.name)]
            self.exclude_from_weight_decay(var_list=excluded)
        super().build(var_list)

    def update_step(self, gradient: tf.Tensor | tf.IndexedSlices, variable: tf.Variable) -> None:
        """Update one variable."""
        # Converting a sparse gradient adds up its rows.
        gradient = self.gate.filter(tf.convert_to_tensor(gradient))
        index = self._index_dict[self._var_key(variable)]
        m, v = self._momentums[index], self._velocities[index]
        m_factor, g_factor = self.gate.averaging_factors(self.beta_1)
        v_factor, g2_factor = self.gate.averaging_factors(self.beta_2)
        m.assign(m_factor * m + g_factor * gradient)
        v.assign(v_factor * v + g2_factor * tf.square(gradient))
        step = tf.cast(self.iterations + 1, tf.float32)
        alpha = rate = self.gated_learning_rate(variable)
        if self._bias_correction:
            alpha *= tf.sqrt(1 - tf.pow(self.beta_2, step)) / (1 - tf.pow(self.beta_1, step))
        if self._use_weight_decay(variable):
            variable.assign_sub(variable * self.weight_decay * rate)
        variable.assign_sub(m * alpha / (tf.sqrt(v) + self.epsilon))

    def _apply_weight_decay(self, variables: Sequence[tf.Variable]) -> None:
        """Do nothing: `update_step` applies the decay."""

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "exclude_patterns": list(self._no_decay),
            "bias_correction": self._bias_correction,
        }
