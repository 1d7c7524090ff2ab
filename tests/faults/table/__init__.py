"""The table: what is damaged, how, which command runs, and what is right."""

from tests.faults.case import Row
from tests.faults.table import builds, checkpoints, exports, inputs, logs, runs, settings, tasks

# In the order of the page.
_MODULES = (builds, inputs, runs, checkpoints, logs, exports, tasks, settings)


def table() -> list[Row]:
    """Return all rows."""
    return [entry for module in _MODULES for entry in module.rows()]
