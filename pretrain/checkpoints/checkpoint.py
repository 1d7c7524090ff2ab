"""Save and restore the state of a run: written asynchronously, committed when complete.

`pretrain.checkpoints.catalog` describes the files.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import tensorflow as tf
from absl import logging

from data import files
from data.checked_json import Record
from data.errors import UserError, first_line
from launch.config import DISCARD_FLAG
from pretrain.checkpoints.best import best_step
from pretrain.checkpoints.broadcast import restored_once
from pretrain.checkpoints.catalog import (
    COMMIT_FILE,
    NEWEST_FILE,
    CheckpointRef,
    Verifier,
    committed,
    ref_of,
    remove,
    retire,
    write_commit_record,
)

# What TensorFlow raises if files are missing or damaged, or belong to another model.
_RESTORE_ERRORS = (tf.errors.OpError, AssertionError, ValueError, IndexError, KeyError)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Restored:
    """The step at which a run resumes, and the notes saved with its checkpoint."""

    step: int
    notes: dict[str, Any]


class Checkpoints:
    """Save and restore all state of a run, and remove old checkpoints.

    A save copies the variables to host memory, and a thread writes them while training continues. The
    commit record is written when all files are complete. Then the thread reads the files back, and
    removes old checkpoints only if enough newer ones are intact.
    """

    def __init__(
        self,
        model_dir: str | os.PathLike[str],
        *,
        items: dict[str, Any],
        run: dict[str, str],
        keep: int,
        keep_every: int = 0,
        is_chief: bool = True,
        read_notes: Callable[[Record], dict[str, Any]] = lambda record: record.fields,
        before_commit: Callable[[], None] = lambda: None,
    ):
        """Nothing is read or written yet.

        Args:
          model_dir: local directory, or a path with a scheme such as gs://.
          items: objects to save, by name.
          run: hashes that identify settings and data; a checkpoint with other hashes is not restored.
          keep: number of newest intact checkpoints to keep, besides the best one on held-out text.
          keep_every: keep checkpoints at multiples of this step as well; 0 for none.
          is_chief: whether this worker saves; every worker holds the same variables.
          read_notes: checks the notes of a commit record and returns them; raises a DamagedRecord, and
            then the checkpoint before is restored.
          before_commit: called when a checkpoint is complete, in the thread that writes it; raises to
            prevent the commit.
        """
        self._model_dir = model_dir
        self._run, self._keep, self._keep_every = run, keep, keep_every
        self._is_chief = is_chief
        self._read_notes, self._before_commit = read_notes, before_commit
        self._verifier = Verifier()
        self._checkpoint = tf.train.Checkpoint(**items)
        self._pending: CheckpointRef | None = None
        self._is_over = threading.Event()  # set when the pending save has succeeded or failed
        self._failure: Exception | None = None

    def save(
        self,
        step: int,
        notes: dict[str, Any] | None = None,
        *,
        first_bad_step: int | None = None,
        is_urgent: bool = False,
    ) -> None:
        """Start to save a step; return as soon as the variables may change again.

        Args:
          step: number of updates.
          notes: JSON content to store in the commit record.
          first_bad_step: first of the recent bad steps, if any; the newest intact checkpoint from before
            it is kept as well.
          is_urgent: whether the process is about to be killed. The removal of old checkpoints, which
            reads some of them, is then left to the next save, unless there are very many.

        Raises:
          UserError: the previous save failed.
        """
        self.wait()
        if not self._is_chief:
            return
        ref = ref_of(self._model_dir, step)
        if files.exists(files.join(ref.folder, COMMIT_FILE)):
            retire(ref, f"the checkpoint of step {step:,} is written again")
        files.remove_tree(ref.folder)
        self._pending = ref

        def commit() -> None:
            try:
                self._commit(ref, notes or {})
                if not is_urgent or len(committed(self._model_dir)) > 2 * self._keep + 2:
                    self._remove_old(ref, first_bad_step)
                self._pending = None
            except Exception as error:  # raised by `wait`, in the thread that trains
                self._failure = error

        self._options = tf.train.CheckpointOptions(
            enable_async=True, experimental_write_callbacks=[commit]
        )
        self._write(ref)
        self._is_over = threading.Event()
        threading.Thread(target=self._watch, args=[self._is_over], daemon=True).start()

    def _watch(self, is_over: threading.Event) -> None:
        """Wait in a thread of its own: TensorFlow does not say that a save has failed until asked."""
        self._checkpoint.sync()
        is_over.set()

    def raise_failure(self) -> None:
        """Raise what `wait` would if the pending save has already failed; never wait."""
        if self._is_over.is_set():
            self.wait()

    def wait(self) -> None:
        """Wait for the pending save.

        Raises:
          UserError: the save failed, for example because the disk is full.
        """
        if self._pending is None:
            return
        self._checkpoint.sync()
        if self._pending is not None:
            self._raise_failure(self._pending)

    def finish(self, step: int) -> None:
        """Wait for the last save of a run.

        Args:
          step: step of the save.

        Raises:
          UserError: the save failed, or the checkpoint is gone.
        """
        self.wait()
        folder = ref_of(self._model_dir, step).folder
        if self._is_chief and not files.exists(files.join(folder, COMMIT_FILE)):
            raise UserError(
                f"{folder} was saved and is gone: another program removed or renamed it; run the same"
                " command again to resume"
            )

    def restore_newest(self) -> Restored | None:
        """Restore the newest intact checkpoint, and print what is wrong with newer ones.

        Returns:
          What was restored, or None if there has never been a checkpoint.

        Raises:
          UserError: there are or were checkpoints, and none can be restored.
        """
        reasons = []
        for ref in reversed(committed(self._model_dir)):
            try:
                return self._restore(ref)
            except UserError as error:
                reasons.append(str(error))
                logging.warning(f"training: {error}; trying the one before")
        if reasons or files.exists(files.join(self._model_dir, NEWEST_FILE)):
            why = "; ".join(reasons) or "all commit records are missing"
            raise UserError(
                f"{self._model_dir} has checkpoints, but none that can be restored ({why}); bring"
                f" one back, choose another --model_dir, or start again from step 0 with"
                f" {DISCARD_FLAG}"
            )
        return None

    def _restore(self, ref: CheckpointRef) -> Restored:
        record = self._verifier.verify(ref)
        for name, expected in self._run.items():
            if record.text(name) != expected:
                raise UserError(
                    f"checkpoint {ref.folder} belongs to another run: its {name} differs"
                )
        notes = self._read_notes(record.mapping("notes"))
        read(self._checkpoint, ref)
        return Restored(step=ref.step, notes=notes)

    def _write(self, ref: CheckpointRef) -> None:
        try:
            self._checkpoint.write(ref.prefix, self._options)
        except (tf.errors.OpError, OSError) as error:
            self._failure = error
            self._raise_failure(ref)

    def _raise_failure(self, ref: CheckpointRef) -> NoReturn:
        if self._failure is None:
            with _quiet():
                self._write(ref)  # the next call raises what TensorFlow's thread could not do
        failure = self._failure or OSError("TensorFlow does not report why")
        self._pending = self._failure = None
        if not files.exists(files.join(ref.folder, COMMIT_FILE)):
            files.remove_tree(ref.folder)
        is_lost = isinstance(failure, tf.errors.UnavailableError)  # a host, or the storage
        if is_lost or not isinstance(failure, (tf.errors.OpError, OSError)):
            raise failure
        raise UserError(
            f"the checkpoint of step {ref.step:,} could not be written to {ref.folder}:"
            f" {first_line(failure)}; earlier checkpoints are intact: make room, and run the same"
            " command again"
        ) from failure

    def _commit(self, ref: CheckpointRef, notes: dict[str, Any]) -> None:
        self._before_commit()
        write_commit_record(self._model_dir, ref, {**self._run, "notes": notes})

    def _remove_old(self, new: CheckpointRef, first_bad_step: int | None) -> None:
        """Remove checkpoints before `new` that are not needed once it has been read back.

        Later ones are neither counted nor removed.
        """
        self._read_back(new)
        best, intact, superseded = best_step(self._model_dir), [new], []
        for old in reversed([ref for ref in committed(self._model_dir) if ref.step < new.step]):
            is_last_before = (
                first_bad_step is not None and old.step < first_bad_step <= intact[-1].step
            )
            if len(intact) >= self._keep and not is_last_before:
                superseded.append(old)
            elif problem := self._verifier.problem(old):
                retire(old, problem)
            else:
                intact.append(old)
        for old in superseded:
            is_kept = old.step == best or (self._keep_every and old.step % self._keep_every == 0)
            if not is_kept:
                remove(old)

    def _read_back(self, new: CheckpointRef) -> None:
        """Raise a UserError if the files of a new checkpoint differ from what was written."""
        for name in files.list_dir(new.folder):
            files.drop_cache(files.join(new.folder, name))
        if problem := self._verifier.problem(new):
            retire(new, problem)
            raise UserError(
                f"{problem}: it differs from what was written; earlier checkpoints are kept: check the"
                " disk, and run the same command again"
            )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress TensorFlow's log of an error that is reported in one line."""
    logger = logging.get_absl_logger()
    level = logger.level
    logger.setLevel("CRITICAL")
    try:
        yield
    finally:
        logger.setLevel(level)


def read(checkpoint: tf.train.Checkpoint, ref: CheckpointRef) -> None:
    """Restore every variable of `checkpoint`; raise a UserError naming what does not match."""
    try:
        # Partial: the files may hold more than is needed, such as the optimizer for an export.
        with restored_once(checkpoint):
            status = checkpoint.read(ref.prefix).expect_partial()
        status.assert_existing_objects_matched()
    except tf.errors.UnavailableError:
        raise  # a host or the storage is lost, and nothing is wrong with the checkpoint
    except _RESTORE_ERRORS as error:
        raise UserError(
            f"checkpoint {ref.folder} cannot be restored: {first_line(error)}"
        ) from error
