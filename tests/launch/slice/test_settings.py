"""Times and ports of a slice."""

import pytest

from data.errors import UserError
from launch.slice.settings import Times, port


def test_environment_overrides_times():
    times = Times.from_environment({"LAMBERT_SLICE_SECONDS": "beat=0.5,lost=5"})
    assert times == Times(beat=0.5, lost=5.0)
    assert Times.from_environment({}) == Times()


@pytest.mark.parametrize("text", ["beat", "beat=", "beat=0", "beat=-1", "beat=inf", "bet=1", "=1"])
def test_malformed_times_are_errors(text):
    with pytest.raises(UserError, match="must be NAME=SECONDS with a positive number and one of"):
        Times.from_environment({"LAMBERT_SLICE_SECONDS": text})


def test_ports():
    assert port("P", 8470, {}) == 8470
    assert port("P", 8470, {"P": "0"}) == 0
    for text in ("", "-1", "65536", "http"):
        with pytest.raises(UserError, match=f"P={text}: must be a port"):
            port("P", 8470, {"P": text})
