"""Sums over a batch that is too large for the memory, from micro-batches."""

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
    """What `compute` returns for the whole batch, from one micro-batch after the other.

    That is the same, but for rounding, if `compute` returns sums over the examples: a gradient of a
    summed loss, a number of right answers, a number of predictions. Means are the caller's to make,
    once, after all devices have added up theirs: then any cut of a batch gives the same update.

    Sums are float32 whatever the type of the summands. A bfloat16 sum would stand still as soon as
    it is 256 times the summand. The loop has a static number of turns and static shapes, and makes
    one graph of `compute`, not one a turn.

    Args:
      compute: a micro-batch to a nest of dense tensors (a sparse gradient has to be converted).
      batch: tensors [B, ...] with B static.
      micro_batch_size: examples at once, divides B; 0, or B and above, means the whole batch.
      zeros: float32, of the structure and the shapes of the result.

    Returns:
      A nest like `zeros`.

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

    def add(turn, totals):
        summands = compute({name: values[turn] for name, values in micro_batches.items()})
        return turn + 1, tf.nest.map_structure(lambda t, s: t + _float32(s), totals, summands)

    turns = batch_size // size
    _, totals = tf.while_loop(
        lambda turn, _: turn < turns,
        add,
        (tf.constant(0), zeros),
        parallel_iterations=1,
        maximum_iterations=turns,
    )
    return totals


def _float32(value: tf.Tensor) -> tf.Tensor:
    return tf.cast(value, tf.float32)
