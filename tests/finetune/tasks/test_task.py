"""Losses of models that have learned nothing."""

import math

import numpy as np
import pytest

from finetune.tasks.task import entropy, position_entropy


def test_position_entropy_smooths_counts():
    # 3 of 4 at position 0, 1 at position 2, of 5 positions.
    expected = -(3 * math.log(3 / 8) + math.log(1 / 8)) / 4
    assert position_entropy(np.array([0, 0, 2, 0]), 5) == pytest.approx(expected)
    # If all differ, nothing can be predicted: the loss is that of a uniform distribution.
    assert position_entropy(np.arange(5), 5) == pytest.approx(math.log(5))
    # Smoothing vanishes for many examples.
    positions = np.repeat([0, 3], [30_000, 10_000])
    assert position_entropy(positions, 5) == pytest.approx(entropy(positions), abs=2e-4)
