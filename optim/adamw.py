"""AdamW with exclusions by pattern that are saved with it, and with a gate."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf
import tf_keras

from optim.config import layer_factors, matches
from optim.gate import Gate


@tf_keras.utils.register_keras_serializable(package="lambert")
class AdamW(tf_keras.optimizers.AdamW):
    """Adam with decoupled weight decay, in the arithmetic of tf_keras.

    Loshchilov and Hutter, "Decoupled weight decay regularization", algorithm 2 without the schedule
    multiplier (https://arxiv.org/abs/1711.05101), where decay is scaled by the learning rate:

        x = x - learning_rate * decay * x - learning_rate * m' / (sqrt(v') + epsilon)

    with m' and v' the bias-corrected moments; as in tf_keras, epsilon is added before v is corrected.
    Without `bias_correction` they are the moments, as in the Adam that BERT was published with.
    Variables that match a pattern have decay 0; an empty list excludes nothing. The learning rate of
    a variable is multiplied by its `optim.config.layer_factors`. While `gate` is
    closed a step counts, and changes nothing else.
    """

    def __init__(
        self,
        *args,
        exclude_patterns: Sequence[str] = (),
        layer_decay: float = 1.0,
        bias_correction: bool = True,
        **kwargs,
    ):
        """Arguments are those of tf_keras' AdamW; the patterns are searched in variable names."""
        kwargs.setdefault("jit_compile", False)
        super().__init__(*args, **kwargs)
        self._no_decay, self._layer_decay = tuple(exclude_patterns), layer_decay
        self._bias_correction = bias_correction

    def build(self, var_list) -> None:
        """Creates the moments, and looks up what does not decay, and the layer of each variable."""
        if not getattr(self, "_built", False):
            self.gate = Gate()
            # Not by `var_names`: the copies on further devices have names that end in "/replica_1".
            excluded = [v for v in var_list if matches(self._no_decay, v.name)]
            self.exclude_from_weight_decay(var_list=excluded)
            self._factors = layer_factors([v.name for v in var_list], self._layer_decay)
        super().build(var_list)

    def update_step(self, gradient, variable) -> None:
        """Updates one variable."""
        # Adds up the rows of sparse gradients.
        gradient = self.gate.pass_on(tf.convert_to_tensor(gradient))
        index = self._index_dict[self._var_key(variable)]
        m, v = self._momentums[index], self._velocities[index]
        (keep_1, take_1), (keep_2, take_2) = map(self.gate.weights, (self.beta_1, self.beta_2))
        m.assign(keep_1 * m + take_1 * gradient)
        v.assign(keep_2 * v + take_2 * tf.square(gradient))
        step = tf.cast(self.iterations + 1, tf.float32)
        rate = self._factors[index] * tf.cast(self.learning_rate, tf.float32)
        rate = self.gate.choose(rate, 0.0)
        alpha = rate
        if self._bias_correction:
            alpha *= tf.sqrt(1 - tf.pow(self.beta_2, step)) / (1 - tf.pow(self.beta_1, step))
        if self._use_weight_decay(variable):
            variable.assign_sub(variable * self.weight_decay * rate)
        variable.assign_sub(m * alpha / (tf.sqrt(v) + self.epsilon))

    def _apply_weight_decay(self, variables) -> None:
        """Nothing: `update_step` does it."""

    def get_config(self) -> dict:
        """Constructor arguments."""
        return {
            **super().get_config(),
            "exclude_patterns": list(self._no_decay),
            "layer_decay": self._layer_decay,
            "bias_correction": self._bias_correction,
        }
