"""Checkpoints of a run: written while training goes on, believed only with a record that fits.

checkpoints/step-00001000/ckpt.*        what TensorFlow writes
checkpoints/step-00001000/COMMIT.json   step, run, data, sizes and sha256 of the files; last
checkpoints/newest.json                 the newest step that was ever committed
"""

from __future__ import annotations

import dataclasses
import json
import os
import re

import tensorflow as tf

from data import files
from data.errors import UserError, first_line
from launch.config import DISCARD_FLAG
from pretrain.checkpoints.best import BEST_FILE, best_step

COMMIT_FILE = "COMMIT.json"
_NEWEST_FILE = "newest.json"
# What TensorFlow raises for files that are missing, damaged or of another model.
_RESTORE_ERRORS = (tf.errors.OpError, AssertionError, ValueError, IndexError, KeyError)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckpointRef:
    """A checkpoint with a commit record: `prefix` is what TensorFlow calls its path."""

    step: int
    folder: str

    @property
    def prefix(self) -> str:
        """For tf.train.Checkpoint."""
        return files.join(self.folder, "ckpt")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Restored:
    """Where a run goes on: its step, and the notes that were saved with it."""

    step: int
    notes: dict


def committed(model_dir: str | os.PathLike) -> list[CheckpointRef]:
    """The checkpoints with a commit record, oldest first; their files are not looked at."""
    return [
        CheckpointRef(step=step, folder=folder)
        for step, folder in _folders(model_dir)
        if files.exists(files.join(folder, COMMIT_FILE))
    ]


def choose(model_dir: str | os.PathLike, which: str) -> CheckpointRef:
    """One of the committed checkpoints: "latest", "best" on held-out text, or the number of a step.

    Raises:
      UserError: it is not there, or is none of these.
    """
    refs = {ref.step: ref for ref in committed(model_dir)}
    if not refs:
        raise UserError(f"{model_dir} has no finished checkpoint; train first")
    if which == "latest":
        return refs[max(refs)]
    if which == "best":
        step = best_step(model_dir)
        if step is None:
            raise UserError(
                f"--checkpoint best: {model_dir} has no {BEST_FILE}: no held-out text was evaluated,"
                " so none is the best; choose latest, or the number of a step"
            )
    elif which.isdecimal():
        step = int(which)
    else:
        raise UserError(f"--checkpoint {which}: must be best, latest or the number of a step")
    if step not in refs:
        raise UserError(
            f"--checkpoint {which}: in {model_dir} the checkpoint of step {step} is not there: there"
            f" are those of step {', '.join(map(str, refs))}"
        )
    return refs[step]


class Checkpoints:
    """Saves and restores all state of a run, and keeps some of the checkpoints.

    A save copies the variables to the memory of the host, and a thread writes them while training
    goes on; the commit record follows when all files are there.
    """

    def __init__(
        self,
        model_dir: str | os.PathLike,
        *,
        items: dict,
        run: dict[str, str],
        keep: int,
        keep_every: int = 0,
        is_chief: bool = True,
    ):
        """Nothing is read or written yet.

        Args:
          model_dir: local, or with a scheme such as gs://.
          items: what to save, by name.
          run: hashes that name run and data; a checkpoint with others is not restored.
          keep: newest checkpoints to keep; the one that did best on held-out text is kept too.
          keep_every: keep those of multiples of this step as well; 0 for none.
          is_chief: others save nothing: every worker holds the same variables.
        """
        self._model_dir, self._dir = model_dir, files.join(model_dir, "checkpoints")
        self._run, self._keep, self._keep_every = run, keep, keep_every
        self._is_chief = is_chief
        self._checkpoint = tf.train.Checkpoint(**items)
        self._pending: CheckpointRef | None = None
        self._failure: Exception | None = None

    def save(self, step: int, notes: dict | None = None) -> None:
        """Starts to save one step; returns when the variables may change again.

        Raises:
          UserError: the save before this one has failed.
        """
        self.wait()
        if not self._is_chief:
            return
        ref = CheckpointRef(step=step, folder=files.join(self._dir, f"step-{step:08d}"))
        _remove(ref.folder)
        self._pending = ref

        def commit():
            try:
                self._commit(ref, notes or {})
                self._pending = None
            except Exception as error:  # for `wait`, in the thread that trains
                self._failure = error

        self._options = tf.train.CheckpointOptions(
            enable_async=True, experimental_write_callbacks=[commit]
        )
        self._write()

    def wait(self) -> None:
        """Waits for the save that was started last.

        Raises:
          UserError: it has failed, for example because the disk is full.
        """
        if self._pending is None:
            return
        self._checkpoint.sync()
        if self._pending is not None:
            self._raise_failure()

    def restore_newest(self) -> Restored | None:
        """Restores the newest checkpoint that is whole, and says which ones are not.

        Returns:
          None if there has never been one.

        Raises:
          UserError: there are or were checkpoints, and none can be restored.
        """
        reasons = []
        for ref in reversed(committed(self._model_dir)):
            try:
                return self._restore(ref)
            except UserError as error:
                reasons.append(str(error))
                print(f"training: {error}; trying the one before")
        if reasons or files.exists(files.join(self._dir, _NEWEST_FILE)):
            why = "; ".join(reasons) or "all commit records are missing"
            raise UserError(
                f"{self._model_dir} has checkpoints, but none that can be restored ({why}); bring"
                f" one back, choose another --model_dir, or start again from step 0 with"
                f" {DISCARD_FLAG}"
            )
        return None

    def remove_unfinished(self) -> None:
        """Removes what a process that was killed has left; no other process may be saving."""
        for step, folder in _folders(self._model_dir):
            if not files.exists(files.join(folder, COMMIT_FILE)):
                print(f"training: removing the unfinished checkpoint of step {step:,}")
                files.remove_tree(folder)

    def _restore(self, ref: CheckpointRef) -> Restored:
        record = verify(ref)
        for name, expected in self._run.items():
            if record[name] != expected:
                raise UserError(f"checkpoint {ref.folder} is of another run: its {name} differs")
        read(self._checkpoint, ref)
        return Restored(step=ref.step, notes=record["notes"])

    def _write(self) -> None:
        try:
            self._checkpoint.write(self._pending.prefix, self._options)
        except (tf.errors.OpError, OSError) as error:
            self._failure = error
            self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failure is None:
            self._write()  # TensorFlow keeps what its thread could not do for the next call
        failure, ref = self._failure, self._pending
        self._pending = self._failure = None
        if not files.exists(files.join(ref.folder, COMMIT_FILE)):
            files.remove_tree(ref.folder)
        if not isinstance(failure, (tf.errors.OpError, OSError)):
            raise failure
        raise UserError(
            f"the checkpoint of step {ref.step:,} could not be written to {ref.folder}:"
            f" {first_line(failure)}; the ones before are whole: make room, and run the same command"
            " again"
        ) from failure

    def _commit(self, ref: CheckpointRef, notes: dict) -> None:
        paths, _ = files.find(f"{ref.prefix}.*")
        content = {}
        for path in paths:
            files.flush(path)
            content[os.path.basename(path)] = {
                "bytes": files.size(path),
                "sha256": files.sha256_of(path),
            }
        record = {"step": ref.step, **self._run, "notes": notes, "files": content}
        _write_json(files.join(ref.folder, COMMIT_FILE), record)
        _write_json(files.join(self._dir, _NEWEST_FILE), {"step": ref.step})
        self._remove_old()

    def _remove_old(self) -> None:
        best = best_step(self._model_dir)
        for old in committed(self._model_dir)[: -self._keep]:
            is_kept = old.step == best or (self._keep_every and old.step % self._keep_every == 0)
            if not is_kept:
                _remove(old.folder)


def discard(model_dir: str | os.PathLike) -> None:
    """Removes all checkpoints of a model directory, and the record of the best of them."""
    files.remove(files.join(model_dir, BEST_FILE))
    folder = files.join(model_dir, "checkpoints")
    if files.exists(folder):
        print(f"training: removing {len(committed(model_dir))} checkpoints in {folder}")
        files.remove_tree(folder)


def verify(ref: CheckpointRef) -> dict:
    """Compares a checkpoint with its commit record, and returns the record.

    Raises:
      UserError: the record cannot be read, or a file is missing, cut or changed.
    """
    path = files.join(ref.folder, COMMIT_FILE)
    try:
        record = json.loads(files.read_bytes(path))
        expected = {name: (f["bytes"], f["sha256"]) for name, f in record["files"].items()}
        if record["step"] != ref.step:
            raise ValueError(f"it is of step {record['step']}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"checkpoint {ref.folder}: {path} cannot be read: {error}") from error
    for name, (size, sha256) in expected.items():
        path = files.join(ref.folder, name)
        found = files.size(path)
        if found != size:
            state = "is missing" if found is None else f"has {found} bytes of {size}"
            raise UserError(f"checkpoint {ref.folder} is damaged: {name} {state}")
        if files.sha256_of(path) != sha256:
            raise UserError(f"checkpoint {ref.folder} is damaged: {name} has another content")
    return record


def read(checkpoint: tf.train.Checkpoint, ref: CheckpointRef) -> None:
    """Restores every variable of `checkpoint`; raises a UserError naming what does not fit."""
    try:
        # Partial: more may be saved than is asked for, as the optimizer for an export.
        status = checkpoint.read(ref.prefix).expect_partial()
        status.assert_existing_objects_matched()
    except _RESTORE_ERRORS as error:
        raise UserError(
            f"checkpoint {ref.folder} cannot be restored: {first_line(error)}"
        ) from error


def _folders(model_dir: str | os.PathLike) -> list[tuple[int, str]]:
    """Steps and folders of all checkpoints, finished or not, oldest first."""
    directory = files.join(model_dir, "checkpoints")
    return sorted(
        (int(found[1]), files.join(directory, name))
        for name in files.list_dir(directory)
        if (found := re.fullmatch(r"step-(\d+)", name))
    )


def _remove(folder: str) -> None:
    files.remove(files.join(folder, COMMIT_FILE))  # first: half a checkpoint must not count
    files.remove_tree(folder)


def _write_json(path: str, content: dict) -> None:
    files.write_atomically(path, json.dumps(content).encode())
