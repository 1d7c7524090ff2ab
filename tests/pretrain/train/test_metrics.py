"""Rows of training metrics: means, rates, and clocks that are set during a run."""

from types import SimpleNamespace

import pytest

from pretrain.train.metrics import MetricAccumulator, Workload, training_row
from pretrain.train.trainer import LoopMetrics

WORKLOAD = Workload(examples=3, tokens_per_example=8)


def metrics(*, input_wait_seconds: float, good_steps: int = 4) -> LoopMetrics:
    return LoopMetrics(
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
    """A clock that tests move."""
    now = [1000.0]
    monkeypatch.setattr("pretrain.train.metrics.time.monotonic", lambda: now[0])
    return now


def test_means_over_steps_and_predictions(clock):
    accumulator = MetricAccumulator()
    for wait in (0.5, 1.5):
        clock[0] += 4
        accumulator.add(metrics(input_wait_seconds=wait))
        clock[0] += 100
        accumulator.restart_clock()  # a save, or an evaluation
    assert accumulator.means(WORKLOAD) == {
        "loss": 6.0,
        "mlm_accuracy": 0.4,
        "grad_norm": 2.0,
        "bad_steps": 0,
        "examples_per_second": 8 * 3 / 8,
        "input_wait_fraction": 2 / 8,
    }


def row_of(workload: Workload, clock, ratios=None) -> dict:
    accumulator = MetricAccumulator()
    clock[0] += 4
    accumulator.add(metrics(input_wait_seconds=1.0))
    trainer = SimpleNamespace(learning_rate=0.5, trust_ratios=lambda: ratios or {})
    return training_row(accumulator, trainer, workload)


def test_row_adds_optimizer_and_rates(clock):
    workload = Workload(
        examples=3, tokens_per_example=8, flops_per_example=100.0, peak_flops_per_second=1200.0
    )
    row = row_of(workload, clock, {"a": 0.5, "b": 2.0, "c": 1.0})
    assert list(row.items())[4:] == [
        ("examples_per_second", 3.0),
        ("input_wait_fraction", 0.25),
        ("learning_rate", 0.5),
        ("trust_ratio_min", 0.5),
        ("trust_ratio_median", 1.0),
        ("trust_ratio_max", 2.0),
        ("trust_ratios", {"a": 0.5, "b": 2.0, "c": 1.0}),
        ("tokens_per_second", 24.0),
        ("peak_share", 0.25),
    ]


@pytest.mark.parametrize("accuracy", ["accuracy", None])
def test_row_has_the_accuracy_of_the_model_or_none(clock, accuracy):
    row = row_of(Workload(examples=3, tokens_per_example=8, accuracy=accuracy), clock)
    assert row.get("accuracy") == (0.4 if accuracy else None)
    assert not {"mlm_accuracy", "trust_ratios", "peak_share"} & row.keys()


@pytest.mark.parametrize(("wait", "fraction"), [(-3600.0, 0.25), (3600.0, 0.75)])
def test_setting_the_clock_affects_one_loop_at_most(clock, wait, fraction):
    """The devices measure waits with the wall clock, the host everything else with a monotonic one."""
    accumulator = MetricAccumulator()
    for seconds in (2.0, wait):
        clock[0] += 4
        accumulator.add(metrics(input_wait_seconds=seconds))
    row = accumulator.means(WORKLOAD)
    assert (row["input_wait_fraction"], row["examples_per_second"]) == (fraction, 3)


def test_accumulator_continues_from_its_saved_state(clock):
    uninterrupted = MetricAccumulator()
    clock[0] += 4
    uninterrupted.add(metrics(input_wait_seconds=1.0))
    resumed = MetricAccumulator(uninterrupted.to_json())
    clock[0] += 6
    for accumulator in (uninterrupted, resumed):
        accumulator.add(metrics(input_wait_seconds=2.0))
    assert resumed.means(WORKLOAD) == uninterrupted.means(WORKLOAD)
