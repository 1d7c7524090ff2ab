"""Lengths of messages."""

from data.errors import list_names, shorten


def test_very_long_message_loses_its_middle():
    message = f"TrainConfig.precision={'x' * 10**6!r}: must be 'float32'"
    text = shorten(message)
    assert text.startswith("TrainConfig.precision='xxx") and text.endswith(
        "xxx': must be 'float32'"
    )
    assert len(text) == 2005
    assert shorten("short") == "short"


def test_long_lists_of_names_are_cut():
    assert list_names(["a", "b" * 99]) == f"a, {'b' * 60}..."
    assert list_names(map(str, range(100_000))).endswith("18, 19 and 99,980 more")
