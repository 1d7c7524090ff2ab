import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launch.accelerators.machines import parse
from launch.plan import failures
from launch.plan.allreduce import all_reduce_seconds, sent_bytes

HOUR = 3600.0


def test_failures_of_a_large_cluster():
    """The report that the rate is from: 419 in 54 days on 16,384 chips."""
    assert failures.failures_per_day(16_384) == pytest.approx(419 / 54)


def test_an_interval_of_the_literature():
    # Young's example: d = 1 minute, M = 50 hours, sqrt(2 x 1/60 x 50) = 1.29 hours.
    found = failures.best_interval(save_seconds=60, between_seconds=50 * HOUR)
    assert found / HOUR == pytest.approx(1.29, abs=0.005)


def test_lost_share():
    # 1 s of 100 for the save; half an interval and 20 s again every 1,000 s.
    assert failures.lost_share(
        100, save_seconds=1, between_seconds=1000, restart_seconds=20
    ) == pytest.approx(0.01 + 0.07)


times = st.floats(0.01, 1e3)


@given(save=times, restart=times, hours=st.floats(1, 1e4), most=st.floats(1e-3, 0.5))
def test_the_longest_interval_loses_as_much_as_allowed(save, restart, hours, most):
    facts = dict(save_seconds=save, between_seconds=hours * HOUR, restart_seconds=restart)
    longest = failures.longest_interval(most, **facts)
    best = failures.best_interval(save_seconds=save, between_seconds=hours * HOUR)
    least = failures.lost_share(best, **facts)
    if longest is None:
        assert least >= most * (1 - 1e-9)
        return
    assert failures.lost_share(longest, **facts) == pytest.approx(most, rel=1e-6)
    assert longest >= best * (1 - 1e-9)


def test_what_a_ring_sends():
    assert sent_bytes(100, 1) == 0
    assert sent_bytes(100, 2) == 100
    assert sent_bytes(100, 4) == 150


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("v5e-1", 0.0),
        # 200 GB/s of links at 0.8, halved below a whole pod, whose rings alone are closed.
        ("v5e-256", 2 * 255 / 256 / 160),
        ("v5e-64", 2 * 63 / 64 / 80),
        # Both cores of a v4 are one device; 64 chips are a torus.
        ("v4-128", 2 * 63 / 64 / (0.8 * 1.1e15 / 4096 / 1e9)),
        ("h100x8", 2 * 7 / 8 / (0.8 * 450)),
        # Inside the host, then an eighth of it by each GPU over 400 Gbit/s.
        ("h100x64", 2 * 7 / 8 / (0.8 * 450) + 2 * 7 / 8 / 8 / (0.8 * 50)),
        ("cpu", 0.0),
    ],
)
def test_seconds_for_a_gigabyte(name, seconds):
    assert math.isclose(all_reduce_seconds(parse(name), 1e9), seconds, rel_tol=1e-12)
