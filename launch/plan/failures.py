"""Failures and the checkpoint interval, to first order in the length of a save (Young and Daly).

With d seconds that a save stops training, M mean seconds between failures and R seconds from a failure
until the run resumes, checkpoints every t seconds lose the share

    d / t + (t / 2 + R) / M

of the time: saves, half an interval computed again after each failure, and restarts. It is smallest at
t = sqrt(2 d M) (Young, "A first order approximation to the optimum checkpoint interval", 1974; Daly,
"A higher order estimate of the optimum checkpoint interval for restart dumps", 2006, adds terms that
are below the error of M here).
"""

from __future__ import annotations

import math

SECONDS_PER_DAY = 86_400.0
# "The Llama 3 Herd of Models" (2024), section 3.3.4: 419 unexpected interruptions in 54 days on 16,384
# H100s.
CHIP_DAYS_BETWEEN_FAILURES = 54 * 16_384 / 419


def failures_per_day(chips: float) -> float:
    """Return the failures per day of a job, if chips fail as in that report."""
    return chips / CHIP_DAYS_BETWEEN_FAILURES


def lost_share(
    interval_seconds: float, *, save_seconds: float, mtbf_seconds: float, restart_seconds: float
) -> float:
    """Return the share of a job's time that is lost; a job does not advance at 1 and above.

    Args:
      interval_seconds: seconds between checkpoints.
      save_seconds: seconds that a save stops training.
      mtbf_seconds: mean seconds between failures.
      restart_seconds: seconds from a failure until the run resumes.
    """
    repeated_seconds = interval_seconds / 2 + restart_seconds
    return save_seconds / interval_seconds + repeated_seconds / mtbf_seconds


def best_interval(*, save_seconds: float, mtbf_seconds: float) -> float:
    """Return the seconds between checkpoints at which the lost share is smallest."""
    return math.sqrt(2 * save_seconds * mtbf_seconds)


def longest_interval(
    most_lost: float, *, save_seconds: float, mtbf_seconds: float, restart_seconds: float
) -> float | None:
    """Return the most seconds between checkpoints that lose at most `most_lost`, or None if none do."""
    rest = most_lost - restart_seconds / mtbf_seconds
    root = rest**2 - 2 * save_seconds / mtbf_seconds
    if rest <= 0 or root < 0:
        return None
    return mtbf_seconds * (rest + math.sqrt(root))
