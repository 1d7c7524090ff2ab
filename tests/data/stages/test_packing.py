"""Packing sentences into sequences."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.stages.packing import Layout, crosses_boundary, pack

PAD, CLS, SEP = 0, 1, 2


def packed(documents, separators, max_seq_length=8, dtype=np.uint16):
    """Pack documents, which are lists of sentences; return sequences without padding."""
    sentences = [sentence for document in documents for sentence in document]
    starts_part = [i == 0 for document in documents for i in range(len(document))]
    layout = Layout(
        max_seq_length=max_seq_length, separators=separators, cls_id=CLS, sep_id=SEP, pad_id=PAD
    )
    packed_NS = pack(
        np.array([token for sentence in sentences for token in sentence], dtype),
        np.array([len(sentence) for sentence in sentences], np.uint32),
        np.array(starts_part, bool),
        layout,
    )
    assert packed_NS.dtype == dtype
    assert packed_NS.shape[1] == max_seq_length
    lengths = (packed_NS != PAD).sum(axis=1)
    assert not packed_NS[np.arange(max_seq_length) >= lengths[:, None]].any()
    return [row[:n] for row, n in zip(packed_NS.tolist(), lengths.tolist(), strict=True)]


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
            id="a sentence is never cut to fill a sequence",
        ),
        pytest.param(
            [[[10, 11, 12, 13, 14, 15]], [[20]]],
            [[CLS, 10, 11, 12, 13, 14, 15, SEP], [CLS, 20, SEP]],
            id="a boundary at the very end",
        ),
        pytest.param(
            [[[10, 11, 12]], [[20, 21, 22]]],
            [[CLS, 10, 11, 12, SEP], [CLS, 20, 21, 22, SEP]],
            id="the separator counts as a token",
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
    ],
)
def test_packing_with_separators_between_documents(documents, expected):
    assert packed(documents, "document") == expected


@pytest.mark.parametrize(
    ("documents", "expected"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param([[[10]]], [[CLS, 10, SEP]], id="one token"),
        pytest.param(
            [[[10], [11]], [[20]]],
            [[CLS, 10, SEP, 11, SEP, SEP, 20, SEP]],
            id="one after each sentence and one more between documents",
        ),
        pytest.param(
            [[[10, 11, 12], [13, 14]]],
            [[CLS, 10, 11, 12, SEP, 13, 14, SEP]],
            id="a sentence that fits exactly",
        ),
        pytest.param(
            [[[10, 11, 12], [13, 14, 15]]],
            [[CLS, 10, 11, 12, SEP], [CLS, 13, 14, 15, SEP]],
            id="a sentence is never cut to fill a sequence",
        ),
        pytest.param(
            [[[10, 11, 12, 13]], [[20, 21]]],
            [[CLS, 10, 11, 12, 13, SEP, SEP], [CLS, 20, 21, SEP]],
            id="a boundary that fits stays at the end",
        ),
        pytest.param(
            [[[10, 11, 12, 13, 14, 15]], [[20]]],
            [[CLS, 10, 11, 12, 13, 14, 15, SEP], [CLS, SEP, 20, SEP]],
            id="a boundary that does not fit begins the next sequence",
        ),
        pytest.param(
            [[list(range(10, 16))], [list(range(20, 26))]],
            [[CLS, *range(10, 16), SEP], [CLS, *range(20, 26), SEP]],
            id="a boundary never fills a sequence alone",
        ),
        pytest.param(
            [[list(range(10, 18))]],
            [[CLS, *range(10, 16), SEP], [CLS, 16, 17, SEP]],
            id="an overlong sentence is split",
        ),
    ],
)
def test_packing_with_separators_after_every_sentence(documents, expected):
    assert packed(documents, "sentence") == expected


def reference(documents, separators, max_seq_length):
    """Pack by the same rules, one sentence at a time."""
    limit = max_seq_length - 2
    sequences, current = [], []
    for number, document in enumerate(documents):
        parts = [s[i : i + limit] for s in document for i in range(0, len(s), limit)]
        for index, part in enumerate(parts):
            boundary = [SEP] if index == 0 and number else []
            if separators == "document":
                boundary = boundary if current else []
                if len(current) + len(boundary) + len(part) > limit:
                    sequences.append([CLS, *current, SEP])
                    current, boundary = [], []
                current += [*boundary, *part]
            else:
                room = max_seq_length - 1
                if len(current) + len(boundary) > room:
                    sequences.append([CLS, *current])
                    current = []
                    if len(boundary) + len(part) + 1 > room:
                        boundary = []
                current += boundary
                if len(current) + len(part) + 1 > room:
                    if current:
                        sequences.append([CLS, *current])
                    current = []
                current += [*part, SEP]
    if current:
        sequences.append([CLS, *current] + ([SEP] if separators == "document" else []))
    return sequences


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=6), max_size=8),
    st.integers(3, 20),
    st.sampled_from(["document", "sentence"]),
)
def test_packing_equals_a_reference(shape, max_seq_length, separators):
    next_token = iter(range(10, 10**6))
    documents = [[[next(next_token) for _ in range(n)] for n in document] for document in shape]
    sequences = packed(documents, separators, max_seq_length, dtype=np.uint32)

    assert sequences == reference(documents, separators, max_seq_length)
    tokens = [token for sequence in sequences for token in sequence if token > SEP]
    assert tokens == [token for document in documents for s in document for token in s]
    for sequence in sequences:
        assert 3 <= len(sequence) <= max_seq_length
        assert (sequence[0], sequence[-1]) == (CLS, SEP)
    if separators == "document":
        first_tokens = {document[0][0] for document in documents}
        for sequence in sequences:
            for left, right in itertools.pairwise(sequence[1:-1]):
                assert right == SEP or (left == SEP) == (right in first_tokens)


@pytest.mark.parametrize(
    ("separators", "sequence", "expected"),
    [
        ("document", [CLS, 10, 11, SEP], False),
        ("document", [CLS, 10, 11, 12, 13, 14, 15, SEP], False),
        ("document", [CLS, 10, SEP, 20, SEP], True),
        ("document", [CLS, 10, SEP, 20, SEP, 30, 31, SEP], True),
        ("sentence", [CLS, 10, SEP, 11, SEP], False),
        ("sentence", [CLS, 10, SEP, SEP, 20, SEP], True),
        ("sentence", [CLS, 10, 11, 12, SEP, SEP, 20, SEP], True),
        ("sentence", [CLS, 10, SEP, SEP], False),  # at the end: next to the following sequence
        ("sentence", [CLS, 10, 11, 12, 13, 14, SEP, SEP], False),
        ("sentence", [CLS, SEP, 20, SEP], False),  # at the start: next to the previous sequence
    ],
)
def test_crosses_boundary(separators, sequence, expected):
    layout = Layout(max_seq_length=8, separators=separators, cls_id=CLS, sep_id=SEP, pad_id=PAD)
    row = np.array([sequence + [PAD] * (8 - len(sequence))], np.uint16)
    assert crosses_boundary(row, layout).tolist() == [expected]
