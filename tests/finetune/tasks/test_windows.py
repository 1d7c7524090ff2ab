"""Windows over contexts, compared with BERT's run_squad.py."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from finetune.tasks.windows import divide_contexts, max_context_windows, overlapping_tokens

_WINDOWING = st.integers(8, 64).flatmap(
    lambda size: st.integers(1, size - 4).flatmap(
        lambda query: st.tuples(
            st.integers(0, 200),
            st.integers(0, query),
            st.just(size),
            st.integers(1, size - 3 - query),
        )
    )
)


@given(_WINDOWING)
def test_every_token_is_in_a_window(drawn):
    tokens, query, size, stride = drawn
    windows = divide_contexts(
        np.array([tokens]), np.array([query]), max_seq_length=size, doc_stride=stride
    )
    # As in BERT's run_squad.py.
    expected, start = [], 0
    while True:
        length = min(tokens - start, size - 3 - query)
        expected.append((start, length))
        if start + length == tokens:
            break
        start += min(length, stride)
    assert list(zip(windows.start, windows.length, strict=True)) == expected
    assert set(windows.offset) == {query + 2}
    covered = {t for start, length in expected for t in range(start, start + length)}
    assert covered == set(range(tokens))


def test_windows_of_several_questions():
    windows = divide_contexts(np.array([3, 10]), np.array([1, 2]), max_seq_length=9, doc_stride=3)
    assert windows.question.tolist() == [0, 1, 1, 1]
    assert windows.start.tolist() == [0, 0, 3, 6]
    assert windows.length.tolist() == [3, 4, 4, 4]
    assert windows.slices(2) == [slice(0, 1), slice(1, 4)]


@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 20))
def test_window_with_the_most_context_is_that_of_bert(tokens, longest, stride):
    windows = divide_contexts(
        np.array([tokens]),
        np.array([0]),
        max_seq_length=longest + 3,
        doc_stride=min(stride, longest),
    )
    best = max_context_windows(windows.start, windows.length)
    assert len(best) == tokens
    for token in range(tokens):  # as in BERT's _check_is_max_context
        scores = [
            min(token - start, start + length - 1 - token) + 0.01 * length
            if start <= token < start + length
            else -1
            for start, length in zip(windows.start, windows.length, strict=True)
        ]
        assert best[token] == int(np.argmax(scores))


def test_tokens_overlapping_a_range_of_characters():
    # "The (1895)": The ( 18 ##95 )
    begins, ends = np.array([0, 4, 5, 7, 9]), np.array([3, 5, 7, 9, 10])
    assert overlapping_tokens(begins, ends, 5, 9) == (2, 3)
    assert overlapping_tokens(begins, ends, 6, 8) == (2, 3)  # a part of both
    assert overlapping_tokens(begins, ends, 0, 10) == (0, 4)
    first, last = overlapping_tokens(begins, ends, 3, 4)  # the space
    assert first > last
