"""Open the model directory of a run: lock it, restore the newest checkpoint, record metrics."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from data import files
from data.errors import UserError
from launch.config import DISCARD_FLAG
from pretrain.checkpoints import catalog, checkpoint
from pretrain.checkpoints.best import BEST_FILE, LEAST_LOSS, Criterion, best_step
from pretrain.checkpoints.model_dir import (
    RUN_FILE,
    Presence,
    Run,
    check_model_dir,
    identity,
    load_run,
    locked,
    record_run,
)
from pretrain.train.bad_steps import BadStepLog
from pretrain.train.loop import Hook, is_evaluation_due
from pretrain.train.metrics import MetricAccumulator, read_notes
from pretrain.train.metrics_log import METRICS_FILE, read_metrics
from pretrain.train.progress import Progress, WandB
from pretrain.train.trainer import Trainer


class Session:
    """A context in which the model directory is locked and the newest checkpoint is restored.

    Attributes, once the context is entered:
      start_step: number of updates so far.
      checkpoints: where checkpoints are saved.
      accumulator: metrics of the steps since the last row, as the checkpoint had them.
      presence: check that the directory is still there.
    """

    start_step: int
    presence: Presence
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
          UserError: the directory is in use or belongs to another run, or it has or had checkpoints
            and none of them can be restored. Nothing in the directory has been changed then.
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
                best_step(self._model_dir)  # a damaged record would stop the first save
            self.checkpoints = checkpoint.Checkpoints(
                self._model_dir,
                items=self._trainer.checkpoint_items,
                run=identity(self._run),
                keep=self._settings.keep_checkpoints,
                keep_every=self._settings.keep_every,
                is_chief=self._is_chief,
                read_notes=read_notes,
                before_commit=self._before_commit,
            )
            restored = None if self._discard else self.checkpoints.restore_newest()
            if restored is None and not self._discard:
                _require_untrained(self._model_dir, type(self._run.config))
            self.start_step = restored.step if restored else 0
            self._trainer.workers.require_same_step(self._trainer.step)
            if writes:  # once every worker has read what it needs
                catalog.retire_after(self._model_dir, self.start_step)
                catalog.remove_unfinished(self._model_dir)
                record_run(self._model_dir, self._run, vocab_text=self._vocab_text, data=self._data)
            self.presence = Presence(self._model_dir)
            self.accumulator = MetricAccumulator(restored.notes.get("window") if restored else None)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: Any) -> None:
        """Finish the pending save and release the directory.

        Raises:
          UserError: the directory was moved or removed during a run that has written into it.
        """
        with self._stack:
            # Do not hide what ended the run.
            with contextlib.suppress(UserError, tf.errors.UnavailableError):
                self.checkpoints.wait()
            if self._record and self._is_chief and exception[0] is None:
                self.presence.require()

    def _before_commit(self) -> None:
        """Flush the rows of metrics that a checkpoint relies on, in the thread that writes it."""
        self.presence.require()
        path = files.join(self._model_dir, METRICS_FILE)
        if files.exists(path):
            files.flush(path)

    @property
    def is_trained(self) -> bool:
        """Whether all updates of the run are done."""
        return self.start_step >= self._settings.train_steps

    @functools.cached_property
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
            last_row=self.start_step - self.accumulator.num_steps,
            write_report=self._write_report,
            wandb=WandB(project, self._model_dir, self._run.config) if project else None,
            criterion=self._criterion,
            presence=self.presence,
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


def _require_untrained(model_dir: str, kind: type) -> None:
    """Raise a UserError if a directory without checkpoints had some once."""
    proof = _proof_of_a_checkpoint(model_dir, kind)
    if proof:
        raise UserError(
            f"{model_dir} has no checkpoint, but {proof}, so it had one; bring"
            f" {files.join(model_dir, 'checkpoints')} back, choose another --model_dir, or start again"
            f" from step 0 with {DISCARD_FLAG}"
        )


def _proof_of_a_checkpoint(model_dir: str, kind: type) -> str | None:
    """Return what shows that a checkpoint was once committed.

    Rows of training metrics alone do not: a run may be killed before its first checkpoint. But at the
    second checkpoint the first is complete, and evaluations are recorded after their checkpoint.
    """
    for name in (catalog.SAVED_FILE, BEST_FILE):
        if files.exists(files.join(model_dir, name)):
            return f"{name} names one"
    rows = read_metrics(model_dir)
    evaluated = [row["step"] for row in rows if any(name.startswith("eval_") for name in row)]
    if evaluated:
        return f"{METRICS_FILE} has an evaluation of step {evaluated[-1]:,}"
    last = max((row["step"] for row in rows), default=0)
    if last and files.exists(files.join(model_dir, RUN_FILE)):
        interval = load_run(model_dir, kind).config.train.checkpoint_interval
        if interval and last > 2 * interval:
            return f"{METRICS_FILE} has step {last:,}"
    return None
