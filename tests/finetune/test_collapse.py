"""Detection of runs that learn nothing."""

import pytest

from finetune.collapse import Collapsed, CollapseDetector
from finetune.config import FinetuneConfig
from pretrain.train.config import TrainConfig


def build_detector(rows=(), steps=1000, warmup_steps=0, **finetune) -> CollapseDetector:
    """Return a detector for a task whose constant answer has loss 1."""
    config = FinetuneConfig(**{"collapse_check_fraction": 0.4, **finetune})
    return CollapseDetector(
        config,
        TrainConfig(train_steps=steps),
        warmup_steps=warmup_steps,
        constant_loss=1.0,
        rows=rows,
    )


def test_mean_loss_of_recent_steps_is_checked_once_and_at_the_end():
    """The check is at the first row from step 400 on; recent are the last 200 steps."""
    detector = build_detector()
    for step, loss in ((100, 0.1), (200, 0.1), (300, 1.01), (390, 0.96)):
        detector.after_row(step, {"loss": loss})
    with pytest.raises(Collapsed) as caught:
        detector.after_row(420, {"loss": 0.98})
    assert caught.value.collapse.step == 420
    reason = caught.value.collapse.reason
    assert "mean training loss 0.9833" in reason
    assert "step 420 of 1,000 (FinetuneConfig.collapse_check_fraction = 0.0" in reason

    detector = build_detector(rows=[{"step": 300, "loss": 1.01}, {"step": 300, "eval_loss": 9.0}])
    detector.after_row(400, {"loss": 0.9})  # mean 0.955
    detector.after_row(500, {"loss": 7.0})  # not checked again
    assert detector.check().step == 500  # the check at the end
    detector.after_row(600, {"loss": 0.1})
    detector.after_row(700, {"loss": 0.1})
    assert detector.check() is None


@pytest.mark.parametrize(
    ("steps", "warmup_steps", "stopped_at"),
    [
        (36_815, 3_681, 11_045),
        (1000, 100, 400),
        (1000, 200, 500),
        (400, 100, None),
        (131, 13, None),
    ],
)
def test_short_runs_and_warm_ups_are_not_given_up(steps, warmup_steps, stopped_at):
    """At 0.3 of the steps, but at the earliest 300 steps after the warm-up."""
    detector = build_detector(steps=steps, warmup_steps=warmup_steps, collapse_check_fraction=0.3)
    stopped = None
    for step in range(1, steps + 1):
        try:
            detector.after_row(step, {"loss": 1.0})
        except Collapsed as collapsed:
            stopped = collapsed.collapse.step
            break
    assert stopped == stopped_at


def test_run_without_early_check_is_checked_at_the_end():
    detector = build_detector(collapse_check_fraction=0.0)
    detector.after_row(500, {"loss": 9.0})
    assert detector.check() is not None
