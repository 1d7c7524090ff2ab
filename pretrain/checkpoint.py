"""Checkpoints of a run: a checkpoint counts only with its commit record, which is written last."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import tensorflow as tf

from data.errors import UserError
from data.files import write_atomically


@dataclasses.dataclass(frozen=True, kw_only=True)
class Saved:
    """A finished checkpoint: `prefix` is what TensorFlow calls its path."""

    step: int
    prefix: str


def committed(model_dir: str | Path) -> list[Saved]:
    """The finished checkpoints of a model directory, oldest first."""
    found = []
    for path in Path(model_dir, "checkpoints").glob("step-*/COMMIT.json"):
        if re.fullmatch(r"step-\d+", path.parent.name):
            step = json.loads(path.read_text(encoding="utf-8"))["step"]
            found.append(Saved(step=step, prefix=str(path.parent / "ckpt")))
    return sorted(found, key=lambda saved: saved.step)


class Checkpoints:
    """Saves and restores model and optimizer; keeps the newest few."""

    def __init__(self, model_dir: str | Path, *, model, optimizer, keep: int, is_chief: bool):
        """The items are the model's `checkpoint_items`, `encoder` and `masked_lm`, and `optimizer`."""
        self._dir = Path(model_dir, "checkpoints")
        self._model_dir, self._keep, self._is_chief = model_dir, keep, is_chief
        self._checkpoint = tf.train.Checkpoint(**model.checkpoint_items, optimizer=optimizer)

    def save(self, step: int) -> None:
        """Saves one step. All workers must call it; only the chief's files stay."""
        final = self._dir / f"step-{step:08d}"
        # Every worker takes part in reading the variables, each into a folder of its own.
        target = final if self._is_chief else self._dir / f".worker-step-{step:08d}"
        self._checkpoint.write(str(target / "ckpt"))
        if not self._is_chief:
            shutil.rmtree(target, ignore_errors=True)
            return
        commit = json.dumps({"step": step, "files": sorted(p.name for p in target.iterdir())})
        write_atomically(target / "COMMIT.json", commit.encode())
        for old in committed(self._model_dir)[: -self._keep]:
            folder = Path(old.prefix).parent
            (folder / "COMMIT.json").unlink()  # first: half a checkpoint must not count
            shutil.rmtree(folder)

    def restore_latest(self) -> int | None:
        """Restores the newest finished checkpoint; returns its step, or None if there is none.

        Raises:
          UserError: its files are damaged or do not fit the model.
        """
        saved = committed(self._model_dir)
        if not saved:
            return None
        restore(self._checkpoint, saved[-1])
        return saved[-1].step


def restore(checkpoint: tf.train.Checkpoint, saved: Saved) -> None:
    """Restores every variable of `checkpoint`; raises a UserError naming what does not fit."""
    try:
        status = checkpoint.read(saved.prefix)
        status.assert_existing_objects_matched()
    except (tf.errors.OpError, AssertionError, ValueError, IndexError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"checkpoint {saved.prefix} cannot be restored: {reason}; delete its folder to go on"
            " from the one before"
        ) from error
    status.expect_partial()
