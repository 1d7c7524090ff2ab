"""Measure this machine, for plans of runs on its CPUs."""

from __future__ import annotations

import functools
import time

_ROWS, _REPEATS = 2048, 5


@functools.cache
def matmul_flops_per_second(precision: str) -> float:
    """Return the FLOP/s of TensorFlow's product of two matrices on these CPUs; it takes a second.

    The product of bench.step, whose rows say which share of it a whole update reaches.

    Args:
      precision: see TrainConfig.
    """
    import tensorflow as tf

    dtype = tf.bfloat16 if precision == "mixed_bfloat16" else tf.float32
    with tf.device("CPU:0"):
        matrix = tf.cast(tf.random.stateless_normal([_ROWS, _ROWS], seed=[0, 0]), dtype)
        multiply = tf.function(lambda a: tf.matmul(a, a))
        seconds = []
        for _ in range(1 + _REPEATS):  # the first one traces
            started = time.perf_counter()
            multiply(matrix).numpy()
            seconds.append(time.perf_counter() - started)
    return 2 * _ROWS**3 / min(seconds[1:])
