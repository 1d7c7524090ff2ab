"""Bad steps: the rule, what a skipped step leaves untouched, and the log."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from optim.build import build_optimizer
from optim.config import OPTIMIZERS, OptimizerConfig
from pretrain.experiment import build_trainer
from pretrain.train.bad_steps import (
    GOOD,
    NOT_FINITE,
    SPIKE,
    BadStep,
    BadStepLog,
    BadSteps,
    TooManyBadSteps,
)
from tests.support.logged import messages
from tests.support.training import fresh_trainer, run_config, strategy_of


def classified(bad_steps, losses, norms=None, first=0):
    norms = [1.0] * len(losses) if norms is None else norms
    return [
        tuple(bad_steps.classify(tf.constant(first + i, tf.int64), loss, norm).numpy().astype(int))
        for i, (loss, norm) in enumerate(zip(tf.constant(losses), tf.constant(norms), strict=True))
    ]


# Median 5, median absolute deviation 1: sigma is 1.4826.
CALM = [4.0, 5.0, 6.0, 5.0] * 32


@pytest.fixture
def full():
    bad_steps = BadSteps(threshold=10.0)
    assert classified(bad_steps, CALM, CALM) == [(GOOD, 0)] * 128
    return bad_steps


def test_loss_above_the_threshold_is_a_spike(full):
    # Half of the window equals the median, so sigma is one hundredth of the median.
    assert classified(full, [5.0, 5.6], [5.0, 5.0], first=128) == [(GOOD, 0), (SPIKE, 1)]


def test_threshold_of_a_window_that_varies():
    bad_steps = BadSteps(threshold=10.0)
    lively = [3.0, 4.0, 5.0, 6.0, 7.0, 4.0, 6.0, 5.0] * 16  # median absolute deviation 1
    classified(bad_steps, lively, lively)
    below, above = 5 + 14.8, 5 + 14.9
    assert classified(bad_steps, [below], [5.0], first=128) == [(GOOD, 0)]
    assert classified(bad_steps, [above], [5.0], first=129) == [(SPIKE, 1)]
    assert classified(bad_steps, [5.0], [above], first=130) == [(SPIKE, 2)]  # the norm alone
    assert classified(bad_steps, [0.0], [0.0], first=131) == [
        (GOOD, 2)
    ]  # a low value is not a spike


def test_no_spikes_before_the_window_is_full_or_without_a_threshold(full):
    assert classified(BadSteps(threshold=10.0), [*CALM[:127], 1e6])[-1] == (GOOD, 0)
    off = BadSteps(threshold=0.0)
    assert classified(off, [*CALM, 1e6, np.inf])[-2:] == [(GOOD, 0), (NOT_FINITE, 1)]


def test_nan_and_inf_do_not_enter_the_window(full):
    before = full.losses.numpy().tolist()
    found = classified(full, [np.nan, 5.0, np.inf], [5.0, np.nan, 5.0], first=128)
    assert found == [(NOT_FINITE, 1), (NOT_FINITE, 2), (NOT_FINITE, 3)]
    assert full.losses.numpy().tolist() == before


def test_at_most_three_spikes_in_a_row_are_skipped(full):
    """A lasting change of level is accepted; an isolated spike after it is skipped again."""
    kinds = [kind for kind, _ in classified(full, [20.0] * 70, [5.0] * 70, first=128)]
    assert kinds == [SPIKE] * 3 + [GOOD] * 67
    classified(full, [5.0] * 128, [5.0] * 128, first=198)
    assert [kind for kind, _ in classified(full, [20.0, 5.0, 20.0], first=326)] == [
        SPIKE,
        GOOD,
        SPIKE,
    ]


def test_norms_are_not_judged_where_gradients_are_clipped():
    clipped = BadSteps(threshold=10.0, judges_norms=False)
    classified(clipped, CALM, CALM)
    assert classified(clipped, [5.0, 20.0], [1e6, 5.0], first=128) == [(GOOD, 0), (SPIKE, 1)]


@pytest.mark.parametrize(("clip_norm", "kind"), [(1.0, GOOD), (0.0, SPIKE)])
def test_trainer_judges_norms_without_clipping(clip_norm, kind):
    config = run_config(spike_threshold=10.0)
    optimizer = dataclasses.replace(config.optimizer, clip_norm=clip_norm)
    trainer = build_trainer(dataclasses.replace(config, optimizer=optimizer), strategy_of(1))
    classified(trainer.bad_steps, CALM, CALM)
    assert classified(trainer.bad_steps, [5.0], [1e6], first=128)[0][0] == kind


def test_no_finite_step_is_skipped_by_default():
    """Losses and norms of a diverging run: the published recipe skips nothing."""
    bad_steps = fresh_trainer(run_config()).bad_steps
    found = classified(bad_steps, [*CALM, 1e6, np.nan], [*CALM, 1e9, 5.0])
    assert found == [(GOOD, 0)] * 129 + [(NOT_FINITE, 1)]


def test_old_bad_steps_leave_the_window(full):
    assert classified(full, [np.nan], first=128) == [(NOT_FINITE, 1)]
    assert classified(full, CALM, CALM, first=129)[-2:] == [(GOOD, 1), (GOOD, 0)]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_closed_gate_changes_nothing_but_the_step_counter(name):
    variables = [tf.Variable([1.0, -2.0], name="kernel"), tf.Variable([3.0], name="bias")]
    optimizer = build_optimizer(OptimizerConfig(optimizer=name), 0.1)
    optimizer.build(variables)

    def step(*gradients):
        optimizer.apply_gradients(zip(map(tf.constant, gradients), variables, strict=True))

    def state():
        return [v.numpy().tolist() for v in [*variables, *optimizer.variables[1:]]]

    step([0.5, 0.25], [-1.0])
    before = state()
    optimizer.gate.set(tf.constant(False))
    for bad in (np.nan, np.inf, -np.inf, 1e38, 1.0):
        step([bad, 1.0], [bad])
        assert state() == before
    assert int(optimizer.iterations) == 6
    optimizer.gate.set(tf.constant(True))
    step([0.5, 0.25], [-1.0])
    assert all(now != then for now, then in zip(state()[:2], before[:2], strict=True))


BAD_STEPS = [
    BadStep(step=5, loss=float("nan"), grad_norm=1.5, kind=NOT_FINITE, recent=1),
    BadStep(step=8, loss=9.5, grad_norm=70.25, kind=SPIKE, recent=2),
]


def log_in(model_dir, **options) -> BadStepLog:
    settings = {"max_bad_steps": 2, "seed": 3, "global_batch_size": 4, "num_sequences": 10}
    return BadStepLog(str(model_dir), **(settings | options))


def test_log_names_step_reason_and_batch(tmp_path, capsys):
    log = log_in(tmp_path)
    log.drop_after(0)  # there is no file yet
    log.record([])
    assert list(tmp_path.iterdir()) == []
    log.record(BAD_STEPS[:1])
    log.record(BAD_STEPS[1:])
    path = tmp_path / "bad_steps.jsonl"
    first, second = map(json.loads, path.read_text().splitlines())
    assert (first["step"], first["reason"], first["loss"]) == (5, "not finite", "nan")
    assert (second["step"], second["reason"], second["grad_norm"]) == (8, "spike", 70.25)
    # Steps 1, 2 and half of 3 show the first epoch, each sequence once.
    assert (first["epoch"], second["epoch"]) == (1, 2)
    assert len(set(first["sequences"])) == 4
    assert set(first["sequences"]) <= set(range(10))
    assert first["batch_sha256"] != second["batch_sha256"]
    assert messages(capsys.readouterr().err) == [
        "training: step 5 was skipped (not finite): loss nan, gradient norm 1.5",
        "training: step 8 was skipped (spike): loss 9.5, gradient norm 70.25",
    ]
    log.drop_after(7)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [5]


def test_other_workers_write_nothing(tmp_path, capsys):
    log_in(tmp_path, is_chief=False).record(BAD_STEPS)
    assert (list(tmp_path.iterdir()), capsys.readouterr().err) == ([], "")


DAMAGED = [
    '{"step": 5, "lo',
    "\x00" * 40,
    "[5]",
    "{}",
    '{"step": "x"}',
    '{"step": 1e999}',
    "[" * 10**5,
]


@pytest.mark.parametrize("line", DAMAGED)
def test_damaged_lines_of_the_log_are_removed(tmp_path, capsys, line):
    path = tmp_path / "bad_steps.jsonl"
    path.write_text(damaged := f'{{"step": 4}}\n{line}\n{{"step": 6}}\n')
    log = log_in(tmp_path)
    log.drop_after(6)
    assert path.read_text() == '{"step": 4}\n{"step": 6}\n'
    assert (tmp_path / "bad_steps.jsonl.damaged").read_text() == damaged
    assert f"{path} has 1 damaged lines; the others are kept" in capsys.readouterr().err
    log.record(BAD_STEPS[1:])
    assert [json.loads(row)["step"] for row in path.read_text().splitlines()] == [4, 6, 8]


def test_first_of_the_recent_bad_steps(tmp_path):
    log_in(tmp_path).record(BAD_STEPS)
    log = log_in(tmp_path)
    log.drop_after(8)  # a resumed run reads them
    found = [log.first_recent(step) for step in (4, 5, 132, 133, 135, 136)]
    assert found == [None, 5, 5, 8, 8, None]


def test_error_of_too_many_bad_steps_describes_the_weights(tmp_path):
    for problem, text in ((None, "no weight is NaN"), ("x has NaN", r"are ruined \(x has NaN\)")):
        with pytest.raises(TooManyBadSteps, match=text):
            log_in(tmp_path, max_bad_steps=0).record(BAD_STEPS, lambda p=problem: p)


@pytest.mark.parametrize("is_chief", [True, False])
def test_too_many_bad_steps_end_the_run_on_every_worker(tmp_path, is_chief):
    log_in(tmp_path, max_bad_steps=2, is_chief=is_chief).record(BAD_STEPS)
    with pytest.raises(TooManyBadSteps) as caught:
        log_in(tmp_path, max_bad_steps=1, is_chief=is_chief).record(BAD_STEPS)
    assert "2 of the last 128 steps" in str(caught.value)
    assert "TrainConfig.max_bad_steps=1" in str(caught.value)
    assert "5 (loss nan, gradient norm 1.5), 8 (loss 9.5, gradient norm 70.25)" in str(caught.value)
    assert f"{tmp_path}/bad_steps.jsonl" in str(caught.value)
    assert "resume with TrainConfig.spike_threshold=0.0" in str(caught.value)  # step 8 was one
    assert "OptimizerConfig.peak_learning_rate" in str(caught.value)  # step 5 was not finite
