"""Who compiles what is being traced."""

from __future__ import annotations

import functools

import tensorflow as tf
from tensorflow.python.ops import control_flow_util

# A function that XLA compiles by itself where operations run one by one: everything elementwise in
# it becomes one loop. In a step that is compiled as a whole it is a function like any other.
compiled = functools.partial(tf.function, jit_compile=True, autograph=False)


def in_compiled_step() -> bool:
    """Whether XLA compiles the program being traced as a whole.

    True under a TPUStrategy and inside `tf.function(jit_compile=True)`, false otherwise. TensorFlow
    asks the same question to decide whether a nested `jit_compile` means anything.
    """
    return control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())
