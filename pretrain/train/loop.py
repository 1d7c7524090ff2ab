"""The training loop: updates on the devices, and everything the host does between them.

`pretrain/experiment.py` and `finetune/seed_run.py` call `fit`; `Trainer.update` in
`pretrain/train/trainer.py` is one update.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from pretrain.checkpoints.checkpoint import Checkpoints
from pretrain.train.bad_steps import BadStepLog
from pretrain.train.config import TrainConfig
from pretrain.train.exits import explain_out_of_memory
from pretrain.train.metrics import MetricAccumulator, Workload, training_row
from pretrain.train.preemption import LoopLength, Preempted, PreemptionNotice
from pretrain.train.trainer import Trainer

# Returns a row of metrics.jsonl, and the same metrics as lines for the terminal.
Evaluate = Callable[[], tuple[dict[str, float], str]]
# Input function of each host, for `distribute_datasets_from_function`.
Batches = Callable[[tf.distribute.InputContext], tf.data.Dataset]


class Hook:
    """Code that runs between updates. Subclasses override the methods they need.

    Hooks run on every worker, in the order in which `fit` gets them. An exception ends the run;
    checkpoints saved before it stay.
    """

    def after_loop(self, step: int) -> None:
        """Note that the devices have returned to Python after an update; `after_row` may follow."""

    def after_row(self, step: int, row: dict[str, Any]) -> None:
        """Handle a row of training metrics, which covers the steps since the last row."""

    def before_save(self, step: int) -> None:
        """Check a condition before a checkpoint is saved; raise to prevent the save."""

    def after_evaluation(self, step: int, row: dict[str, Any], text: str) -> None:
        """Handle the metrics of an evaluation, as a row and as lines for the terminal."""


def fit(
    trainer: Trainer,
    batches: Batches,
    *,
    settings: TrainConfig,
    start_step: int,
    accumulator: MetricAccumulator,
    workload: Workload,
    checkpoints: Checkpoints,
    bad_steps: BadStepLog,
    stop: PreemptionNotice,
    evaluate: Evaluate | None = None,
    evaluate_first: bool = False,
    reraise_reader_errors: Callable[
        [], contextlib.AbstractContextManager[None]
    ] = contextlib.nullcontext,
    hooks: Sequence[Hook] = (),
) -> None:
    """Train from `start_step` to `settings.train_steps`.

    Args:
      trainer: model, optimizer and the compiled functions that update them.
      batches: input from `start_step` on; one element is the batch of one replica.
      settings: length of the run, and the intervals of everything below.
      start_step: number of updates so far.
      accumulator: metrics of the steps since the last row, empty or restored from a checkpoint.
      workload: size of an update, for rates such as tokens per second.
      checkpoints: where checkpoints are saved.
      bad_steps: log of skipped steps.
      stop: notice to stop, checked after every loop on the devices.
      evaluate: evaluation at every `eval_interval` and at the end; None never evaluates.
      evaluate_first: evaluate `start_step` too: the run was stopped after it saved that step and
        before it evaluated it.
      reraise_reader_errors: context in which the reader's own errors replace TensorFlow's.
      hooks: called between updates.

    Raises:
      Preempted: the machine is about to be taken away, or Ctrl-C; everything is saved.
      UserError: too many bad steps, a save failed, or the data is damaged. A save that fails in the
        background ends the run after the loop on the devices in which it fails.
    """
    step = start_step
    if evaluate is not None and evaluate_first:
        _evaluate(evaluate, step, settings, checkpoints, hooks)
    if step >= settings.train_steps:
        return
    iterator = iter(trainer.strategy.distribute_datasets_from_function(batches))
    loop_length = LoopLength(settings.steps_per_loop)
    accumulator.restart_clock()
    while step < settings.train_steps:
        # Updates run on the devices, up to the next step after which the host has something to do.
        num_steps = min(_steps_until_next_event(settings, step), loop_length.num_steps)
        started = time.monotonic()
        with reraise_reader_errors(), explain_out_of_memory(_less_memory(settings)):
            metrics = trainer.train(iterator, num_steps)
        accumulator.add(metrics)
        seconds = time.monotonic() - started
        step += num_steps
        is_last = step == settings.train_steps
        for hook in hooks:
            hook.after_loop(step)

        # A full disk is reported as soon as the thread that saves has met it.
        checkpoints.raise_failure()

        # The devices skipped bad steps. Log them; too many end the run.
        bad_steps.record(metrics.bad_steps, trainer.weights_problem)

        # Metrics: one row for all steps since the last row. After bad steps only, there is none.
        if accumulator.has_steps and (is_last or _is_due(step, settings.log_interval)):
            row = training_row(accumulator, trainer, workload)
            accumulator = MetricAccumulator()
            for hook in hooks:
                hook.after_row(step, row)

        # Preemption: the workers agree, because all of them must stop at the same step.
        is_preempted = False
        if not is_last:
            stopping, seconds = trainer.workers.means(stop.reason is not None, seconds)
            is_preempted = stopping > 0
            loop_length.measure(num_steps, seconds)

        # Checkpoint. Every evaluated step is saved, since it may turn out to be the best.
        is_evaluated = evaluate is not None and is_evaluation_due(settings, step)
        is_interval = _is_due(step, settings.checkpoint_interval)
        if is_last or is_preempted or is_evaluated or is_interval:
            trainer.require_usable_weights()
            for hook in hooks:
                hook.before_save(step)
            checkpoints.save(
                step,
                {"window": accumulator.to_json()},
                first_bad_step=bad_steps.first_recent(step),
                is_urgent=is_preempted,
            )
        if is_preempted:
            _finish(trainer, checkpoints, step)
            raise Preempted(step, stop.reason)

        if evaluate is not None and is_evaluated:
            _evaluate(evaluate, step, settings, checkpoints, hooks)
        accumulator.restart_clock()
    _finish(trainer, checkpoints, step)


def is_evaluation_due(settings: TrainConfig, step: int) -> bool:
    """Return whether a run evaluates after a step."""
    return step == settings.train_steps or _is_due(step, settings.eval_interval)


def _finish(trainer: Trainer, checkpoints: Checkpoints, step: int) -> None:
    """Wait for the last save; no worker goes on to report success before the chief has committed."""
    checkpoints.finish(step)
    trainer.workers.any(False)


def _evaluate(
    evaluate: Evaluate,
    step: int,
    settings: TrainConfig,
    checkpoints: Checkpoints,
    hooks: Sequence[Hook],
) -> None:
    with explain_out_of_memory(f"lower TrainConfig.eval_batch_size={settings.eval_batch_size}"):
        row, text = evaluate()
    checkpoints.wait()  # an evaluation that is on record has its checkpoint
    for hook in hooks:
        hook.after_evaluation(step, row, text)


def _less_memory(settings: TrainConfig) -> str:
    """Return which settings of a step to change if it needs too much memory."""
    return (
        f"lower TrainConfig.micro_batch_size={settings.micro_batch_size} (0 is the whole batch of a"
        " device), or set TrainConfig.rematerialize_blocks = True or TrainConfig.logits_chunk_size = 512"
    )


def _steps_until_next_event(settings: TrainConfig, step: int) -> int:
    """Return how many updates to run on the devices before the host has something to do."""
    intervals = (settings.log_interval, settings.eval_interval, settings.checkpoint_interval)
    distances = [interval - step % interval for interval in intervals if interval]
    return min(*distances, settings.train_steps - step)


def _is_due(step: int, interval: int) -> bool:
    return interval > 0 and step % interval == 0
