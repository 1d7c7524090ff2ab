"""Gradient accumulation: sums over a batch, computed one micro-batch at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import tensorflow as tf

Sums = TypeVar("Sums")


def accumulate(
    compute: Callable[[dict[str, tf.Tensor]], Sums],
    batch: dict[str, tf.Tensor],
    *,
    micro_batch_size: int,
    zeros: Sums,
) -> Sums:
    """Return the sum of `compute` over the micro-batches of a batch.

    Except for rounding, the result equals `compute(batch)` if `compute` returns sums over examples: the
    gradient of a summed loss, a number of correct predictions, a number of predictions. Callers divide
    once, after the all-reduce, so that the update does not depend on how a batch is split.

    Sums are float32 whatever the type of the summands: a bfloat16 sum stops growing at 256 times the
    summand. The loop has a static number of steps and static shapes, and traces `compute` once.

    Args:
      compute: function of a micro-batch to a nest of dense tensors (convert sparse gradients).
      batch: tensors [B, ...] by name, with B static.
      micro_batch_size: examples per step, divides B; 0, or B and above, means the whole batch.
      zeros: float32 zeros with the structure and the shapes of the result.

    Returns:
      A nest of float32 tensors like `zeros`.

    Raises:
      ValueError: micro_batch_size does not divide B.
    """
    (batch_size,) = {value.shape[0] for value in batch.values()}
    size = min(micro_batch_size or batch_size, batch_size)
    if batch_size % size:
        raise ValueError(f"micro_batch_size={size} does not divide a batch of {batch_size}")
    if size == batch_size:
        return tf.nest.map_structure(_float32, compute(batch))
    micro_batches = {
        name: tf.reshape(value, [-1, size, *value.shape[1:]]) for name, value in batch.items()
    }

    def add(step: tf.Tensor, totals: Sums) -> tuple[tf.Tensor, Sums]:
        summands = compute({name: values[step] for name, values in micro_batches.items()})
        return step + 1, tf.nest.map_structure(lambda t, s: t + _float32(s), totals, summands)

    num_steps = batch_size // size
    _, totals = tf.while_loop(
        lambda step, _: step < num_steps,
        add,
        (tf.constant(0), zeros),
        parallel_iterations=1,
        maximum_iterations=num_steps,
    )
    return totals


def _float32(value: tf.Tensor) -> tf.Tensor:
    return tf.cast(value, tf.float32)
