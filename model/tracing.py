"""XLA compilation of single functions, and of the step that is being traced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import tensorflow as tf
from tensorflow.python.ops import control_flow_util

Function = TypeVar("Function", bound=Callable[..., Any])
# Backward pass of a function with `tf.custom_gradient`: gradients of its results to those of its arguments.
Gradient = Callable[..., Any]


def compiled(function: Function) -> Function:
    """Compile a function with XLA.

    XLA fuses its elementwise operations into one loop where operations run one by one. In a step that is
    compiled as a whole, it is a function like any other.
    """
    return tf.function(function, jit_compile=True, autograph=False)


def in_compiled_step() -> bool:
    """Return whether XLA compiles the whole program that is being traced.

    True under a TPUStrategy and inside `tf.function(jit_compile=True)`, false otherwise. TensorFlow
    uses the same check to decide whether a nested `jit_compile` has an effect.
    """
    return control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())
