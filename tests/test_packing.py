import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.packing import pack, pad

CLS, SEP = 1, 2


def packed(documents, max_seq_length=8):
    arrays = [[np.array(sentence) for sentence in document] for document in documents]
    sequences = pack(arrays, max_seq_length=max_seq_length, cls_id=CLS, sep_id=SEP)
    return [sequence.tolist() for sequence in sequences]


@pytest.mark.parametrize(
    ("documents", "expected"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param([[[10]]], [[CLS, 10, SEP]], id="one token"),
        pytest.param(
            [[[10, 11], [12, 13]]], [[CLS, 10, 11, 12, 13, SEP]], id="sentences of one document"
        ),
        pytest.param(
            [[[10, 11]], [[20, 21]]],
            [[CLS, 10, 11, SEP, 20, 21, SEP]],
            id="a separator between documents",
        ),
        pytest.param(
            [[[10, 11, 12], [13, 14, 15]]],
            [[CLS, 10, 11, 12, 13, 14, 15, SEP]],
            id="a sentence that fits exactly",
        ),
        pytest.param(
            [[[10, 11, 12], [13, 14, 15, 16]]],
            [[CLS, 10, 11, 12, SEP], [CLS, 13, 14, 15, 16, SEP]],
            id="a sentence is never cut to fill up",
        ),
        pytest.param(
            [[[10, 11, 12, 13, 14, 15]], [[20]]],
            [[CLS, 10, 11, 12, 13, 14, 15, SEP], [CLS, 20, SEP]],
            id="a boundary at the very end",
        ),
        pytest.param(
            [[[10, 11, 12]], [[20, 21, 22]]],
            [[CLS, 10, 11, 12, SEP], [CLS, 20, 21, 22, SEP]],
            id="the separator counts",
        ),
        pytest.param(
            [[[10]], [[20]], [[30]]], [[CLS, 10, SEP, 20, SEP, 30, SEP]], id="one-token documents"
        ),
        pytest.param(
            [[[9], list(range(10, 24)), [30]]],
            [
                [CLS, 9, SEP],
                [CLS, 10, 11, 12, 13, 14, 15, SEP],
                [CLS, 16, 17, 18, 19, 20, 21, SEP],
                [CLS, 22, 23, 30, SEP],
            ],
            id="an overlong sentence is split",
        ),
        pytest.param(
            [[list(range(10, 16))], [[20, 21]], [[30]]],
            [[CLS, 10, 11, 12, 13, 14, 15, SEP], [CLS, 20, 21, SEP, 30, SEP]],
            id="the last short sequence is kept",
        ),
        pytest.param([[], [[10]], [], [[20]]], [[CLS, 10, SEP, 20, SEP]], id="empty documents"),
    ],
)
def test_golden(documents, expected):
    assert packed(documents) == expected


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 30), max_size=6), max_size=8),
    st.integers(3, 20),
)
def test_every_token_once_in_order_and_separators_at_boundaries_only(shape, max_seq_length):
    next_token = iter(range(10, 10**6))
    documents = [[[next(next_token) for _ in range(n)] for n in document] for document in shape]
    first_tokens = {document[0][0] for document in documents if document}
    sequences = packed(documents, max_seq_length)

    bodies = []
    for sequence in sequences:
        assert 3 <= len(sequence) <= max_seq_length
        assert (sequence[0], sequence[-1]) == (CLS, SEP)
        body = sequence[1:-1]
        for left, right in itertools.pairwise(body):
            if right != SEP:
                assert (left == SEP) == (right in first_tokens)
        bodies += [token for token in body if token != SEP]
    assert bodies == [token for document in documents for s in document for token in s]


def test_pad():
    padded = pad(
        [np.array([1, 5, 2]), np.array([1, 2])], max_seq_length=4, pad_id=9, dtype=np.uint16
    )
    assert padded.tolist() == [[1, 5, 2, 9], [1, 2, 9, 9]]
    assert padded.dtype == np.uint16
