"""XLA compilation of single functions, and of the step that is being traced."""

from __future__ import annotations

import functools

import tensorflow as tf
from tensorflow.python.ops import control_flow_util

# XLA fuses the elementwise operations of such a function into one loop where operations run one by one.
# In a step that is compiled as a whole, it is a function like any other.
compiled = functools.partial(tf.function, jit_compile=True, autograph=False)


def in_compiled_step() -> bool:
    """Return whether XLA compiles the whole program that is being traced.

    True under a TPUStrategy and inside `tf.function(jit_compile=True)`, false otherwise. TensorFlow
    uses the same check to decide whether a nested `jit_compile` has an effect.
    """
    return control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())
