"""Agreement between the processes of a cluster that run the same program."""

from __future__ import annotations

import tensorflow as tf

from data.errors import UserError


def is_multi_worker(strategy: tf.distribute.Strategy) -> bool:
    """Return whether several processes run the same program under a strategy."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


class Workers:
    """The processes under a strategy. All of them must call the methods together."""

    def __init__(self, strategy: tf.distribute.Strategy):
        """Use the devices of a strategy to exchange values."""
        self._strategy = strategy

    @property
    def are_several(self) -> bool:
        """Whether other processes take part."""
        return is_multi_worker(self._strategy)

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set on any worker."""
        if not self.are_several:
            return flag
        return bool(self._sum_over_replicas(tf.constant(float(flag))).numpy())

    def require_same_step(self, step: int) -> None:
        """Raise a UserError unless all workers resume from the same step."""

        @tf.function
        def sums() -> tf.Tensor:
            steps = self._strategy.run(lambda: tf.constant([step, step**2], tf.float64))
            return self._strategy.reduce(tf.distribute.ReduceOp.SUM, steps, axis=None)

        total, squares = sums().numpy()
        if total**2 != self._strategy.num_replicas_in_sync * squares:
            raise UserError(
                f"this worker resumes at step {step}, another worker at a different step: all"
                " workers need the same --model_dir, on a shared disk"
            )

    @tf.function
    def _sum_over_replicas(self, value: tf.Tensor) -> tf.Tensor:
        values = self._strategy.run(lambda: tf.identity(value))
        return self._strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None)
