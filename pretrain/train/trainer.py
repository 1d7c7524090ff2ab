"""One update, the loop of updates on the devices, and evaluation.

The loss of a batch is a sum over its predictions, divided once by the number of predictions in the
whole global batch. So the gradient does not depend on how the batch is divided among replicas and
micro-batches. Neither does dropout: its masks are a function of the seed, the step and the position
of an example in the global batch.

Legend: B sequences per replica, N examples of all replicas, R replicas.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from data.errors import UserError
from launch.strategy import Workers, remote_hosts
from model.compute_weights import compute_weights, refresh_compute_weights
from model.dropout import Dropout
from model.tracing import compiled
from optim.accumulate import accumulate
from optim.build import build_optimizer, build_schedule
from optim.collectives import Collectives, collectives_of
from optim.config import OptimizerConfig
from pretrain.checkpoints.broadcast import created_once
from pretrain.train.bad_steps import GOOD, BadStep, BadSteps, RuinedWeights
from pretrain.train.config import TrainConfig

COMPUTE_TYPES = {"float32": tf.float32, "mixed_bfloat16": tf.bfloat16}
# Weights of a working model are below 100; in a run that diverges they grow without limit.
MAX_WEIGHT = 1e6
# What `Trainer.update` returns: sums of loss, correct predictions and weight; gradient norm; kind of
# step; recent bad steps.
_NUM_COLUMNS, _KIND = 6, 4


class Model(Protocol):
    """Interface of a trainable model. Features are tensors [B, ...]; one of them is `input_word_ids`."""

    trainable_variables: Sequence[tf.Variable]
    checkpoint_items: dict[str, tf.Module]

    def sums(
        self, features: dict[str, tf.Tensor], *, dropout: Dropout | None
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return loss, correct predictions and number of predictions, summed: float32 scalars."""

    def eval_outputs(self, features: dict[str, tf.Tensor]) -> tf.Tensor:
        """Return what evaluation needs of each example, without dropout: float32 [B, ...]."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoopMetrics:
    """Sums over the good steps of one loop on the devices. Means are NaN if there is none.

    Attributes:
      loss_sum: loss in nats, over all predictions.
      correct_sum: correct predictions.
      weight_sum: predictions.
      grad_norm_sum: global gradient norms, over the steps.
      good_steps: number of good steps.
      bad_steps: steps that were skipped.
      input_wait_seconds: time waited for input, over all steps.
    """

    loss_sum: float
    correct_sum: float
    weight_sum: float
    grad_norm_sum: float
    good_steps: int
    bad_steps: tuple[BadStep, ...]
    input_wait_seconds: float

    @property
    def loss(self) -> float:
        """Mean loss per prediction."""
        return self.loss_sum / self.weight_sum if self.good_steps else math.nan

    @property
    def mlm_accuracy(self) -> float:
        """Fraction of correct predictions."""
        return self.correct_sum / self.weight_sum if self.good_steps else math.nan

    @property
    def grad_norm(self) -> float:
        """Mean gradient norm per step."""
        return self.grad_norm_sum / self.good_steps if self.good_steps else math.nan


class Trainer:
    """Model, optimizer and the compiled functions that run them under a strategy."""

    def __init__(
        self,
        build_model: Callable[[], Model],
        *,
        train: TrainConfig,
        optimizer: OptimizerConfig,
        strategy: tf.distribute.Strategy,
        collectives: Collectives | None = None,
    ):
        """Build the model and the optimizer.

        Args:
          build_model: builds the model; called once, in the scope of the strategy.
          train: checked settings.
          optimizer: checked settings.
          strategy: the devices.
          collectives: connects the replicas; None takes those of the strategy.
        """
        self._train, self._optimizer_config, self.strategy = train, optimizer, strategy
        self.workers = Workers(strategy)
        if optimizer.shard and self.workers.are_several:
            raise UserError(
                "OptimizerConfig.shard=True needs a single process that drives all devices, and"
                " ClusterConfig.strategy='multi_worker' has one for each worker; set shard to False"
            )
        self._collectives = collectives or collectives_of(strategy)
        clips = bool(optimizer.effective_clip_norm)
        self._schedule = build_schedule(optimizer, train.train_steps)
        with created_once(strategy):
            self.model = build_model()
            self.variables = list(self.model.trainable_variables)
            copies = {copy.master.name: copy for copy in compute_weights(self.model)}
            # With loops of one update, to join parts of weights after each would cost more than it saves.
            exchanged = copies if train.steps_per_loop > 1 else {}
            self.optimizer = build_optimizer(
                optimizer,
                self._schedule,
                collectives=self._collectives,
                copies={name: copy.variable for name, copy in exchanged.items()},
            )
            self.optimizer.build(self.variables)
            self.bad_steps = BadSteps(threshold=train.spike_threshold, judges_norms=not clips)
        written = self.optimizer.divided_weights  # copies that the optimizer itself writes
        self._copies_to_cast = [copy for name, copy in copies.items() if name not in written]
        self._has_fresh_compute_weights = False
        self._compute_gradients, self._apply = self._accumulate, self._apply_sums
        if _compiles_with_xla(train.jit_compile):
            # Not `update`: a program of XLA reaches one device only, and sums are on all of them.
            self._compute_gradients = compiled(self._accumulate)
            if not self.optimizer.needs_other_replicas:
                self._apply = compiled(self._apply_sums)

    @property
    def checkpoint_items(self) -> dict[str, Any]:
        """All state of the run, by name."""
        return {
            **self.model.checkpoint_items,
            "optimizer": self.optimizer,
            "bad_steps": self.bad_steps,
        }

    @property
    def step(self) -> int:
        """Number of updates so far."""
        return int(self.optimizer.iterations.numpy())

    @property
    def learning_rate(self) -> float:
        """Learning rate of the last update."""
        return float(self._schedule(max(self.step - 1, 0)))

    def trust_ratios(self) -> dict[str, float]:
        """Return the trust ratios of the last update by variable; none for AdamW."""
        ratios = getattr(self.optimizer, "trust_ratios", {})
        if not ratios:
            return {}
        # In one transfer: there are hundreds, and each would cost a round trip to the device.
        values = tf.stack([tf.convert_to_tensor(ratio) for ratio in ratios.values()]).numpy()
        names = (name.partition(":")[0] for name in ratios)
        return dict(zip(names, values.tolist(), strict=True))

    def weights_problem(self) -> str | None:
        """Return which weight is NaN, infinite or above MAX_WEIGHT; None if there is none."""
        largest = self._largest_weights().numpy()
        worst = int(largest.argmax())
        if largest[worst] <= MAX_WEIGHT:
            return None
        name = self.variables[worst].name.partition(":")[0]
        if math.isfinite(largest[worst]):
            return f"{name} has values up to {largest[worst]:.2g}"
        return f"{name} has NaN or infinite values"

    def require_usable_weights(self) -> None:
        """Raise RuinedWeights if the weights must not replace those of an earlier checkpoint."""
        if problem := self.weights_problem():
            raise RuinedWeights(
                f"the weights are ruined after step {self.step:,}: {problem}; they are not saved, and"
                " earlier checkpoints are kept. Start a new run with a lower"
                " OptimizerConfig.peak_learning_rate or more OptimizerConfig.warmup_steps"
            )

    @tf.function
    def _largest_weights(self) -> tf.Tensor:
        """Return the largest absolute value of each variable; infinity if one is not finite."""

        def largest(variable: tf.Variable) -> tf.Tensor:
            values = tf.cast(tf.convert_to_tensor(variable), tf.float32)
            is_finite = tf.reduce_all(tf.math.is_finite(values))
            return tf.where(is_finite, tf.reduce_max(tf.abs(values)), math.inf)

        values = self.strategy.run(lambda: tf.stack([largest(v) for v in self.variables]))
        return self.strategy.experimental_local_results(values)[0]

    def train(self, iterator: Iterator[Any], num_steps: int) -> LoopMetrics:
        """Run updates without returning to Python between them.

        Args:
          iterator: distributed batches; one element is the batch of one replica.
          num_steps: number of updates.
        """
        if not self._has_fresh_compute_weights:
            self._refresh_compute_weights()
        first_step = self.step + 1
        rows, wait_seconds = self._train_steps(iterator, tf.constant(num_steps))
        rows = rows.numpy().astype(np.float64)
        is_good = rows[:, _KIND] == GOOD
        loss_sum, correct_sum, weight_sum, grad_norm_sum = rows[is_good, :_KIND].sum(axis=0)
        return LoopMetrics(
            loss_sum=float(loss_sum),
            correct_sum=float(correct_sum),
            weight_sum=float(weight_sum),
            grad_norm_sum=float(grad_norm_sum),
            good_steps=int(is_good.sum()),
            bad_steps=tuple(
                _bad_step(first_step + int(i), rows[i]) for i in np.flatnonzero(~is_good)
            ),
            input_wait_seconds=float(wait_seconds.numpy()),
        )

    def evaluate(self, iterator: Iterator[Any], num_steps: int) -> np.ndarray:
        """Evaluate without dropout.

        Args:
          iterator: distributed batches; one element is the batch of one replica.
          num_steps: number of global batches.

        Returns:
          The model's `eval_outputs` for each example of the steps, in order: float32 [N, ...].
        """
        self._refresh_compute_weights()
        return self._eval_steps(iterator, tf.constant(num_steps)).numpy()

    @tf.function
    def _train_steps(
        self, iterator: Iterator[Any], num_steps: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Run `update` num_steps times; return its rows, and the seconds waited for input."""
        rows = tf.TensorArray(tf.float32, size=num_steps, element_shape=[_NUM_COLUMNS])
        waited = tf.constant(0.0, tf.float64)
        # On a slice, the clock watches the first replica only: others would cost the host work for each.
        is_slice = bool(remote_hosts(self.strategy))
        num_watched = 1 if is_slice else None
        if self.optimizer.divided_weights:  # whole again afterwards, so nothing else knows of them
            self.strategy.run(self.optimizer.divide_weights)
        for i in tf.range(num_steps):
            started = tf.timestamp()
            with tf.control_dependencies([started]):
                features = next(iterator)
            values = map(self.strategy.experimental_local_results, tf.nest.flatten(features))
            with tf.control_dependencies(
                [each for value in values for each in value[:num_watched]]
            ):
                now = tf.timestamp()
            waited += now - started
            if is_slice:
                row = self.strategy.run(self.update, (features,))
            else:
                row = self.strategy.run(self._update_after, (tf.cast(now, tf.float32), features))
            # All replicas return the same global sums.
            rows = rows.write(i, self.strategy.experimental_local_results(row)[0])
        if self.optimizer.divided_weights:
            self.strategy.run(self.optimizer.join_weights)
        return rows.stack(), waited

    def _update_after(self, clock: tf.Tensor, features: dict[str, tf.Tensor]) -> tf.Tensor:
        """Call `update` once the clock is read; on few cores it would be read after the update."""
        with tf.control_dependencies([clock]):
            features = tf.nest.map_structure(tf.identity, features)
        return self.update(features)

    def update(self, features: dict[str, tf.Tensor]) -> tf.Tensor:
        """Make one update from this replica's part of the batch; skip it if the step is bad.

        Runs in replica context, between the optimizer's `divide_weights` and `join_weights`.

        Args:
          features: tensors [B, ...].

        Returns:
          float32 [6]: sums of loss, correct predictions and weight over the global batch, the
          gradient norm before clipping, and what `BadSteps.classify` returns.
        """
        gradients, sums = self._compute_gradients(features)
        gradients, sums = self._collectives.sum((gradients, sums))
        row = self._apply(gradients, sums)
        self.optimizer.count_step()
        return row

    def _apply_sums(self, gradients: list[tf.Tensor], sums: tf.Tensor) -> tf.Tensor:
        """Update this replica's variables, and cast its weights again; return the row of `update`.

        Args:
          gradients: gradients of the summed loss, over the global batch.
          sums: loss, correct predictions and weight over the global batch, float32 [3].
        """
        gradients = self.optimizer.parts(gradients)
        # One factor for the division by the number of predictions and for clipping: every pass over
        # the gradient of a large model costs time.
        scale = 1 / sums[2]
        norm = self.optimizer.global_norm(gradients) * scale
        if self._optimizer_config.clip_norm:
            scale *= tf.minimum(1.0, self._optimizer_config.clip_norm / norm)
        gradients = [gradient * scale for gradient in gradients]
        kind_and_recent = self.bad_steps.classify(
            self.optimizer.iterations, sums[0] / sums[2], norm
        )
        self.optimizer.gate.set(kind_and_recent[0] == GOOD)
        self.optimizer.update_variables(gradients, self.variables)
        for copy in self._copies_to_cast:
            copy.refresh()
        return tf.concat([sums, norm[None], kind_and_recent], axis=0)

    def _accumulate(self, features: dict[str, tf.Tensor]) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Return gradients and metric sums of this replica's batch, micro-batch by micro-batch."""
        batch_size = features["input_word_ids"].shape[0]
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        return accumulate(
            self._gradients,
            {**features, "example": replica * batch_size + tf.range(batch_size)},
            micro_batch_size=self._train.micro_batch_size,
            zeros=([tf.zeros(variable.shape) for variable in self.variables], tf.zeros([3])),
        )

    def _gradients(self, features: dict[str, tf.Tensor]) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Return gradients of the summed loss, and metric sums, of one micro-batch.

        Args:
          features: tensors [micro-batch, ...]; `example` holds positions in the global batch.
        """
        with tf.GradientTape() as tape:
            dropout = Dropout(
                seed=self._train.seed, step=self.optimizer.iterations, example_B=features["example"]
            )
            sums = self.model.sums(features, dropout=dropout)
        gradients = tape.gradient(sums[0], self.variables)
        unused = [v.name for v, g in zip(self.variables, gradients, strict=True) if g is None]
        if unused:
            raise ValueError(f"the loss does not depend on {', '.join(unused)}")
        return [tf.convert_to_tensor(gradient) for gradient in gradients], tf.stack(sums)

    @tf.function
    def _eval_steps(self, iterator: Iterator[Any], num_steps: tf.Tensor) -> tf.Tensor:
        """Return the outputs of num_steps global batches, one after the other."""
        steps = tf.TensorArray(tf.float32, num_steps)
        for step in tf.range(num_steps):
            outputs = self.strategy.run(self._eval_outputs, (next(iterator),))
            # Each replica fills in the rows of its own examples.
            outputs = self.strategy.reduce(tf.distribute.ReduceOp.SUM, outputs, axis=None)
            steps = steps.write(step, outputs)
        return steps.concat()

    def _eval_outputs(self, features: dict[str, tf.Tensor]) -> tf.Tensor:
        """Return outputs for the examples of all replicas, [N, ...]; 0 for those of the others."""
        outputs = self.model.eval_outputs(features)
        replica = tf.distribute.get_replica_context()
        is_mine_R = tf.one_hot(
            replica.replica_id_in_sync_group, replica.num_replicas_in_sync, True, False
        )
        is_mine = tf.reshape(is_mine_R, [-1] + [1] * outputs.shape.rank)
        return tf.reshape(tf.where(is_mine, outputs, 0.0), [-1, *outputs.shape[1:]])

    def _refresh_compute_weights(self) -> None:
        """Cast the weights again, which a restored checkpoint or an import has set, and not an update."""
        self._refresh_on_replicas()
        self._has_fresh_compute_weights = True

    @tf.function
    def _refresh_on_replicas(self) -> None:
        self.strategy.run(lambda: refresh_compute_weights(self.model))


def _bad_step(step: int, row: np.ndarray) -> BadStep:
    loss_sum, _, weight_sum, norm, kind, recent = row.tolist()
    loss = loss_sum / weight_sum if weight_sum else math.nan
    return BadStep(step=step, loss=loss, grad_norm=norm, kind=int(kind), recent=int(recent))


def _compiles_with_xla(jit_compile: str) -> bool:
    """Return whether XLA compiles the forward and backward pass; see TrainConfig.jit_compile."""
    if jit_compile == "auto":
        return bool(tf.config.list_logical_devices("GPU"))
    return jit_compile == "on"
