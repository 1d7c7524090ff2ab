"""Detection of runs that learn nothing."""

import pytest

from finetune.collapse import Collapsed, CollapseDetector
from finetune.config import FinetuneConfig
from pretrain.train.config import TrainConfig


def build_detector(constant_loss=1.0, rows=(), **finetune) -> CollapseDetector:
    config = FinetuneConfig(**{"collapse_check_fraction": 0.4, **finetune})
    return CollapseDetector(
        config, TrainConfig(train_steps=100), constant_loss=constant_loss, rows=rows
    )


def test_mean_loss_of_recent_steps_is_checked_once_and_at_the_end():
    """The check is at the first row from step 40 on; recent are the last 20 steps."""
    detector = build_detector()
    for step, loss in ((10, 0.1), (20, 0.1), (30, 1.01), (39, 0.96)):
        detector.after_row(step, {"loss": loss})
    with pytest.raises(Collapsed) as caught:
        detector.after_row(42, {"loss": 0.98})
    assert caught.value.collapse.step == 42
    assert "mean training loss 0.9833" in caught.value.collapse.reason

    detector = build_detector(rows=[{"step": 30, "loss": 1.01}, {"step": 30, "eval_loss": 9.0}])
    detector.after_row(40, {"loss": 0.9})  # mean 0.955
    detector.after_row(50, {"loss": 7.0})  # not checked again
    assert detector.check().step == 50  # the check at the end
    detector.after_row(60, {"loss": 0.1})
    detector.after_row(70, {"loss": 0.1})
    assert detector.check() is None


def test_run_without_early_check_is_checked_at_the_end():
    detector = build_detector(collapse_check_fraction=0.0)
    detector.after_row(50, {"loss": 9.0})
    assert detector.check() is not None
