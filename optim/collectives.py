"""Exchanges between replicas during an update: sums, and parts that are put together."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops


def collectives_of(strategy: tf.distribute.Strategy) -> Collectives:
    """Return the collectives of a strategy."""
    is_tpu = isinstance(strategy, tf.distribute.TPUStrategy)
    return XlaCollectives(strategy) if is_tpu else Collectives(strategy)


class Collectives:
    """Collectives of tf.distribute.

    All methods run in replica context, but `numbers` and `on_first_replica`.
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        """Connect the replicas of a strategy."""
        self._strategy = strategy
        self.num_replicas: int = strategy.num_replicas_in_sync

    def sum(self, values: Any) -> Any:
        """Return the sums over all replicas of a nest of tensors."""
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)

    def number(self) -> tf.Tensor:
        """Return the number of this replica among the parts of `concatenate`, int32 scalar."""
        return tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group, tf.int32)

    def concatenate(self, part: tf.Tensor) -> tf.Tensor:
        """Return the parts of all replicas, joined along the first axis in the order of their numbers."""
        gather = tf.distribute.get_replica_context().all_gather
        if part.dtype == tf.bfloat16:  # not among the types of tf.distribute, which copies the bits
            return tf.bitcast(gather(tf.bitcast(part, tf.float16), axis=0), tf.bfloat16)
        return gather(part, axis=0)

    @functools.cached_property
    def numbers(self) -> list[int]:
        """Number of each replica, in the order of the components of a distributed variable."""
        run = tf.function(lambda: self._strategy.run(self.number), autograph=False)
        with tf.init_scope():
            return [int(each) for each in self._strategy.experimental_local_results(run())]

    def on_first_replica(
        self, function: Callable[[], list[tf.Tensor]]
    ) -> Callable[[], list[tf.Tensor]]:
        """Return a program that runs a function on all replicas and returns the tensors of the first."""

        def program() -> list[tf.Tensor]:
            return [
                self._strategy.experimental_local_results(result)[0]
                for result in self._strategy.run(function)
            ]

        compiled: Callable[[], list[tf.Tensor]] = tf.function(program, autograph=False)
        return compiled


class XlaCollectives(Collectives):
    """Collectives of an update that XLA compiles as a whole.

    `all_gather` of TPUStrategy is a sum of parts padded with zeros, which sends twice as much.
    """

    def number(self) -> tf.Tensor:
        """Return XLA's number of this replica, which may differ from that of tf.distribute."""
        return gen_xla_ops.xla_replica_id()

    def concatenate(self, part: tf.Tensor) -> tf.Tensor:
        """Return the parts of all replicas, see `Collectives`."""
        joined = [self.num_replicas * part.shape[0], *part.shape[1:]]
        (result,) = gen_xla_ops.xla_call_module(
            [part],
            version=9,
            module=_all_gather(part, joined, self.num_replicas),
            Sout=[joined],
            Tout=[part.dtype],
            platforms=["TPU"],
            # The step is also lowered on machines without TPUs, to compile it ahead of time.
            disabled_checks=["platform"],
        )
        return result


_STABLEHLO_TYPES = {tf.float32: "f32", tf.bfloat16: "bf16"}


def _all_gather(part: tf.Tensor, joined: Sequence[int], replicas: int) -> str:
    """Return StableHLO that joins the parts of all replicas along the first axis."""
    given, returned = (
        "x".join([*map(str, shape), _STABLEHLO_TYPES[part.dtype]]) for shape in (part.shape, joined)
    )
    group = ", ".join(map(str, range(replicas)))
    return f"""module @all_gather {{
  func.func public @main(%part: tensor<{given}>) -> tensor<{returned}> {{
    %all = "stablehlo.all_gather"(%part) {{
      all_gather_dim = 0 : i64,
      replica_groups = dense<[[{group}]]> : tensor<1x{replicas}xi64>
    }} : (tensor<{given}>) -> tensor<{returned}>
    return %all : tensor<{returned}>
  }}
}}"""
