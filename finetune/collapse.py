"""Runs that learn nothing: told early, by their training loss.

Fine-tuning of large encoders fails in some runs, whatever the task (Lambert's on MNLI in one of
three): the loss stays that of always giving the same answer, and never leaves it again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from finetune.config import FinetuneConfig
from finetune.recipe import collapse_check_step
from pretrain.train.config import TrainConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Collapse:
    """A run that has learned nothing, or whose steps could not be made.

    Attributes:
      step: at which it was told.
      reason: for people.
    """

    step: int
    reason: str


class Collapsed(Exception):  # noqa: N818  the run is over, the program is not
    """Ends the loop of a run."""

    def __init__(self, collapse: Collapse):
        super().__init__(collapse)
        self.collapse = collapse


class CollapseWatch:
    """Looks at the rows of metrics of a run."""

    def __init__(
        self,
        finetune: FinetuneConfig,
        train: TrainConfig,
        *,
        least_loss: float,
        rows: Sequence[dict],
    ):
        """Takes what is known before the run goes on.

        Args:
          finetune: when to look, and how much below `least_loss` is something.
          train: how many steps.
          least_loss: of always giving the same answer (`Task.majority_entropy`).
          rows: of metrics.jsonl, of the steps that were made before.
        """
        self._check_step, self._last_step = collapse_check_step(finetune, train), train.train_steps
        # Where nobody looks early, as much of the end is judged as would be by default.
        fraction = finetune.collapse_check_fraction or FinetuneConfig.collapse_check_fraction
        self._window = max(1, int(fraction * train.train_steps / 2))
        self._margin, self._least_loss = finetune.collapse_margin, least_loss
        self._losses = {row["step"]: row["loss"] for row in rows if row.get("loss") is not None}
        self._checked = any(step >= self._check_step for step in self._losses)

    def __call__(self, step: int, row: dict) -> None:
        """Takes in a row of training; raises `Collapsed` if the run has learned nothing by now."""
        self._losses[step] = row["loss"]
        is_due = not self._checked and self._check_step <= step < self._last_step
        if self._check_step and is_due:
            self._checked = True
            if found := self.verdict():
                raise Collapsed(found)

    def verdict(self) -> Collapse | None:
        """On the steps so far: what is wrong, or None."""
        if not self._losses:
            return None
        last = max(self._losses)
        recent = [loss for step, loss in self._losses.items() if step > last - self._window]
        mean = sum(recent) / len(recent)
        if mean < self._least_loss * (1 - self._margin):
            return None
        return Collapse(
            step=last,
            reason=f"mean training loss {mean:.4f} over the last steps, {self._least_loss:.4f} is that of"
            " always giving the same answer",
        )
