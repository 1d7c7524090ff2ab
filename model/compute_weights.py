"""Weights in the compute type, kept beside the float32 ones that the optimizer changes.

Products in bfloat16 need bfloat16 weights. Made anew in each product, they cost a pass over the float32
weights, forward and backward and for every micro-batch. A copy that is written when the optimizer has
changed the weight costs two bytes a parameter: there XLA makes it in the optimizer's own pass.

Source: Micikevicius et al., "Mixed precision training" (https://arxiv.org/abs/1710.03740), section 3.1.
"""

from __future__ import annotations

import tensorflow as tf


class Copy:
    """A variable in another type than its master's.

    It follows from its master, so it is no state: no tf.Module, hence neither in checkpoints nor among
    the variables of a model. Whoever changes the master calls `refresh`.
    """

    def __init__(self, master: tf.Variable, dtype: tf.DType):
        self._master = master
        self._variable = tf.Variable(tf.cast(master, dtype), trainable=False, name="copy")

    def refresh(self) -> None:
        """Rounds the master's value again; in replica context, each replica its own."""
        self._variable.assign(tf.cast(self._master, self._variable.dtype))

    def value(self) -> tf.Tensor:
        """The rounded value, whose gradient goes to the master."""
        return _in_place_of(tf.convert_to_tensor(self._master), self._variable)


def refresh_copies(model: tf.Module) -> None:
    """Brings all copies in a model up to date with their masters."""
    for module in (model, *model.submodules):
        copy = getattr(module, "copy", None)
        if isinstance(copy, Copy):
            copy.refresh()


@tf.custom_gradient
def _in_place_of(master, copy):
    def gradient(dcopy):
        return tf.cast(dcopy, master.dtype), None

    return tf.identity(copy), gradient
