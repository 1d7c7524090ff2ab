"""Order and masks in TensorFlow operations equal those of the numpy functions bit for bit."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from data import schema
from data.config import BuildConfig
from data.errors import UserError
from data.hashing import derive_key, mix64
from data.read import graph, order
from data.stages import masking
from data.vocab import Vocab

SMALL = Vocab((*schema.SPECIAL_TOKENS, "[unused0]", *(f"w{i}" for i in range(94))))
LARGE = Vocab((*schema.SPECIAL_TOKENS, *(f"w{i}" for i in range(70_000))))
UINT64 = st.integers(0, 2**64 - 1)


def rule_of(vocab, seed, s=33, p=6, **changes):
    config = BuildConfig(max_seq_length=s, max_predictions=p, seed=seed, **changes)
    return masking.MaskingRule.create(config, vocab)


def assert_same_masks(tokens, copies, rule, run=lambda function: function):
    expected = masking.mask_sequences(tokens, copies, rule)
    function = run(lambda tokens, copies: graph.mask_sequences(tokens, copies, rule))
    found = function(tf.constant(tokens.astype(np.int32)), tf.constant(copies, tf.int64))
    assert list(found) == list(expected)
    for name, values in expected.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)


@settings(deadline=None)
@given(st.lists(UINT64, min_size=1, max_size=9))
def test_hashes_are_equal(values):
    array = np.array(values, np.uint64)
    np.testing.assert_array_equal(graph.mix64(tf.constant(array)), mix64(array))
    np.testing.assert_array_equal(
        graph.derive_key(2**63 - 1, tf.constant(array), 3), derive_key(2**63 - 1, array, 3)
    )


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from([SMALL, LARGE]),
    st.lists(st.lists(st.integers(1, 2**30), min_size=0, max_size=33), min_size=1, max_size=4),
    st.integers(0, 999),
    st.integers(0, 2**63 - 1),
)
def test_masks_are_equal_in_eager_mode(vocab, rows, copy, seed):
    tokens = np.full((len(rows), 33), vocab.ids[schema.PAD], vocab.token_dtype)
    for row, ids in zip(tokens, rows, strict=True):
        row[: len(ids)] = [1 + number % (len(vocab) - 1) for number in ids]
    copies = copy + np.arange(len(rows))
    assert_same_masks(tokens, copies, rule_of(vocab, seed))


def random_tokens(vocab, count=100, length=512):
    rng = np.random.default_rng(5)
    tokens = rng.integers(1, len(vocab), (count, length)).astype(vocab.token_dtype)
    return np.where(np.arange(length) < rng.integers(0, length + 1, (count, 1)), tokens, 0)


@pytest.mark.parametrize("vocab", [SMALL, LARGE])
def test_masks_are_equal_in_a_function(vocab):
    tokens = random_tokens(vocab).astype(vocab.token_dtype)
    assert_same_masks(tokens, np.arange(100), rule_of(vocab, 3, s=512, p=76), run=tf.function)


@pytest.mark.parametrize("vocab", [SMALL, LARGE])
def test_masks_are_equal_in_a_dataset(vocab):
    def run(function):
        def mapped(tokens, copies):
            return next(iter(tf.data.Dataset.from_tensors((tokens, copies)).map(function)))

        return mapped

    tokens = random_tokens(vocab).astype(vocab.token_dtype)
    assert_same_masks(tokens, np.arange(100), rule_of(vocab, 3, s=512, p=76), run=run)


def test_masks_of_a_build_are_equal(small_build, small_config, vocab):
    rule = masking.MaskingRule.create(small_config, vocab)
    for path in sorted(small_build.glob("packed/*/*.npy")):
        tokens = np.load(path)
        for copy in (0, 2, 150):
            assert_same_masks(tokens, np.full(len(tokens), copy), rule, run=tf.function)


def zeros_masked_by(rule):
    return graph.mask_sequences(tf.zeros([1, 33], tf.int32), tf.zeros([1]), rule)


@pytest.mark.parametrize("changes", [{"mask_unit": "whole_word"}, {"max_ngram": 3}])
def test_words_and_spans_have_no_graph_implementation(changes):
    vocab = Vocab((*SMALL.pieces, "##s"))
    with pytest.raises(UserError, match=r"InputConfig\.reader='graph' \(only 'token' can\)"):
        zeros_masked_by(rule_of(vocab, 3, **changes))


def test_whole_words_of_single_pieces_are_tokens():
    zeros_masked_by(rule_of(SMALL, 3, mask_unit="whole_word"))


def test_a_new_scheme_without_graph_implementation_is_an_error(monkeypatch):
    """It is never masked by another scheme."""
    scheme = masking.MaskingScheme(choose=masking.choose_tokens)
    monkeypatch.setitem(masking.SCHEMES, "entity", scheme)
    rule = dataclasses.replace(rule_of(SMALL, 3), scheme="entity")
    with pytest.raises(UserError, match=r"masking scheme 'entity', which cannot be masked while"):
        zeros_masked_by(rule)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(0, 2**62), min_size=1, max_size=20),
    st.one_of(st.integers(1, 10), st.integers(1, 2**40)),
    st.integers(0, 2**63 - 1),
)
def test_order_is_equal(positions, num_sequences, seed):
    expected = order.sequence_at(np.array(positions), num_sequences=num_sequences, seed=seed)
    found = graph.sequence_at(
        tf.constant(positions, tf.int64), num_sequences=num_sequences, seed=seed
    )
    for left, right in zip(found, expected, strict=True):
        np.testing.assert_array_equal(left, right)


def test_order_is_equal_in_a_dataset():
    positions = np.arange(5000).reshape(50, 100)
    dataset = tf.data.Dataset.from_tensor_slices(positions).map(
        lambda p: graph.sequence_at(p, num_sequences=777, seed=4)
    )
    for row, found in zip(positions, dataset.as_numpy_iterator(), strict=True):
        expected = order.sequence_at(row, num_sequences=777, seed=4)
        np.testing.assert_array_equal(found, expected)
