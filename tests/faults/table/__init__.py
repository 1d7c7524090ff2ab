"""The table: what is damaged, how, which command runs, and what is right."""

from tests.faults.case import Row
from tests.faults.table import builds, runs


def table() -> list[Row]:
    """Return all rows, in the order of the page."""
    return [*builds.rows(), *runs.rows()]
