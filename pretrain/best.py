"""Which step of a run did best on held-out text."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from data.errors import UserError
from data.files import write_atomically

BEST_FILE = "best.json"


def record_best(model_dir: str | Path, step: int, metrics: Mapping[str, float]) -> bool:
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
    write_atomically(Path(model_dir, BEST_FILE), content.encode())
    return True


def best_step(model_dir: str | Path) -> int | None:
    """The recorded step; None if nothing was recorded.

    Raises:
      UserError: the record is damaged.
    """
    best = _read(model_dir)
    return best and best["step"]


def _read(model_dir: str | Path) -> dict | None:
    path = Path(model_dir, BEST_FILE)
    try:
        best = json.loads(path.read_text(encoding="utf-8"))
        return {"step": int(best["step"]), "loss": float(best["loss"])}
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged: {error!r}; delete it") from error
