"""A gate that lets an optimizer skip a step, and the mixin of optimizers that have a gate.

A branch around the whole update would have to hold both outcomes of every variable. The gate selects
the factors of the update instead: this costs no memory and no pass over the variables, and a step
stays one program on any device.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import tensorflow as tf
import tf_keras

from optim.config import layer_factors
from optim.divided_weight import DividedWeight


class Gate:
    """Lets updates through while its variable is 1, and blocks them while it is 0."""

    def __init__(self) -> None:
        # Every replica assigns the same value to its own copy.
        self.variable = tf.Variable(1.0, trainable=False, name="gate")

    def set(self, is_open: tf.Tensor) -> None:
        """Open or close the gate for the next update."""
        self.variable.assign(tf.cast(is_open, tf.float32))

    @property
    def is_open(self) -> tf.Tensor:
        """Whether updates are let through, bool scalar."""
        return self.variable > 0

    def averaging_factors(self, beta: float) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the factors of the old average and the new value: (beta, 1 - beta), or (1, 0)."""
        return self.choose(beta, 1.0), self.choose(1 - beta, 0.0)

    def filter(self, gradient: tf.Tensor) -> tf.Tensor:
        """Return the float32 gradient, or 0; a factor of 0 would not do, since 0 * NaN is NaN."""
        return self.choose(gradient, 0.0)

    def choose(self, when_open: tf.Tensor | float, when_closed: tf.Tensor | float) -> tf.Tensor:
        """Return one of two float32 tensors."""
        return tf.where(self.is_open, when_open, when_closed)


class Gated(tf_keras.optimizers.Optimizer):
    """Mixin that every optimizer of this package has, before its tf_keras base class.

    It adds the gate and layer-wise learning rates. `update_step` of a subclass must keep variable and slots
    while the gate is closed: with `gate.filter`, `gate.averaging_factors` and `gated_learning_rate`.

    An update has two parts: `update_variables` needs this replica only, so that XLA can compile it for one
    device, and `count_step` is the one thing that tf.distribute does on all of them together.
    `apply_gradients` of tf_keras calls both.

    Attributes:
      gate: lets updates through or blocks them; exists after `build`.
      needs_other_replicas: whether `parts`, `global_norm` and `update_variables` exchange values between
        replicas.
      divided_weights: weights of which updates change parts and copies only, by name of the variable.
    """

    gate: Gate
    needs_other_replicas = False
    divided_weights: Mapping[str, DividedWeight] = MappingProxyType({})

    def __init__(self, *args: Any, layer_decay: float = 1.0, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._layer_decay = layer_decay

    def build(self, var_list: Sequence[tf.Variable]) -> None:
        """Create the gate and the variables of the optimizer; find the layer of each variable."""
        if not getattr(self, "_built", False):
            self.gate = Gate()
            # Not in `update_step`: the names of replicated variables end in "/replica_1" there.
            self._factors = layer_factors([v.name for v in var_list], self._layer_decay)
        super().build(var_list)

    def __repr__(self) -> str:
        """Return a text that errors of Keras 3, which has other optimizers, show to users."""
        return (
            f"{type(self).__name__}, an optimizer of tf_keras (Keras 2): build and compile the model with"
            " tf_keras in place of keras, or set TF_USE_LEGACY_KERAS=1 for tf.keras"
        )

    def parts(self, gradients: Sequence[tf.Tensor]) -> Sequence[tf.Tensor]:
        """Return the gradients that `apply_gradients` needs on this replica, from those of all replicas."""
        return gradients

    def global_norm(self, parts: Sequence[tf.Tensor]) -> tf.Tensor:
        """Return the norm of all gradients together, from what `parts` returned."""
        return tf.linalg.global_norm(parts)

    def divide_weights(self) -> None:
        """Prepare `divided_weights` for updates. Runs in replica context."""
        for weight in self.divided_weights.values():
            weight.divide()

    def join_weights(self) -> None:
        """Bring the variables of `divided_weights` up to date after updates. Runs in replica context."""
        for weight in self.divided_weights.values():
            weight.join()

    def update_variables(
        self, gradients: Sequence[tf.Tensor], variables: Sequence[tf.Variable]
    ) -> None:
        """Update the variables of this replica; `count_step` must follow. Runs in replica context.

        Between `divide_weights` and `join_weights`, if there are `divided_weights`.

        Args:
          gradients: what `parts` returned, summed over the replicas.
          variables: those of `build`, in its order.
        """
        self._compute_current_learning_rate()
        gradients = self._clip_gradients(gradients)
        self._update_all(list(zip(gradients, variables, strict=True)))

    def count_step(self) -> tf.Variable:
        """Add 1 to `iterations`, and return it. Runs in replica context."""
        # As tf_keras does: each replica would add 1 otherwise, or a nest of ones.
        return tf.__internal__.distribute.interim.maybe_merge_call(
            lambda _: self.iterations.assign_add(1), self._distribution_strategy
        )

    def _update_all(self, grads_and_vars: Sequence[tuple[tf.Tensor, tf.Variable]]) -> None:
        for gradient, variable in grads_and_vars:
            self._update_step(gradient, variable)

    def _internal_apply_gradients(
        self, grads_and_vars: Sequence[tuple[tf.Tensor, tf.Variable]]
    ) -> tf.Variable:
        # Options of tf_keras: averages of the weights, and a program for each variable.
        if self.use_ema or self.jit_compile:
            return super()._internal_apply_gradients(grads_and_vars)
        self._update_all(grads_and_vars)
        return self.count_step()

    def gated_learning_rate(self, variable: tf.Variable) -> tf.Tensor:
        """Return the learning rate of a variable, float32 scalar; 0 while the gate is closed."""
        factor = self._factors[self._index_dict[self._var_key(variable)]]
        return self.gate.choose(factor * tf.cast(self.learning_rate, tf.float32), 0.0)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "layer_decay": self._layer_decay}
