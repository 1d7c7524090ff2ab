"""Bytes and seconds of an all-reduce."""

import math

import pytest

from launch.accelerators.machines import parse
from launch.plan.allreduce import allreduce_seconds, sent_bytes


def test_bytes_that_a_device_of_a_ring_sends():
    assert sent_bytes(100, 1) == 0
    assert sent_bytes(100, 2) == 100
    assert sent_bytes(100, 4) == 150
    assert sent_bytes(100, 4, weight_bytes=40) == 180


def test_new_weights_follow_the_gradients():
    # Inside the host, then each GPU sends an eighth over 400 Gbit/s.
    seconds = 1.25 / (0.8 * 450) * 7 / 8 * 2 + 1.25 / (0.8 * 50) * 7 / 8 / 8 * 2
    planned = allreduce_seconds(parse("h100x64"), 1e9, weight_bytes=0.5e9)
    assert math.isclose(planned, seconds, rel_tol=1e-12)


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("v5e-1", 0.0),
        # 200 GB/s of links at 0.8; half of that below a whole pod, whose rings are not closed.
        ("v5e-256", 2 * 255 / 256 / 160),
        ("v5e-64", 2 * 63 / 64 / 80),
        # Both cores of a v4 are one device; 64 chips are a torus.
        ("v4-128", 2 * 63 / 64 / (0.8 * 1.1e15 / 4096 / 1e9)),
        ("h100x8", 2 * 7 / 8 / (0.8 * 450)),
        # Inside the host, then each GPU sends an eighth over 400 Gbit/s.
        ("h100x64", 2 * 7 / 8 / (0.8 * 450) + 2 * 7 / 8 / 8 / (0.8 * 50)),
        ("cpu", 0.0),
    ],
)
def test_seconds_for_a_gigabyte_of_gradients(name, seconds):
    assert math.isclose(allreduce_seconds(parse(name), 1e9), seconds, rel_tol=1e-12)
