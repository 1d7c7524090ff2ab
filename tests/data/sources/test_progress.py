"""Lines about the progress of a phase."""

import io

import pytest

from data.cli import logs
from data.sources import progress
from data.sources.progress import Phase, Progress, describe

READING = Phase(name="reading text", total=3_000_000_000, unit="B", done=1_000_000_000)
PACKING = Phase(name="packing", total=64, unit="shard")


@pytest.mark.parametrize(
    ("phase", "done", "seconds", "line"),
    [
        (
            READING,
            1_500_000_000,
            250,
            "reading text: 50% of 3 GB, 2 MB/s, 12 min left",
        ),
        (READING, 1_000_000_000, 60, "reading text: 33% of 3 GB"),
        (PACKING, 16, 8, "packing: 25% of 64 shards, 2.0 shards/s, 24 s left"),
        (PACKING, 16, 3200, "packing: 25% of 64 shards, 0.3 shards/min, 2 h 40 min left"),
        (PACKING, 64, 10, "packing: 100% of 64 shards, 6.4 shards/s, 0 s left"),
        (Phase(name="packing", total=0, unit="shard"), 0, 1, "packing: 100% of 0 shards"),
        (Phase(name="learning", total=None, unit="piece"), 0, 120, "learning: 2 min so far"),
    ],
)
def test_a_line_has_share_rate_and_time_left(phase, done, seconds, line):
    assert describe(phase, done, seconds) == line


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_has_a_bar():
    stream = Terminal()
    with logs.shown_on(stream), Progress(PACKING, program="data") as shown:
        shown.update(64)
    assert "data: packing: 100%" in stream.getvalue()
    assert "64/64" in stream.getvalue()


def test_a_log_has_a_line_from_time_to_time(monkeypatch):
    monkeypatch.setattr(progress, "_LINE_SECONDS", 0.001)
    stream = io.StringIO()
    with logs.shown_on(stream), Progress(PACKING, program="data") as shown:
        shown.update(16)
        while "25%" not in stream.getvalue():
            pass
    assert "data: packing: 25% of 64 shards, " in stream.getvalue()


def test_a_short_phase_leaves_no_line_in_a_log():
    stream = io.StringIO()
    with logs.shown_on(stream), Progress(PACKING, program="data"):
        pass
    assert stream.getvalue() == ""
