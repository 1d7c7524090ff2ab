"""Detect runs that learn nothing, early, from their training loss.

Fine-tuning of large encoders fails in some runs, whatever the task (with Lambert on MNLI in one of
three): the loss stays at that of always giving the same answer until the end.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from finetune.config import FinetuneConfig
from finetune.recipe import collapse_check_step
from pretrain.train.config import TrainConfig
from pretrain.train.loop import Hook


@dataclasses.dataclass(frozen=True, kw_only=True)
class Collapse:
    """A run that has learned nothing, or that had too many bad steps.

    Attributes:
      step: step at which it was detected.
      reason: one sentence for the terminal and the report.
    """

    step: int
    reason: str


class Collapsed(Exception):  # noqa: N818  the run is over, the program is not
    """Ends the training loop of a run that has collapsed."""

    def __init__(self, collapse: Collapse):
        super().__init__(collapse)
        self.collapse = collapse


class CollapseDetector(Hook):
    """Watch the training loss, and end a run that has learned nothing."""

    def __init__(
        self,
        finetune: FinetuneConfig,
        train: TrainConfig,
        *,
        warmup_steps: int,
        constant_loss: float,
        rows: Sequence[dict[str, Any]],
    ):
        """Start from the rows of earlier starts of the run.

        Args:
          finetune: when to check, and by which margin the loss must be below `constant_loss`.
          train: number of steps.
          warmup_steps: steps in which the learning rate rises.
          constant_loss: loss of always giving the same answer (`Task.majority_entropy`).
          rows: rows of metrics.jsonl up to the step at which the run resumes.
        """
        self._check_step = collapse_check_step(finetune, train, warmup_steps=warmup_steps)
        self._last_step = train.train_steps
        # Without an early check, the check at the end looks at as many steps as the default would.
        fraction = finetune.collapse_check_fraction or FinetuneConfig.collapse_check_fraction
        self._window = max(1, int(fraction * train.train_steps / 2))
        self._margin, self._constant_loss = finetune.collapse_margin, constant_loss
        self._losses = {row["step"]: row["loss"] for row in rows if row.get("loss") is not None}
        self._is_checked = self._check_step is None or any(
            step >= self._check_step for step in self._losses
        )

    def after_row(self, step: int, row: dict[str, Any]) -> None:
        """Add a row of training metrics; raise `Collapsed` if the check is due and fails."""
        self._losses[step] = row["loss"]
        if self._check_step is None or self._is_checked:
            return
        if self._check_step <= step < self._last_step:
            self._is_checked = True
            if collapse := self.check():
                reason = (
                    f"{collapse.reason}; stopped at step {step:,} of {self._last_step:,}"
                    " (FinetuneConfig.collapse_check_fraction = 0.0 trains to the end)"
                )
                raise Collapsed(dataclasses.replace(collapse, reason=reason))

    def check(self) -> Collapse | None:
        """Return what is wrong with the last steps, or None."""
        if not self._losses:
            return None
        last = max(self._losses)
        recent = [loss for step, loss in self._losses.items() if step > last - self._window]
        mean = sum(recent) / len(recent)
        if mean < self._constant_loss * (1 - self._margin):
            return None
        return Collapse(
            step=last,
            reason=f"mean training loss {mean:.4f} over the last steps; always giving the same answer"
            f" has {self._constant_loss:.4f}",
        )
