"""Windows over contexts, and answers out of logits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune.tasks.answers import decode
from finetune.tasks.windows import divide, tokens_of, widest_view

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
    windows = divide(np.array([tokens]), np.array([query]), max_seq_length=size, doc_stride=stride)
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
    seen = {t for start, length in expected for t in range(start, start + length)}
    assert seen == set(range(tokens))


def test_windows_of_several_questions():
    windows = divide(np.array([3, 10]), np.array([1, 2]), max_seq_length=9, doc_stride=3)
    assert windows.question.tolist() == [0, 1, 1, 1]
    assert windows.start.tolist() == [0, 0, 3, 6]
    assert windows.length.tolist() == [3, 4, 4, 4]
    assert windows.of_question(2) == [slice(0, 1), slice(1, 4)]


@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 20))
def test_most_context(tokens, room, stride):
    windows = divide(
        np.array([tokens]), np.array([0]), max_seq_length=room + 3, doc_stride=min(stride, room)
    )
    view = widest_view(windows.start, windows.length)
    assert len(view) == tokens
    for token in range(tokens):  # as in BERT's _check_is_max_context
        scores = [
            min(token - start, start + length - 1 - token) + 0.01 * length
            if start <= token < start + length
            else -1
            for start, length in zip(windows.start, windows.length, strict=True)
        ]
        assert view[token] == int(np.argmax(scores))


def test_tokens_of_a_range_of_characters():
    # "The (1895)": The ( 18 ##95 )
    begins, ends = np.array([0, 4, 5, 7, 9]), np.array([3, 5, 7, 9, 10])
    assert tokens_of(begins, ends, 5, 9) == (2, 3)
    assert tokens_of(begins, ends, 6, 8) == (2, 3)  # a part of both
    assert tokens_of(begins, ends, 0, 10) == (0, 4)
    first, last = tokens_of(begins, ends, 3, 4)  # the blank
    assert first > last


CONTEXT = "the sea and the king"
BEGINS, ENDS = np.array([0, 4, 8, 12, 16]), np.array([3, 7, 11, 15, 20])


def decoded(starts: dict, ends: dict, *, with_null: bool, windows=((0, 5),), **options):
    """Answers if [CLS] q [SEP] and then tokens of the context have these logits, others 0."""
    logits = np.zeros((len(windows), 9, 2), np.float32)
    for which, values in enumerate((starts, ends)):
        for (window, place), value in values.items():
            logits[window, place, which] = value
    return decode(
        logits,
        starts_W=np.array([start for start, _ in windows]),
        lengths_W=np.array([length for _, length in windows]),
        offset=3,
        context=CONTEXT,
        begins=BEGINS,
        ends=ENDS,
        with_null=with_null,
        **{"n_best_size": 3, "max_answer_length": 4} | options,
    )


def test_the_best_spans():
    answers = decoded({(0, 3): 2, (0, 6): 3}, {(0, 4): 5, (0, 7): 5}, with_null=False)
    # "the king" starts at 6 and ends at 7; "the sea" starts at 3 and ends at 4.
    assert [(a.text, a.start_logit, a.end_logit) for a in answers.n_best] == [
        ("the king", 3.0, 5.0),
        ("the sea", 2.0, 5.0),
        ("sea", 0.0, 5.0),
    ]
    assert answers.text == "the king"
    probabilities = [record["probability"] for record in answers.records()]
    exponentials = np.exp([8, 7, 5])
    np.testing.assert_allclose(probabilities, exponentials / exponentials.sum())


def test_spans_that_are_none():
    # The best start lies in the question, the best end before the start, the next too far away.
    starts, ends = {(0, 1): 9, (0, 4): 5}, {(0, 3): 8, (0, 7): 7, (0, 8): 9}
    assert decoded(starts, ends, with_null=False, max_answer_length=3).text == "the"
    assert decoded(starts, ends, with_null=False, max_answer_length=4).text == "sea and the king"


def test_the_same_text_counts_once():
    answers = decoded({(0, 3): 4, (0, 6): 3}, {(0, 3): 4, (0, 6): 3}, with_null=False)
    assert [a.text for a in answers.n_best].count("the") == 1
    assert answers.n_best[0].score == 8


def test_no_answer():
    starts, ends = {(0, 0): 3, (0, 4): 2}, {(0, 0): 4, (0, 4): 1}
    answers = decoded(starts, ends, with_null=True)
    assert answers.text == "sea"
    assert answers.null_odds == 7 - 3
    assert (answers.n_best[0].text, answers.n_best[0].score) == ("", 7.0)
    # Its score is the least of the windows'.
    windows = ((0, 3), (2, 3))
    starts |= {(1, 0): 1}
    answers = decoded(starts, ends, with_null=True, windows=windows)
    assert answers.null_odds == 1 - 3


def test_a_span_counts_where_its_start_is_seen_best():
    # Token 2 ("and") is last in the first window, first in the second: equal, so the first counts.
    # Token 3 ("the") is only in the second.
    windows = ((0, 3), (2, 3))
    answers = decoded({(1, 3): 9, (1, 4): 5}, {(1, 5): 5}, with_null=False, windows=windows)
    assert answers.text == "the king"


def test_a_context_without_tokens():
    answers = decoded({}, {}, with_null=False, windows=((0, 0),))
    assert answers.text == ""
    assert answers.records() == [
        {"text": "", "probability": 1.0, "start_logit": 0.0, "end_logit": 0.0}
    ]
    assert pytest.approx(0.0) == decoded({}, {}, with_null=True, windows=((0, 0),)).null_odds
