"""The loop of a run: updates on the devices, and what the host does between them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Protocol

from pretrain.checkpoints.checkpoint import Checkpoints
from pretrain.train.bad_steps import BadStepLog, refuse_too_many
from pretrain.train.config import TrainConfig
from pretrain.train.metrics import Window
from pretrain.train.preemption import Preempted, PreemptionNotice
from pretrain.train.trainer import Trainer

Evaluation = Callable[[], tuple[dict[str, float], str]]
Watch = Callable[[int, dict], None]


class Host(Protocol):
    """What a kind of run brings to the loop."""

    def reraise_reader_errors(self) -> contextlib.AbstractContextManager:
        """Around updates: turns errors of the input into those of its reader."""

    def check_data(self) -> None:
        """Before a checkpoint is saved: raises a UserError if the data are no longer the run's."""

    def training_row(self, window: Window) -> dict:
        """A row of metrics.jsonl for the steps of a window."""


class Loop:
    """Trains from one step to the last of a run."""

    def __init__(
        self,
        host: Host,
        *,
        train: TrainConfig,
        trainer: Trainer,
        checkpoints: Checkpoints,
        bad_steps: BadStepLog,
        progress,
        model_dir: str,
        is_chief: bool,
    ):
        """Takes the parts together.

        Args:
          host: what differs between kinds of runs.
          train: the settings; `train_steps` is the last step.
          trainer: makes the updates.
          checkpoints: saves them.
          bad_steps: the log of steps that were passed over.
          progress: a `pretrain.train.progress.Progress`.
          model_dir: of the run.
          is_chief: this worker speaks and writes.
        """
        self._host, self._train, self._trainer = host, train, trainer
        self._checkpoints, self._bad_steps, self._progress = checkpoints, bad_steps, progress
        self._model_dir, self._is_chief = model_dir, is_chief

    def run(
        self,
        iterator: Iterator,
        *,
        start_step: int,
        window: Window,
        notice: PreemptionNotice,
        evaluation: Evaluation | None,
        watch: Watch | None = None,
    ) -> None:
        """Trains to the last step.

        Args:
          iterator: over distributed batches, from that of `start_step` on.
          start_step: updates made so far.
          window: means since the last row.
          notice: whether the machine will be taken away.
          evaluation: gives a row and lines for people, at every eval_interval and at the end; None
            never evaluates.
          watch: is told of each row of metrics, after it is written, and may raise to end the run.

        Raises:
          Preempted: the machine is needed for something else; all is saved.
          UserError: too many bad steps, or a save that failed.
        """
        train, step = self._train, start_step
        window.restart_clock()
        while step < train.train_steps:
            num_steps = self._steps_until_next_event(step)
            with self._host.reraise_reader_errors():
                metrics = self._trainer.train(iterator, num_steps)
            window.add(metrics)
            step += num_steps
            self._check_bad_steps(metrics.bad_steps)
            at_end = step == train.train_steps
            if window.has_steps and (at_end or step % train.log_interval == 0):
                row = self._host.training_row(window)
                self._progress.training_row(step, row)
                window = Window()
                if watch is not None:
                    watch(step, row)
            stops = not at_end and self._trainer.any_worker(notice.reason is not None)
            evaluates = evaluation is not None and is_evaluation_due(train, step)
            # What is evaluated is saved: it may be the best.
            if any((at_end, stops, evaluates, _is_due(step, train.checkpoint_interval))):
                self._host.check_data()
                self._checkpoints.save(step, {"window": window.to_json()})
            if stops:
                self._checkpoints.wait()
                raise Preempted(step, notice.reason)
            if evaluates:
                self._progress.evaluation_row(step, *evaluation())
            window.restart_clock()
        self._checkpoints.wait()

    def _steps_until_next_event(self, step: int) -> int:
        train = self._train
        intervals = (train.log_interval, train.eval_interval, train.checkpoint_interval)
        distances = [interval - step % interval for interval in intervals if interval]
        return min(*distances, train.steps_per_loop, train.train_steps - step)

    def _check_bad_steps(self, found) -> None:
        if self._is_chief:
            self._bad_steps.add(found)
            for verdict in found:
                print(f"training: {verdict}", flush=True)
        refuse_too_many(found, most=self._train.max_bad_steps, model_dir=self._model_dir)


def is_evaluation_due(train: TrainConfig, step: int) -> bool:
    """Whether a run evaluates after a step."""
    return step == train.train_steps or _is_due(step, train.eval_interval)


def _is_due(step: int, interval: int) -> bool:
    return interval > 0 and step % interval == 0
