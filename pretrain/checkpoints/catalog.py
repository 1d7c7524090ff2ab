"""The checkpoints on disk: find, verify, choose, retire and remove them. Does not load TensorFlow.

checkpoints/step-00001000/ckpt.*        files of tf.train.Checkpoint
checkpoints/step-00001000/COMMIT.json   step, run, data, sizes and sha256 of the files; written last
checkpoints/step-00001000.damaged/      a checkpoint that failed verification; never restored
checkpoints/newest.json                 newest step that was ever committed
saved.json                              the same, kept outside checkpoints/ in case that folder is lost
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from typing import Any

from absl import logging

from data import files
from data.checked_json import Record, is_inside, read_json
from data.errors import UserError
from pretrain.checkpoints.best import BEST_FILE, best_step

COMMIT_FILE = "COMMIT.json"
NEWEST_FILE = "checkpoints/newest.json"
SAVED_FILE = "saved.json"
# Marks a folder that is being removed, so that it is not taken for one that lost its record.
_REMOVING_FILE = "REMOVING"
_MAX_STEP = 10**15


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


def ref_of(model_dir: str | os.PathLike[str], step: int) -> CheckpointRef:
    """Return the checkpoint of a step, which need not exist yet."""
    return CheckpointRef(step=step, folder=files.join(model_dir, f"checkpoints/step-{step:08d}"))


def committed(model_dir: str | os.PathLike[str]) -> list[CheckpointRef]:
    """Return the checkpoints that have a commit record, oldest first; their files are not checked."""
    return [ref for ref in _all(model_dir) if _has(ref, COMMIT_FILE)]


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
    elif which.isdecimal() and len(which) <= len(str(_MAX_STEP)):
        step = int(which)
    else:
        raise UserError(f"--checkpoint {which}: must be best, latest or the number of a step")
    if step not in refs:
        raise UserError(
            f"--checkpoint {which}: {model_dir} has no checkpoint of step {step}; it has those of step"
            f" {', '.join(map(str, refs))}"
        )
    return refs[step]


def verify(ref: CheckpointRef) -> Record:
    """Return the commit record of a checkpoint after comparing it with the files.

    Raises:
      UserError: the record is malformed, or a file is missing, truncated or changed.
    """
    try:
        record = read_json(files.join(ref.folder, COMMIT_FILE))
        if (step := record.integer("step", minimum=0)) != ref.step:
            raise record.damaged(f"it belongs to step {step}")
        expected = {
            name: (file.integer("bytes", minimum=0), file.sha256("sha256"))
            for name, file in record.mappings("files").items()
        }
        if not expected or not all(is_inside(name) for name in expected):
            raise record.damaged("files lists none, or a file outside the folder")
    except (UserError, OSError) as error:
        raise UserError(f"checkpoint {ref.folder} cannot be used: {error}") from error
    for name, (size, sha256) in expected.items():
        path = files.join(ref.folder, name)
        try:
            actual = files.size(path)
            if actual != size:
                state = "is missing" if actual is None else f"has {actual} bytes of {size}"
                raise UserError(f"checkpoint {ref.folder} is damaged: {name} {state}")
            if files.sha256_of(path) != sha256:
                raise UserError(
                    f"checkpoint {ref.folder} is damaged: the content of {name} has changed"
                )
        except OSError as error:
            raise UserError(
                f"checkpoint {ref.folder} is damaged: {name}: {error.strerror}"
            ) from error
    return record


class Verifier:
    """Verify checkpoints, and remember those that have been verified until their files change."""

    def __init__(self) -> None:
        self._verified: dict[str, list[tuple[str, int | None, float]]] = {}

    def verify(self, ref: CheckpointRef) -> Record:
        """Verify a checkpoint in any case; see `verify`."""
        self._verified.pop(ref.folder, None)
        state = _state(ref)
        record = verify(ref)
        self._verified[ref.folder] = state
        return record

    def problem(self, ref: CheckpointRef) -> str | None:
        """Return what is wrong with a checkpoint; None if it is intact."""
        try:
            if self._verified.get(ref.folder) != _state(ref):
                self.verify(ref)
        except (UserError, OSError) as error:
            return str(error)
        return None


def write_commit_record(
    model_dir: str | os.PathLike[str], ref: CheckpointRef, record: dict[str, Any]
) -> None:
    """Hash the files of a checkpoint and write its commit record.

    Args:
      model_dir: model directory of the run.
      ref: checkpoint whose files are complete.
      record: content of the record besides step and files.
    """
    paths, _ = files.find(f"{ref.prefix}.*")
    content = {}
    for path in paths:
        files.flush(path)
        content[os.path.basename(path)] = {
            "bytes": files.size(path),
            "sha256": files.sha256_of(path),
        }
    _write_json(files.join(ref.folder, COMMIT_FILE), {"step": ref.step, **record, "files": content})
    for name in (NEWEST_FILE, SAVED_FILE):
        _write_json(files.join(model_dir, name), {"step": ref.step})


def retire(ref: CheckpointRef, reason: str) -> None:
    """Rename a checkpoint that cannot be used, so that it is neither restored nor counted."""
    number, folder = 1, f"{ref.folder}.damaged"
    while files.exists(folder):
        number, folder = number + 1, f"{ref.folder}.damaged-{number + 1}"
    files.rename_folder(ref.folder, folder)
    logging.warning(f"training: {reason}; renamed to {folder}")


def retire_after(model_dir: str | os.PathLike[str], step: int) -> None:
    """Rename all committed checkpoints of later steps: they were found unusable."""
    for ref in committed(model_dir):
        if ref.step > step:
            retire(ref, f"the checkpoint of step {ref.step:,} is not used")


def remove_unfinished(model_dir: str | os.PathLike[str]) -> None:
    """Remove what a killed process left behind; no other process may be saving.

    A folder without a commit record whose step has been committed once has lost it: it is retired.
    """
    newest = _newest(model_dir)
    for ref in _all(model_dir):
        if _has(ref, COMMIT_FILE):
            continue
        if ref.step <= newest and not _has(ref, _REMOVING_FILE):
            retire(ref, f"the checkpoint of step {ref.step:,} has lost its {COMMIT_FILE}")
        else:
            logging.info(f"training: removing the unfinished checkpoint of step {ref.step:,}")
            files.remove_tree(ref.folder)
    if files.is_remote(model_dir):
        return  # where a rename may be a copy in progress
    for folder in (model_dir, files.join(model_dir, "checkpoints")):
        for name in files.list_dir(folder):
            # pretrain.report writes its page without the lock of the run, perhaps right now.
            if files.TEMPORARY.fullmatch(name) and not name.endswith("-report.html"):
                files.remove(files.join(folder, name))


def remove(ref: CheckpointRef) -> None:
    """Remove a checkpoint. It never looks committed when half of it is gone."""
    files.write_atomically(files.join(ref.folder, _REMOVING_FILE), b"")
    files.remove(files.join(ref.folder, COMMIT_FILE))
    files.remove_tree(ref.folder)


def discard(model_dir: str | os.PathLike[str]) -> None:
    """Remove all checkpoints of a model directory, and the records of the best and the newest one."""
    for name in (BEST_FILE, SAVED_FILE):
        files.remove(files.join(model_dir, name))
    folder = files.join(model_dir, "checkpoints")
    if files.exists(folder):
        logging.info(f"training: removing {len(committed(model_dir))} checkpoints in {folder}")
        files.remove_tree(folder)


def _all(model_dir: str | os.PathLike[str]) -> list[CheckpointRef]:
    """Return all checkpoints that were not retired, committed or not, oldest first."""
    directory = files.join(model_dir, "checkpoints")
    refs = [
        CheckpointRef(step=int(match[1]), folder=files.join(directory, name))
        for name in files.list_dir(directory)
        if (match := re.fullmatch(r"step-([0-9]{8,15})", name))
    ]
    return sorted(refs, key=lambda ref: ref.step)


def _has(ref: CheckpointRef, name: str) -> bool:
    return files.exists(files.join(ref.folder, name))


def _newest(model_dir: str | os.PathLike[str]) -> int:
    """Return the newest step ever committed; 0 if that is unknown."""
    try:
        return read_json(files.join(model_dir, NEWEST_FILE)).integer("step", minimum=0)
    except (UserError, FileNotFoundError):
        return 0


def _state(ref: CheckpointRef) -> list[tuple[str, int | None, float]]:
    """Return name, size and modification time of each file; 0 for a link that leads nowhere."""
    paths = [files.join(ref.folder, name) for name in files.list_dir(ref.folder)]
    sizes = {path: files.size(path) for path in paths if files.exists(path)}
    return [
        (path, sizes.get(path), files.modified_seconds(path) if path in sizes else 0.0)
        for path in paths
    ]


def _write_json(path: str, content: dict[str, Any]) -> None:
    files.write_atomically(path, json.dumps(content).encode())
