"""Failures, and how often to save: first order in the length of a save, after Young and Daly.

With d the seconds that a save stops training, M the mean seconds between failures and R those until a
run goes on, an interval of t seconds between saves loses the share

    d / t + (t / 2 + R) / M

of the time: saves, half an interval done again after each failure, and restarts. It is least at
t = sqrt(2 d M) (Young, "A first order approximation to the optimum checkpoint interval", 1974; Daly,
"A higher order estimate of the optimum checkpoint interval for restart dumps", 2006, adds terms that
are below the error of M here).
"""

from __future__ import annotations

import math

SECONDS_OF_DAY = 86_400.0
# "The Llama 3 Herd of Models" (2024), section 3.3.4: 419 unexpected interruptions in 54 days on 16,384
# H100s.
CHIP_DAYS_BETWEEN_FAILURES = 54 * 16_384 / 419


def failures_per_day(chips: int) -> float:
    """Of a job, if chips fail as in that report."""
    return chips / CHIP_DAYS_BETWEEN_FAILURES


def lost_share(
    interval_seconds: float, *, save_seconds: float, between_seconds: float, restart_seconds: float
) -> float:
    """Of the time of a job, see the top of this file; 1 and above means that it does not advance."""
    again = interval_seconds / 2 + restart_seconds
    return save_seconds / interval_seconds + again / between_seconds


def best_interval(*, save_seconds: float, between_seconds: float) -> float:
    """Seconds between saves that lose least."""
    return math.sqrt(2 * save_seconds * between_seconds)


def longest_interval(
    most_lost: float, *, save_seconds: float, between_seconds: float, restart_seconds: float
) -> float | None:
    """The longest seconds between saves that lose at most a share; None if none does."""
    rest = most_lost - restart_seconds / between_seconds
    root = rest**2 - 2 * save_seconds / between_seconds
    if rest <= 0 or root < 0:
        return None
    return between_seconds * (rest + math.sqrt(root))
