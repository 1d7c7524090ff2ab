"""One training step, the loop of steps on the devices, and evaluation.

The loss of a batch is a sum over its predictions, divided once by the number of predictions of the
whole global batch. So the gradient does not depend on how the batch is cut into replicas and
micro-batches, and neither do the dropout masks: they are a function of the seed, the step and the
place of an example in the global batch.

Legend: B sequences of a replica, P predictions in a sequence, V pieces of the vocabulary.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf

from data.errors import UserError
from model.compute_weights import refresh_compute_weights
from model.dropout import Dropout
from optim.accumulate import accumulate
from optim.build import build_optimizer, build_schedule
from optim.config import OptimizerConfig
from pretrain.train.bad_steps import GOOD, BadSteps, Verdict
from pretrain.train.config import TrainConfig

_VERDICT = 4  # its place in what a step returns, after three sums and the norm of the gradient
COMPUTE_TYPES = {"float32": tf.float32, "mixed_bfloat16": tf.bfloat16}


class Model(Protocol):
    """What can be trained; features are tensors [B, ...], one of them `input_word_ids`."""

    trainable_variables: Sequence[tf.Variable]
    checkpoint_items: dict[str, tf.Module]

    def sums(
        self, features: dict[str, tf.Tensor], *, dropout: Dropout | None
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """float32 scalars, over a batch: loss, right predictions and number of predictions."""

    def eval_outputs(self, features: dict[str, tf.Tensor]) -> tf.Tensor:
        """float32 [B, ...]: what evaluation wants to know of each example, without dropout."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainMetrics:
    """Sums over the good steps of a loop; means are no numbers if there is none.

    Attributes:
      loss_sum: over all predictions.
      correct_sum: right predictions.
      weight_sum: predictions.
      grad_norm_sum: over the steps.
      good_steps: how many.
      bad_steps: verdicts on the steps that were passed over.
      input_wait_seconds: over all steps.
    """

    loss_sum: float
    correct_sum: float
    weight_sum: float
    grad_norm_sum: float
    good_steps: int
    bad_steps: tuple[Verdict, ...]
    input_wait_seconds: float

    @property
    def loss(self) -> float:
        """Mean over the predictions."""
        return self.loss_sum / self.weight_sum if self.good_steps else math.nan

    @property
    def mlm_accuracy(self) -> float:
        """Of the predictions, those that are right."""
        return self.correct_sum / self.weight_sum if self.good_steps else math.nan

    @property
    def grad_norm(self) -> float:
        """Mean over the steps."""
        return self.grad_norm_sum / self.good_steps if self.good_steps else math.nan


class Trainer:
    """Model, optimizer and the functions that run them under a strategy."""

    def __init__(
        self,
        build_model: Callable[[], Model],
        *,
        train: TrainConfig,
        optimizer: OptimizerConfig,
        strategy: tf.distribute.Strategy,
    ):
        """Builds everything.

        Args:
          build_model: called once, where the strategy keeps its variables.
          train: checked settings.
          optimizer: checked settings.
          strategy: the devices.
        """
        self._train, self._optimizer_config = train, optimizer
        self.strategy = strategy
        self._schedule = build_schedule(optimizer, train.train_steps)
        with strategy.scope():
            self.model = build_model()
            self.variables = list(self.model.trainable_variables)
            self.optimizer = build_optimizer(optimizer, self._schedule)
            self.optimizer.build(self.variables)
            self.bad_steps = BadSteps(threshold=train.spike_threshold)
        self._has_fresh_compute_weights = False
        if _compiles(train.jit_compile):
            # Not `update`: XLA reaches no other device, and all_reduce and the variables of further
            # replicas are on others.
            self._accumulate = tf.function(self._accumulate, jit_compile=True, autograph=False)

    @property
    def checkpoint_items(self) -> dict:
        """All state of the run, by name."""
        return {
            **self.model.checkpoint_items,
            "optimizer": self.optimizer,
            "bad_steps": self.bad_steps,
        }

    def require_same_step(self) -> None:
        """Checks, on all workers, that they go on from the same step.

        Raises:
          UserError: the workers have restored different steps.
        """
        step = self.step

        @tf.function
        def sums():
            steps = self.strategy.run(lambda: tf.constant([step, step**2], tf.float64))
            return self.strategy.reduce(tf.distribute.ReduceOp.SUM, steps, axis=None)

        total, squares = sums().numpy()
        if total**2 != self.strategy.num_replicas_in_sync * squares:
            raise UserError(
                f"this worker goes on from step {step}, another one from another step: all workers"
                " need the same --model_dir, on a shared disk"
            )

    @property
    def is_multi_worker(self) -> bool:
        """Whether other processes take part."""
        return is_multi_worker(self.strategy)

    def any_worker(self, flag: bool) -> bool:
        """Whether the flag is set on any worker; all workers must call it, and all get the same."""
        if not self.is_multi_worker:
            return flag
        return bool(self._sum_over_replicas(tf.constant(float(flag))).numpy())

    @tf.function
    def _sum_over_replicas(self, value):
        values = self.strategy.run(lambda: tf.identity(value))
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None)

    @property
    def step(self) -> int:
        """Updates made so far."""
        return int(self.optimizer.iterations.numpy())

    @property
    def learning_rate(self) -> float:
        """Learning rate of the last update."""
        return float(self._schedule(max(self.step - 1, 0)))

    def trust_ratios(self) -> dict[str, float]:
        """Trust ratios of the last update, by adapted variable; AdamW has none."""
        ratios = getattr(self.optimizer, "trust_ratios", {})
        if not ratios:
            return {}
        # In one transfer: there are hundreds, and each costs a round trip to the device.
        values = tf.stack([tf.convert_to_tensor(ratio) for ratio in ratios.values()]).numpy()
        names = (name.partition(":")[0] for name in ratios)
        return dict(zip(names, values.tolist(), strict=True))

    def train(self, iterator, num_steps: int) -> TrainMetrics:
        """Runs updates without returning to Python between them.

        Args:
          iterator: over distributed batches of one element a replica.
          num_steps: how many.
        """
        if not self._has_fresh_compute_weights:
            self._refresh_compute_weights()
        first_step = self.step + 1
        rows, wait_seconds = self._train_steps(iterator, tf.constant(num_steps))
        rows = rows.numpy().astype(np.float64)
        is_good = rows[:, _VERDICT] == GOOD
        loss_sum, correct_sum, weight_sum, grad_norm_sum = rows[is_good, :_VERDICT].sum(axis=0)
        return TrainMetrics(
            loss_sum=float(loss_sum),
            correct_sum=float(correct_sum),
            weight_sum=float(weight_sum),
            grad_norm_sum=float(grad_norm_sum),
            good_steps=int(is_good.sum()),
            bad_steps=tuple(
                _verdict(first_step + int(i), rows[i]) for i in np.flatnonzero(~is_good)
            ),
            input_wait_seconds=float(wait_seconds.numpy()),
        )

    def evaluate(self, iterator, num_steps: int) -> np.ndarray:
        """Evaluates without dropout.

        Returns:
          float32 [N, ...]: what the model's `eval_outputs` says of each example of the steps, in order.
        """
        self._refresh_compute_weights()
        return self._eval_steps(iterator, tf.constant(num_steps)).numpy()

    def _refresh_compute_weights(self) -> None:
        """Brings copies of the weights up to date with whatever has set the weights.

        Updates do so themselves. Weights are set otherwise before the first update, by a checkpoint or
        an import, and before an evaluation, by the checkpoint that did best.
        """
        self._refresh_on_replicas()
        self._has_fresh_compute_weights = True

    @tf.function
    def _refresh_on_replicas(self) -> None:
        self.strategy.run(lambda: refresh_compute_weights(self.model))

    @tf.function
    def _train_steps(self, iterator, num_steps):
        rows = tf.TensorArray(tf.float32, size=num_steps, element_shape=[_VERDICT + 2])
        waited = tf.constant(0.0, tf.float64)
        for i in tf.range(num_steps):
            started = tf.timestamp()
            with tf.control_dependencies([started]):
                features = next(iterator)
            arrived = [
                part
                for value in tf.nest.flatten(features)
                for part in self.strategy.experimental_local_results(value)
            ]
            with tf.control_dependencies(arrived):
                now = tf.timestamp()
            waited += now - started
            row = self.strategy.run(self._update_after, (tf.cast(now, tf.float32), features))
            # All replicas return the global sums.
            rows = rows.write(i, self.strategy.reduce(tf.distribute.ReduceOp.MEAN, row, axis=None))
        return rows.stack(), waited

    @tf.function
    def _eval_steps(self, iterator, num_steps):
        steps = tf.TensorArray(tf.float32, num_steps)
        for step in tf.range(num_steps):
            rows = self.strategy.run(self._eval_outputs, (next(iterator),))
            # Every replica fills in its own part of the batch.
            rows = self.strategy.reduce(tf.distribute.ReduceOp.SUM, rows, axis=None)
            steps = steps.write(step, rows)
        return steps.concat()

    def _update_after(self, clock: tf.Tensor, features) -> tf.Tensor:
        """`update`, which waits for the clock: where cores are few, it would be read after the step."""
        with tf.control_dependencies([clock]):
            features = tf.nest.map_structure(tf.identity, features)
        return self.update(features)

    def update(self, features: dict[str, tf.Tensor]) -> tf.Tensor:
        """One update on a replica's part of the batch, unless the step is bad.

        Returns:
          float32 [6]: sums of loss, right predictions and weight over the global batch, the norm of
          the gradient, and the verdict of BadSteps.judge.
        """
        gradients, sums = self._accumulate(features)
        replica = tf.distribute.get_replica_context()
        gradients, sums = replica.all_reduce(tf.distribute.ReduceOp.SUM, (gradients, sums))
        # The division by the number of predictions and the clipping are one factor: the gradient of a
        # large model is long to go through.
        scale = 1 / sums[2]
        norm = tf.linalg.global_norm(gradients) * scale
        if self._optimizer_config.clip_norm:
            scale *= tf.minimum(1.0, self._optimizer_config.clip_norm / norm)
        gradients = [gradient * scale for gradient in gradients]
        verdict = self.bad_steps.judge(self.optimizer.iterations, sums[0] / sums[2], norm)
        self.optimizer.gate.set(verdict[0] == GOOD)
        self.optimizer.apply_gradients(
            zip(gradients, self.variables, strict=True), skip_gradients_aggregation=True
        )
        refresh_compute_weights(self.model)
        return tf.concat([sums, norm[None], verdict], axis=0)

    def _accumulate(self, features: dict[str, tf.Tensor]) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Of a replica's part of the batch: gradients of the summed loss, and the sums."""
        batch_size = features["input_word_ids"].shape[0]
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        return accumulate(
            self._gradients,
            {**features, "example": replica * batch_size + tf.range(batch_size)},
            micro_batch_size=self._train.micro_batch_size,
            zeros=([tf.zeros(variable.shape) for variable in self.variables], tf.zeros([3])),
        )

    def _gradients(self, features: dict[str, tf.Tensor]) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Of the summed loss, and the sums; `example` [B] are places in the global batch."""
        with tf.GradientTape() as tape:
            dropout = Dropout(
                seed=self._train.seed, step=self.optimizer.iterations, example_B=features["example"]
            )
            sums = self.model.sums(features, dropout=dropout)
        gradients = tape.gradient(sums[0], self.variables)
        return [tf.convert_to_tensor(gradient) for gradient in gradients], tf.stack(sums)

    def _eval_outputs(self, features: dict[str, tf.Tensor]) -> tf.Tensor:
        """Of each example of the global batch, [N, ...]; 0 for other replicas'."""
        rows = self.model.eval_outputs(features)
        replica = tf.distribute.get_replica_context()
        is_mine_R = tf.one_hot(
            replica.replica_id_in_sync_group, replica.num_replicas_in_sync, True, False
        )
        is_mine = tf.reshape(is_mine_R, [-1] + [1] * rows.shape.rank)
        return tf.reshape(tf.where(is_mine, rows, 0.0), [-1, *rows.shape[1:]])


def is_multi_worker(strategy: tf.distribute.Strategy) -> bool:
    """Whether a strategy is one of several processes."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def _verdict(step: int, row: np.ndarray) -> Verdict:
    loss_sum, _, weight_sum, norm, kind, recent = row.tolist()
    loss = loss_sum / weight_sum if weight_sum else math.nan
    return Verdict(step=step, loss=loss, grad_norm=norm, kind=int(kind), recent=int(recent))


def _compiles(setting: str) -> bool:
    """Whether forward and backward pass are compiled by XLA; see TrainConfig.jit_compile."""
    return setting == "on" or (setting == "auto" and bool(tf.config.list_logical_devices("GPU")))
