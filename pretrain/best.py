"""Which step of a run did best on held-out text."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping

from data import files
from data.errors import UserError

BEST_FILE = "best.json"


def record_best(model_dir: str | os.PathLike, step: int, metrics: Mapping[str, float]) -> bool:
    """Records a step if its held-out loss is the lowest so far.

    A record of this step or of a later one is of work that was lost: it is replaced.

    Args:
      model_dir: the run.
      step: that was evaluated.
      metrics: with "eval_loss".

    Returns:
      Whether it is the best.

    Raises:
      UserError: the record of before is damaged.
    """
    loss, best = metrics["eval_loss"], _read(model_dir)
    if not math.isfinite(loss) or (best and best["step"] < step and best["loss"] <= loss):
        return False
    content = json.dumps({"step": step, "loss": loss})
    files.write_atomically(files.join(model_dir, BEST_FILE), content.encode())
    return True


def best_step(model_dir: str | os.PathLike) -> int | None:
    """The recorded step; None if nothing was recorded.

    Raises:
      UserError: the record is damaged.
    """
    best = _read(model_dir)
    return best and best["step"]


def _read(model_dir: str | os.PathLike) -> dict | None:
    path = files.join(model_dir, BEST_FILE)
    try:
        best = json.loads(files.read_bytes(path))
        return {"step": int(best["step"]), "loss": float(best["loss"])}
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged: {error!r}; delete it") from error
