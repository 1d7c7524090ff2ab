"""Means over the steps between two rows, and clocks that are set meanwhile."""

import pytest

from pretrain.train.metrics import Window
from pretrain.train.trainer import TrainMetrics


def metrics(*, input_wait_seconds: float, good_steps: int = 4) -> TrainMetrics:
    return TrainMetrics(
        loss_sum=30.0,
        correct_sum=2.0,
        weight_sum=5.0,
        grad_norm_sum=8.0,
        good_steps=good_steps,
        bad_steps=(),
        input_wait_seconds=input_wait_seconds,
    )


@pytest.fixture
def clock(monkeypatch):
    """Time passes only where a test says so."""
    now = [1000.0]
    monkeypatch.setattr("pretrain.train.metrics.time.monotonic", lambda: now[0])
    return now


def test_means_over_steps_and_predictions(clock):
    window = Window()
    for wait in (0.5, 1.5):
        clock[0] += 4
        window.add(metrics(input_wait_seconds=wait))
        clock[0] += 100
        window.restart_clock()  # a save, or an evaluation
    assert window.row(global_batch_size=3) == {
        "loss": 6.0,
        "mlm_accuracy": 0.4,
        "grad_norm": 2.0,
        "bad_steps": 0,
        "examples_per_second": 8 * 3 / 8,
        "input_wait_fraction": 2 / 8,
    }


@pytest.mark.parametrize(("wait", "fraction"), [(-3600.0, 0.25), (3600.0, 0.75)])
def test_a_clock_that_is_set_shows_in_one_loop_at_most(clock, wait, fraction):
    """Waits are measured on the devices by the clock of the machine; all else by one that only rises."""
    window = Window()
    for seconds in (2.0, wait):
        clock[0] += 4
        window.add(metrics(input_wait_seconds=seconds))
    row = window.row(global_batch_size=3)
    assert (row["input_wait_fraction"], row["examples_per_second"]) == (fraction, 3)


def test_a_window_goes_on_where_it_was_saved(clock):
    whole = Window()
    clock[0] += 4
    whole.add(metrics(input_wait_seconds=1.0))
    continued = Window(whole.to_json())
    clock[0] += 6
    for window in (whole, continued):
        window.add(metrics(input_wait_seconds=2.0))
    assert continued.row(global_batch_size=3) == whole.row(global_batch_size=3)
