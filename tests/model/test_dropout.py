"""Dropout masks are independent Bernoulli variables, and a function of their arguments only.

Statistics are z-scores, standard normal if bits are independent with the stated rate. Inputs are
fixed, so a test always passes or always fails; a perfect generator exceeds a bound once in 10,000 times.
"""

import numpy as np
import pytest
import tensorflow as tf

from model.dropout import Dropout

RATE = 0.1
BOUND = 4.0  # a single z-score exceeds it with probability 6e-5


def dropout(seed=11, step=5, examples=(0, 1)):
    return Dropout(seed=seed, step=tf.constant(step), example_B=tf.constant(examples))


def hidden(*, site=3, rows=512, columns=1024, rate=RATE, **key) -> np.ndarray:
    """Return whether elements of activations are dropped, bool [B, R, C]."""
    mask = dropout(**key).hidden_mask(site, rate, rows_BR=tf.range(rows)[None], columns=columns)
    return ~mask.keep().numpy()


def weights(*, site=1, rows=256, columns=256, heads=8, rate=RATE, **key) -> np.ndarray:
    """Return whether attention weights are dropped, bool [B, A, R, C]."""
    mask = dropout(**key).attention_probs_mask(
        site, rate, rows_BR=tf.range(rows)[None], columns=columns, heads=heads
    )
    return ~mask.keep().numpy()


def z_of_count(dropped: np.ndarray, rate=RATE) -> float:
    return (dropped.sum() - dropped.size * rate) / np.sqrt(dropped.size * rate * (1 - rate))


def z_of_chi_square(counts: np.ndarray, trials: int, rate=RATE) -> float:
    """Compare counts of independent groups with the binomial law, by Wilson and Hilferty's cube root."""
    square = ((counts - trials * rate) ** 2).sum() / (trials * rate * (1 - rate))
    k = counts.size
    return ((square / k) ** (1 / 3) - (1 - 2 / (9 * k))) / np.sqrt(2 / (9 * k))


def z_of_correlation(a: np.ndarray, b: np.ndarray, rate=RATE) -> float:
    """Return the correlation of two masks that should be independent."""
    return ((a - rate) * (b - rate)).sum() / (np.sqrt(a.size) * rate * (1 - rate))


def z_of_pairs(rows: np.ndarray, rate=RATE) -> np.ndarray:
    """Return the correlations of all pairs of rows."""
    centred = (rows - rate) / np.sqrt(rate * (1 - rate))
    scores = centred @ centred.T / np.sqrt(rows.shape[1])
    return scores[np.triu_indices(len(rows), 1)]


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5, 0.9])
def test_counts_are_binomial(rate):
    for dropped in (hidden(rate=rate, examples=range(4)), weights(rate=rate)):
        assert abs(z_of_count(dropped, rate)) < BOUND
        for axis in range(dropped.ndim):
            counts = dropped.sum(axis=tuple(i for i in range(dropped.ndim) if i != axis))
            trials = dropped.size // counts.size
            assert abs(z_of_chi_square(counts, trials, rate)) < BOUND
        # The same for single rows, and for single columns of each example.
        for axis in (-1, -2):
            counts = dropped.sum(axis=axis)
            assert abs(z_of_chi_square(counts, dropped.shape[axis], rate)) < BOUND


def test_keep_probability_is_exact():
    mask = dropout().hidden_mask(0, 0.1, rows_BR=tf.range(4)[None], columns=8)
    assert mask.threshold == 429496730  # of 2**32
    assert mask.keep_probability == 1 - 429496730 / 2**32
    assert abs(mask.keep_probability - 0.9) < 2**-32
    assert dropout().hidden_mask(0, 0.0, rows_BR=tf.range(4)[None], columns=8) is None


@pytest.mark.parametrize("sample", range(3))
def test_rows_and_columns_are_independent(sample):
    dropped = hidden(step=sample, examples=[sample * 100])[0].astype(np.float64)
    for rows in (dropped, dropped.T[:512]):
        scores = z_of_pairs(rows)
        assert abs(scores.mean()) * np.sqrt(scores.size) < BOUND
        # The standard deviation of n z-scores has a standard error of 1 / sqrt(2 n), here 0.002.
        assert abs(scores.std() - 1) < 0.015
        # The largest of 130,816 exceeds 6.5 once in 10,000 times, since products of rare bits are skewed.
        assert np.abs(scores).max() < 7
    assert len(np.unique(dropped, axis=0)) == len(dropped)
    assert len(np.unique(dropped, axis=1).T) == len(dropped.T)


def test_neighbours_are_independent():
    for dropped in (hidden(examples=range(4)), weights()):
        for axis in range(dropped.ndim):
            for lag in (1, 2, 3, 8, 64):
                if lag < dropped.shape[axis]:
                    there = np.take(dropped, range(lag, dropped.shape[axis]), axis)
                    here = np.take(dropped, range(dropped.shape[axis] - lag), axis)
                    assert abs(z_of_correlation(here, there)) < BOUND, (axis, lag)


def test_patterns_of_neighbours_are_equally_frequent():
    """Chi-square tests of the 16 patterns of four elements in a row, and of a 2 x 2 square."""
    rate = 0.5
    for dropped in (hidden(rate=rate, examples=range(4)), weights(rate=rate)):
        a = dropped[..., ::2, :]
        b = dropped[..., 1::2, :]
        squares = a[..., ::2] * 8 + a[..., 1::2] * 4 + b[..., ::2] * 2 + b[..., 1::2]
        in_a_row = sum(dropped[..., i::4] * 2**i for i in range(4))
        for patterns in (squares, in_a_row):
            counts = np.bincount(patterns.ravel(), minlength=16)
            expected = patterns.size / 16
            square = ((counts - expected) ** 2 / expected).sum()
            assert square < 44.3  # 15 degrees of freedom: one in 10,000


def test_seeds_steps_sites_examples_and_heads_are_independent():
    base = hidden()
    others = {
        "seed": hidden(seed=12),
        "high bits of the seed": hidden(seed=11 + (1 << 32)),
        "step": hidden(step=6),
        "site": hidden(site=4),
        "example": hidden(examples=(2, 3)),
        "swapped": hidden(examples=(1, 0)),
        "step and example": hidden(step=6, examples=(4, 5)),
    }
    masks = {"base": base, **others}
    for name, one in masks.items():
        for other, two in masks.items():
            if name < other:
                expected = {name, other} == {"base", "swapped"}
                shifted = two[::-1] if expected else two
                if expected:
                    np.testing.assert_array_equal(one, shifted)
                else:
                    assert abs(z_of_correlation(one, two)) < BOUND, (name, other)
    heads = weights(heads=16, examples=[0])[0].reshape(16, -1)
    assert np.abs(z_of_pairs(heads.astype(np.float64))).max() < 4.5  # of 120
    steps = np.stack([hidden(step=step, rows=64)[0].ravel() for step in range(40)])
    assert np.abs(z_of_pairs(steps.astype(np.float64))).max() < 5  # of 780
    sites = np.stack([hidden(site=site, rows=64)[0].ravel() for site in range(73)])
    assert np.abs(z_of_pairs(sites.astype(np.float64))).max() < 5.3  # of 2,628


def test_masks_of_an_example_do_not_depend_on_its_batch():
    """Nor on its index in the batch or on which positions are computed."""
    whole, whole_weights = hidden(examples=range(8)), weights(examples=range(8))
    for part in ([0, 1, 2, 3], [4, 5], [7], [6, 3]):
        np.testing.assert_array_equal(hidden(examples=part), whole[part])
        np.testing.assert_array_equal(weights(examples=part), whole_weights[part])
    rows = np.array([[3, 500, 3], [0, 17, 200]])
    some = dropout(examples=[0, 1]).hidden_mask(3, RATE, rows_BR=tf.constant(rows), columns=1024)
    np.testing.assert_array_equal(
        ~some.keep().numpy(), np.take_along_axis(whole[:2], rows[..., None], axis=1)
    )
    # A shorter sequence has the same masks as the beginning of a longer one.
    np.testing.assert_array_equal(hidden(rows=100), hidden()[:, :100])
    np.testing.assert_array_equal(weights(columns=100, rows=50), weights()[..., :50, :100])


def test_masks_follow_their_definition():
    """Masks equal the definition in Python integers: the same on every device and in every version."""

    def mix(x):
        for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
            x = (x ^ (x >> shift)) * factor & 0xFFFFFFFF
        return x ^ (x >> 16)

    def chain(*parts):
        key = mix(parts[0])
        for part in parts[1:]:
            key = mix(key ^ part)
        return key

    def dropped(seed, step, example, site, row, column):
        key = chain(seed & 0xFFFFFFFF, seed >> 32, step, example, site)
        x = mix(mix(key ^ 0x9E3779B9) ^ row) ^ mix(mix(key ^ 0x85EBCA6B) ^ column)
        x = x * 0x7FEB352D & 0xFFFFFFFF
        x = (x ^ x >> 15) * 0x846CA68B & 0xFFFFFFFF
        return x < 429496730

    seed, step = (3 << 32) + 9, 77
    found = hidden(seed=seed, step=step, examples=(4, 9), site=6, rows=20, columns=30)
    expected = [
        [[dropped(seed, step, b, 6, r, c) for c in range(30)] for r in range(20)] for b in (4, 9)
    ]
    np.testing.assert_array_equal(found, expected)
    found = weights(seed=seed, step=step, examples=(4,), site=7, rows=9, columns=8, heads=2)
    expected = [
        [[dropped(seed, step, 4, 7, a * 65536 + r, c) for c in range(8)] for r in range(9)]
        for a in range(2)
    ]
    np.testing.assert_array_equal(found, [expected])
