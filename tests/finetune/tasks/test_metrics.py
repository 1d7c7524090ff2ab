"""Metrics, compared with their definitions."""

import math

import numpy as np
import pytest

from finetune.tasks import metrics


def test_classification_metrics_of_a_confusion_matrix():
    labels, predictions = np.array([1, 1, 1, 0, 0, 0, 0, 0]), np.array([1, 1, 0, 1, 0, 0, 0, 0])
    # 2 true positives, 1 false positive, 1 false negative, 4 true negatives.
    assert metrics.accuracy(labels, predictions) == 6 / 8
    assert metrics.f1(labels, predictions) == pytest.approx(4 / 6)
    assert metrics.f1_macro(labels, predictions) == pytest.approx((4 / 6 + 8 / 10) / 2)
    expected = (2 * 4 - 1 * 1) / math.sqrt(3 * 3 * 5 * 5)
    assert metrics.matthews(labels, predictions) == pytest.approx(expected)


def test_undefined_metrics_of_constant_predictions_are_0():
    labels, constant = np.array([1, 1, 1, 0, 0]), np.zeros(5, int)
    assert metrics.matthews(labels, constant) == metrics.f1(labels, constant) == 0.0
    assert metrics.pearson(labels, constant) == metrics.spearman(labels, constant) == 0.0


def test_mean_squared_error():
    assert metrics.mean_squared_error(np.array([1.0, 2.0]), np.array([1.0, 4.0])) == 2.0
