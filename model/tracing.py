"""XLA compilation of single functions, and of the step that is being traced."""

from __future__ import annotations

import contextlib
import contextvars
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla
from tensorflow.python.ops import control_flow_util

Function = TypeVar("Function", bound=Callable[..., Any])
# Backward pass of a function with `tf.custom_gradient`: gradients of its results to those of its arguments.
Gradient = Callable[..., Any]
# TPUs for which the compiler writes a multiplication as shifts and additions (docs/performance.md).
_WITHOUT_MULTIPLICATION = ("v3", "v4")
# Kind of device of `tracing_for`; None for the devices of this machine.
_traced_for: contextvars.ContextVar[str | None] = contextvars.ContextVar("device", default=None)


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


@contextlib.contextmanager
def tracing_for(device: str) -> Iterator[None]:
    """Trace steps for another kind of device than this machine's, to compile them ahead of time.

    Args:
      device: "GPU", or the kind of TPU, such as "v4".
    """
    token = _traced_for.set(device)
    try:
        yield
    finally:
        _traced_for.reset(token)


def traces_for_gpu() -> bool:
    """Return whether the program that is being traced will run on GPUs."""
    device = _traced_for.get()
    return bool(tf.config.list_logical_devices("GPU")) if device is None else device == "GPU"


def multiplies_integers_slowly() -> bool:
    """Return whether the step that is being traced will run on a TPU that cannot multiply 32-bit integers."""
    device = _traced_for.get()
    kind = os.environ.get("TPU_ACCELERATOR_TYPE", "") if device is None else device
    return in_compiled_step() and kind.partition("-")[0] in _WITHOUT_MULTIPLICATION


@compiled
def barrier(*tensors: tf.Tensor) -> list[tf.Tensor]:
    """Return the tensors, with an origin that XLA cannot see."""
    return xla.optimization_barrier(*tensors)


def recomputation_inputs(*tensors: tf.Tensor) -> Sequence[tf.Tensor]:
    """Return tensors as the inputs of a recomputation in the backward pass.

    XLA for GPUs merges equal computations of both passes and keeps their results in memory in between:
    dropout masks and gelu's factor, which are larger than what they are computed from. A barrier prevents
    that; with a gradient among the tensors, the recomputation also waits for the gradient. The compiler
    for TPUs does not merge them, so there is no barrier for TPUs. Outside a compiled step the passes are
    different programs.
    """
    return barrier(*tensors) if in_compiled_step() and traces_for_gpu() else tensors
