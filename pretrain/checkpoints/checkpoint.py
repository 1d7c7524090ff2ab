"""Checkpoints: written asynchronously, and used only with a commit record that matches.

checkpoints/step-00001000/ckpt.*        files of tf.train.Checkpoint
checkpoints/step-00001000/COMMIT.json   step, run, data, sizes and sha256 of the files; written last
checkpoints/newest.json                 newest step that was ever committed
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from typing import Any

import tensorflow as tf

from data import files
from data.errors import UserError, first_line
from launch.config import DISCARD_FLAG
from pretrain.checkpoints.best import BEST_FILE, best_step

COMMIT_FILE = "COMMIT.json"
_NEWEST_FILE = "newest.json"
# What TensorFlow raises if files are missing or damaged, or belong to another model.
_RESTORE_ERRORS = (tf.errors.OpError, AssertionError, ValueError, IndexError, KeyError)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckpointRef:
    """A checkpoint with a commit record.

    Attributes:
      step: number of updates.
      folder: directory of the checkpoint.
    """

    step: int
    folder: str

    @property
    def prefix(self) -> str:
        """Path prefix of the files, as tf.train.Checkpoint takes it."""
        return files.join(self.folder, "ckpt")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Restored:
    """The step at which a run resumes, and the notes saved with its checkpoint."""

    step: int
    notes: dict[str, Any]


def committed(model_dir: str | os.PathLike[str]) -> list[CheckpointRef]:
    """Return the checkpoints that have a commit record, oldest first; their files are not checked."""
    return [
        CheckpointRef(step=step, folder=folder)
        for step, folder in _folders(model_dir)
        if files.exists(files.join(folder, COMMIT_FILE))
    ]


def choose(model_dir: str | os.PathLike[str], which: str) -> CheckpointRef:
    """Return one of the committed checkpoints.

    Args:
      model_dir: model directory of the run.
      which: "latest", "best" on held-out text, or the number of a step.

    Raises:
      UserError: there is no such checkpoint, or `which` is malformed.
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
                f"--checkpoint best: {model_dir} has no {BEST_FILE}, because no held-out text was"
                " evaluated; choose latest, or the number of a step"
            )
    elif which.isdecimal():
        step = int(which)
    else:
        raise UserError(f"--checkpoint {which}: must be best, latest or the number of a step")
    if step not in refs:
        raise UserError(
            f"--checkpoint {which}: {model_dir} has no checkpoint of step {step}; it has those of step"
            f" {', '.join(map(str, refs))}"
        )
    return refs[step]


class Checkpoints:
    """Save and restore all state of a run, and remove old checkpoints.

    A save copies the variables to host memory, and a thread writes them while training continues. The
    commit record is written when all files are complete.
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
    ):
        """Nothing is read or written yet.

        Args:
          model_dir: local directory, or a path with a scheme such as gs://.
          items: objects to save, by name.
          run: hashes that identify settings and data; a checkpoint with other hashes is not restored.
          keep: number of newest checkpoints to keep, besides the best one on held-out text.
          keep_every: keep checkpoints at multiples of this step as well; 0 for none.
          is_chief: whether this worker saves; every worker holds the same variables.
        """
        self._model_dir, self._dir = model_dir, files.join(model_dir, "checkpoints")
        self._run, self._keep, self._keep_every = run, keep, keep_every
        self._is_chief = is_chief
        self._checkpoint = tf.train.Checkpoint(**items)
        self._pending: CheckpointRef | None = None
        self._failure: Exception | None = None

    def save(self, step: int, notes: dict[str, Any] | None = None) -> None:
        """Start to save a step; return as soon as the variables may change again.

        Args:
          step: number of updates.
          notes: JSON content to store in the commit record.

        Raises:
          UserError: the previous save failed.
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
            except Exception as error:  # raised by `wait`, in the thread that trains
                self._failure = error

        self._options = tf.train.CheckpointOptions(
            enable_async=True, experimental_write_callbacks=[commit]
        )
        self._write()

    def wait(self) -> None:
        """Wait for the pending save.

        Raises:
          UserError: the save failed, for example because the disk is full.
        """
        if self._pending is None:
            return
        self._checkpoint.sync()
        if self._pending is not None:
            self._raise_failure()

    def restore_newest(self) -> Restored | None:
        """Restore the newest intact checkpoint, and print which newer ones are damaged.

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
        """Remove what a killed process left behind; no other process may be saving."""
        for step, folder in _folders(self._model_dir):
            if not files.exists(files.join(folder, COMMIT_FILE)):
                print(f"training: removing the unfinished checkpoint of step {step:,}")
                files.remove_tree(folder)

    def _restore(self, ref: CheckpointRef) -> Restored:
        record = verify(ref)
        for name, expected in self._run.items():
            if record[name] != expected:
                raise UserError(
                    f"checkpoint {ref.folder} belongs to another run: its {name} differs"
                )
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
            self._write()  # the next call raises what TensorFlow's thread could not do
        failure, ref = self._failure, self._pending
        self._pending = self._failure = None
        if not files.exists(files.join(ref.folder, COMMIT_FILE)):
            files.remove_tree(ref.folder)
        if not isinstance(failure, (tf.errors.OpError, OSError)):
            raise failure
        raise UserError(
            f"the checkpoint of step {ref.step:,} could not be written to {ref.folder}:"
            f" {first_line(failure)}; earlier checkpoints are intact: make room, and run the same"
            " command again"
        ) from failure

    def _commit(self, ref: CheckpointRef, notes: dict[str, Any]) -> None:
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


def discard(model_dir: str | os.PathLike[str]) -> None:
    """Remove all checkpoints of a model directory, and the record of the best one."""
    files.remove(files.join(model_dir, BEST_FILE))
    folder = files.join(model_dir, "checkpoints")
    if files.exists(folder):
        print(f"training: removing {len(committed(model_dir))} checkpoints in {folder}")
        files.remove_tree(folder)


def verify(ref: CheckpointRef) -> dict[str, Any]:
    """Return the commit record of a checkpoint after comparing it with the files.

    Raises:
      UserError: the record is malformed, or a file is missing, truncated or changed.
    """
    path = files.join(ref.folder, COMMIT_FILE)
    try:
        record = json.loads(files.read_bytes(path))
        expected = {name: (f["bytes"], f["sha256"]) for name, f in record["files"].items()}
        if record["step"] != ref.step:
            raise ValueError(f"it belongs to step {record['step']}")
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
    """Restore every variable of `checkpoint`; raise a UserError naming what does not match."""
    try:
        # Partial: the files may hold more than is needed, such as the optimizer for an export.
        status = checkpoint.read(ref.prefix).expect_partial()
        status.assert_existing_objects_matched()
    except _RESTORE_ERRORS as error:
        raise UserError(
            f"checkpoint {ref.folder} cannot be restored: {first_line(error)}"
        ) from error


def _folders(model_dir: str | os.PathLike[str]) -> list[tuple[int, str]]:
    """Return steps and folders of all checkpoints, committed or not, oldest first."""
    directory = files.join(model_dir, "checkpoints")
    return sorted(
        (int(found[1]), files.join(directory, name))
        for name in files.list_dir(directory)
        if (found := re.fullmatch(r"step-(\d+)", name))
    )


def _remove(folder: str) -> None:
    files.remove(
        files.join(folder, COMMIT_FILE)
    )  # first: half a checkpoint must not look committed
    files.remove_tree(folder)


def _write_json(path: str, content: dict[str, Any]) -> None:
    files.write_atomically(path, json.dumps(content).encode())
