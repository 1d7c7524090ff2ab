"""A run at work in its model directory: what all kinds of runs have in common."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from data.errors import UserError
from pretrain.checkpoints import checkpoint
from pretrain.checkpoints.best import LEAST_LOSS, Criterion
from pretrain.checkpoints.model_dir import Run, check_model_dir, identity, locked, record_run
from pretrain.train.bad_steps import BadStepLog
from pretrain.train.loop import Evaluation, Host, Loop, Watch, is_evaluation_due
from pretrain.train.metrics import Window, spread
from pretrain.train.metrics_log import read_metrics
from pretrain.train.preemption import PreemptionNotice
from pretrain.train.progress import Progress, SilentProgress, WandB
from pretrain.train.trainer import Trainer


class Session:
    """A context, in which the directory is in use and the newest checkpoint restored.

    Attributes:
      start_step: updates made before, once the context is entered.
    """

    def __init__(
        self,
        run: Run,
        *,
        model_dir: str,
        trainer: Trainer,
        is_chief: bool,
        vocab_text: str,
        data: dict,
        write_report: Callable[[str], None],
        record: bool = True,
        discard_checkpoints: bool = False,
        criterion: Criterion = LEAST_LOSS,
    ):
        """Nothing is read or written yet.

        Args:
          run: what the directory is for.
          model_dir: new, or of the same run.
          trainer: has all state of the run.
          is_chief: whether this process writes.
          vocab_text: as of `record_run`.
          data: as of `record_run`.
          record: the run may write into the model directory; not for a look at a finished run.
          discard_checkpoints: start at step 0, whatever is there.
          criterion: by which the best evaluation is told.
          write_report: as of `Progress`.
        """
        self._run, self._train = run, run.config.train
        self._model_dir, self._trainer, self._is_chief = model_dir, trainer, is_chief
        self._vocab_text, self._data = vocab_text, data
        self._record, self._discard = record, discard_checkpoints
        self._criterion, self._write_report = criterion, write_report

    def __enter__(self) -> Session:
        """Restores the newest checkpoint.

        Raises:
          UserError: the model directory is in use, of another run, or none of its checkpoints is
            whole.
        """
        writes = self._record and self._is_chief
        with contextlib.ExitStack() as stack:
            if writes:
                stack.enter_context(locked(self._model_dir))
                if self._discard:
                    checkpoint.discard(self._model_dir)
            if writes or not self._discard:
                check_model_dir(self._model_dir, self._run)
            if writes:
                record_run(self._model_dir, self._run, vocab_text=self._vocab_text, data=self._data)
            self._checkpoints = checkpoint.Checkpoints(
                self._model_dir,
                items=self._trainer.checkpoint_items,
                run=identity(self._run),
                keep=self._train.keep_checkpoints,
                keep_every=self._train.keep_every,
                is_chief=self._is_chief,
            )
            restored = None if self._discard else self._checkpoints.restore_newest()
            if writes:
                self._checkpoints.remove_unfinished()
            self.start_step = restored.step if restored else 0
            self._trainer.require_same_step()
            self._window = Window(restored.notes.get("window") if restored else None)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception) -> None:
        """Finishes the save under way, and lets go of the model directory."""
        with self._stack, contextlib.suppress(UserError):  # not to hide what ended the run
            self._checkpoints.wait()

    def train(
        self,
        host: Host,
        batches: Callable,
        *,
        num_sequences: int,
        evaluation: Evaluation | None,
        watch: Watch | None = None,
    ) -> bool:
        """Trains from `start_step` to train_steps.

        Args:
          host: what differs between kinds of runs.
          batches: the input from `start_step` on, for `distribute_datasets_from_function`.
          num_sequences: of the training split.
          evaluation: at every eval_interval and at the end; None never evaluates.
          watch: see `Loop.run`.

        Returns:
          Whether there was anything left to train.

        Raises:
          Preempted: the machine is needed for something else; all is saved.
          UserError: too many bad steps, a save that failed, or data that are damaged or were
            exchanged.
        """
        train, step = self._train, self.start_step
        is_trained = step >= train.train_steps
        # A run may have been stopped between saving and evaluating.
        evaluates = evaluation is not None and step and not self._evaluated(step)
        evaluates = evaluates and (is_trained or is_evaluation_due(train, step))
        if is_trained and not evaluates:
            return False
        with contextlib.closing(self._progress()) as progress:
            if evaluates:
                progress.evaluation_row(step, *evaluation())
            if is_trained:
                return False
            iterator = iter(self._trainer.strategy.distribute_datasets_from_function(batches))
            loop = Loop(
                host,
                train=train,
                trainer=self._trainer,
                checkpoints=self._checkpoints,
                bad_steps=self._bad_step_log(num_sequences),
                progress=progress,
                model_dir=self._model_dir,
                is_chief=self._is_chief,
            )
            with PreemptionNotice() as notice:
                loop.run(
                    iterator,
                    start_step=step,
                    window=self._window,
                    notice=notice,
                    evaluation=evaluation,
                    watch=watch,
                )
        return True

    def _progress(self):
        if not self._is_chief:
            return SilentProgress()
        project = self._train.wandb_project
        return Progress(
            self._model_dir,
            start_step=self.start_step,
            train_steps=self._train.train_steps,
            wandb=WandB(project, self._model_dir, self._run.config) if project else None,
            criterion=self._criterion,
            write_report=self._write_report,
        )

    def _evaluated(self, step: int) -> bool:
        rows = read_metrics(self._model_dir)
        return any(row["step"] == step and self._criterion.metric in row for row in rows)

    def _bad_step_log(self, num_sequences: int) -> BadStepLog:
        log = BadStepLog(
            self._model_dir,
            seed=self._train.seed,
            global_batch_size=self._train.global_batch_size,
            num_sequences=num_sequences,
        )
        if self._is_chief:
            log.forget_after(self.start_step)
        return log


def training_row(
    trainer: Trainer, window: Window, *, global_batch_size: int, accuracy: str = "mlm_accuracy"
) -> dict:
    """A row of metrics.jsonl for the steps of a window; arguments as of `Window.row`."""
    ratios = trainer.trust_ratios()
    return {
        **window.row(global_batch_size=global_batch_size, accuracy=accuracy),
        "learning_rate": trainer.learning_rate,
        **spread("trust_ratio", list(ratios.values())),
        **({"trust_ratios": ratios} if ratios else {}),
    }
