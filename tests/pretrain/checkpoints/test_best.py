"""The record of the best step."""

import pytest

from data.errors import UserError
from pretrain.checkpoints.best import best_step, record_best


def record(directory, *evaluations):
    return [record_best(directory, step, {"eval_loss": loss}) for step, loss in evaluations]


def test_lowest_loss_is_the_best(tmp_path):
    assert best_step(tmp_path) is None
    assert record(tmp_path, (10, 3.0), (20, 2.0), (30, 2.0), (40, 2.5)) == [
        True,
        True,
        False,
        False,
    ]
    assert best_step(tmp_path) == 20


def test_nan_is_never_the_best(tmp_path):
    assert record(tmp_path, (10, float("nan")), (20, 4.0), (30, float("nan"))) == [
        *(False, True, False)
    ]
    assert best_step(tmp_path) == 20


def test_repeated_steps_are_recorded_again(tmp_path):
    """A run that resumes at step 20 repeats step 30."""
    record(tmp_path, (30, 2.0))
    assert record(tmp_path, (25, 2.5), (30, 2.4)) == [True, True]
    assert best_step(tmp_path) == 30


@pytest.mark.parametrize(
    "content",
    [
        *("", "[]", "{}", '{"step": 1}', "[" * 100_000, '{"step": Infinity, "loss": 1}'),
        *('{"step": 1, "loss": NaN}', '{"step": "1", "loss": 1}', '{"step": 1, "a": 1, "b": 2}'),
    ],
)
def test_damaged_record_is_an_error(tmp_path, content):
    (tmp_path / "best.json").write_text(content)
    with pytest.raises(UserError, match=r"best\.json is damaged: .*; delete it"):
        best_step(tmp_path)
