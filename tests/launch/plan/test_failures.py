"""Lost time by the interval between checkpoints."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launch.plan import failures

HOUR = 3600.0


def test_failure_rate_is_that_of_the_published_cluster():
    """419 failures in 54 days on 16,384 chips."""
    assert failures.failures_per_day(16_384) == pytest.approx(419 / 54)


def test_best_interval_is_that_of_youngs_example():
    # d = 1 minute, M = 50 hours, sqrt(2 x 1/60 x 50) = 1.29 hours.
    found = failures.best_interval(save_seconds=60, mtbf_seconds=50 * HOUR)
    assert found / HOUR == pytest.approx(1.29, abs=0.005)


def test_lost_share_is_saves_plus_repeated_work():
    # 1 s of 100 for the save; half an interval and 20 s for a restart every 1,000 s.
    assert failures.lost_share(
        100, save_seconds=1, mtbf_seconds=1000, restart_seconds=20
    ) == pytest.approx(0.01 + 0.07)


SECONDS = st.floats(0.01, 1e3)


@given(save=SECONDS, restart=SECONDS, hours=st.floats(1, 1e4), most=st.floats(1e-3, 0.5))
def test_longest_interval_loses_the_allowed_share(save, restart, hours, most):
    job = dict(save_seconds=save, mtbf_seconds=hours * HOUR, restart_seconds=restart)
    longest = failures.longest_interval(most, **job)
    best = failures.best_interval(save_seconds=save, mtbf_seconds=hours * HOUR)
    least = failures.lost_share(best, **job)
    if longest is None:
        assert least >= most * (1 - 1e-9)
        return
    assert failures.lost_share(longest, **job) == pytest.approx(most, rel=1e-6)
    assert longest >= best * (1 - 1e-9)
