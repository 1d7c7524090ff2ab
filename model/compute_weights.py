"""Weights in the compute type, kept next to the float32 weights that the optimizer updates.

A matrix product in bfloat16 needs bfloat16 weights. Casting in every product costs a pass over the
float32 weights, in the forward and the backward pass and for every micro-batch. A cast copy that is
written right after the update costs two bytes per parameter, and XLA fuses the cast into the
optimizer's own pass.

Source: Micikevicius et al., "Mixed precision training" (https://arxiv.org/abs/1710.03740), section 3.1.
"""

from __future__ import annotations

import tensorflow as tf

from model.tracing import Gradient


class ComputeWeight:
    """A float32 master weight cast to the compute type.

    It can be recomputed from its master, so it is not state: it is not a tf.Module, and therefore neither
    in checkpoints nor among the variables of a model. Code that sets the master must call `refresh`.

    Attributes:
      master: float32 variable.
      variable: the cast value.
    """

    def __init__(self, master: tf.Variable, dtype: tf.DType):
        self.master = master
        self.variable = tf.Variable(tf.cast(master, dtype), trainable=False, name="copy")

    def refresh(self) -> None:
        """Cast the master's current value; in replica context, each replica casts its own."""
        self.variable.assign(tf.cast(self.master, self.variable.dtype))

    def value(self) -> tf.Tensor:
        """Return the cast value; its gradient flows to the master."""
        return _substitute(tf.convert_to_tensor(self.master), self.variable)


def compute_weights(model: tf.Module) -> list[ComputeWeight]:
    """Return the weights that the layers of a model keep in the compute type."""
    layers = (getattr(module, "compute_kernel", None) for module in (model, *model.submodules))
    return [each for each in layers if isinstance(each, ComputeWeight)]


def refresh_compute_weights(model: tf.Module) -> None:
    """Cast the current weights of all layers of a model that keep a copy in the compute type."""
    for weight in compute_weights(model):
        weight.refresh()


@tf.custom_gradient
def _substitute(master: tf.Tensor, compute_weight: tf.Variable) -> tuple[tf.Tensor, Gradient]:
    def gradient(dweight: tf.Tensor) -> tuple[tf.Tensor, None]:
        return tf.cast(dweight, master.dtype), None

    return tf.identity(compute_weight), gradient
