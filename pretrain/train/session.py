"""Open the model directory of a run: lock it, restore the newest checkpoint, record metrics."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from data.errors import UserError
from pretrain.checkpoints import catalog, checkpoint
from pretrain.checkpoints.best import LEAST_LOSS, Criterion
from pretrain.checkpoints.model_dir import Run, check_model_dir, identity, locked, record_run
from pretrain.train.bad_steps import BadStepLog
from pretrain.train.loop import Hook, is_evaluation_due
from pretrain.train.metrics import MetricAccumulator
from pretrain.train.metrics_log import read_metrics
from pretrain.train.progress import Progress, WandB
from pretrain.train.trainer import Trainer


class Session:
    """A context in which the model directory is locked and the newest checkpoint is restored.

    Attributes, once the context is entered:
      start_step: number of updates so far.
      checkpoints: where checkpoints are saved.
      accumulator: metrics of the steps since the last row, as the checkpoint had them.
    """

    start_step: int
    checkpoints: checkpoint.Checkpoints
    accumulator: MetricAccumulator

    def __init__(
        self,
        run: Run,
        *,
        model_dir: str,
        trainer: Trainer,
        is_chief: bool,
        vocab_text: str,
        data: dict[str, Any],
        write_report: Callable[[str], None],
        record: bool = True,
        discard_checkpoints: bool = False,
        criterion: Criterion = LEAST_LOSS,
    ):
        """Store the arguments; nothing is read or written yet.

        Args:
          run: settings and data of the run.
          model_dir: a new directory, or the directory of the same run.
          trainer: holds all state of the run.
          is_chief: whether this worker writes.
          vocab_text: content of the vocabulary file.
          data: summary of the data, see `record_run`.
          write_report: writes the report page of a model directory.
          record: whether the run may write into the directory; False to evaluate a finished run.
          discard_checkpoints: whether to remove existing checkpoints and start at step 0.
          criterion: what makes an evaluation the best.
        """
        self._run, self._settings = run, run.config.train
        self._model_dir, self._trainer, self._is_chief = model_dir, trainer, is_chief
        self._vocab_text, self._data = vocab_text, data
        self._record, self._discard = record, discard_checkpoints
        self._criterion, self._write_report = criterion, write_report

    def __enter__(self) -> Session:
        """Lock the directory and restore the newest checkpoint.

        Raises:
          UserError: the directory is in use or belongs to another run, or it has checkpoints and
            none of them can be restored.
        """
        writes = self._record and self._is_chief
        with contextlib.ExitStack() as stack:
            if writes:
                stack.enter_context(locked(self._model_dir))
                if self._discard:
                    catalog.discard(self._model_dir)
            if writes or not self._discard:
                check_model_dir(self._model_dir, self._run)
            if writes:
                record_run(self._model_dir, self._run, vocab_text=self._vocab_text, data=self._data)
            self.checkpoints = checkpoint.Checkpoints(
                self._model_dir,
                items=self._trainer.checkpoint_items,
                run=identity(self._run),
                keep=self._settings.keep_checkpoints,
                keep_every=self._settings.keep_every,
                is_chief=self._is_chief,
            )
            restored = None if self._discard else self.checkpoints.restore_newest()
            self.start_step = restored.step if restored else 0
            self._trainer.require_same_step()
            if writes:  # once every worker has read what it needs
                catalog.set_aside_after(self._model_dir, self.start_step)
                catalog.remove_unfinished(self._model_dir)
            self.accumulator = MetricAccumulator(restored.notes.get("window") if restored else None)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        """Finish the pending save and release the directory."""
        with self._stack, contextlib.suppress(UserError):  # do not hide what ended the run
            self.checkpoints.wait()

    @property
    def is_trained(self) -> bool:
        """Whether all updates of the run are done."""
        return self.start_step >= self._settings.train_steps

    @property
    def misses_evaluation(self) -> bool:
        """Whether the run was stopped after it saved `start_step` and before it evaluated it."""
        step = self.start_step
        if not step or not (self.is_trained or is_evaluation_due(self._settings, step)):
            return False
        rows = read_metrics(self._model_dir)
        return not any(row["step"] == step and self._criterion.metric in row for row in rows)

    @contextlib.contextmanager
    def recorder(self) -> Iterator[list[Hook]]:
        """Yield the hooks that record metrics: one on the chief, none on other workers."""
        if not self._is_chief:
            yield []
            return
        project = self._settings.wandb_project
        progress = Progress(
            self._model_dir,
            start_step=self.start_step,
            train_steps=self._settings.train_steps,
            write_report=self._write_report,
            wandb=WandB(project, self._model_dir, self._run.config) if project else None,
            criterion=self._criterion,
        )
        with contextlib.closing(progress):
            yield [progress]

    def bad_step_log(self, *, num_sequences: int) -> BadStepLog:
        """Open the log of skipped steps; steps after `start_step` are dropped from it.

        Args:
          num_sequences: sequences in the training split.
        """
        log = BadStepLog(
            self._model_dir,
            max_bad_steps=self._settings.max_bad_steps,
            seed=self._settings.seed,
            global_batch_size=self._settings.global_batch_size,
            num_sequences=num_sequences,
            is_chief=self._is_chief,
        )
        log.drop_after(self.start_step)
        return log
