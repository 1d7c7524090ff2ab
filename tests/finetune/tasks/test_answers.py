"""Answers decoded from start and end logits."""

import numpy as np
import pytest

from finetune.tasks.answers import DecodedAnswers, decode

CONTEXT = "the sea and the king"
BEGINS, ENDS = np.array([0, 4, 8, 12, 16]), np.array([3, 7, 11, 15, 20])


def decode_logits(
    starts: dict, ends: dict, *, with_null: bool, windows=((0, 5),), **options
) -> DecodedAnswers:
    """Decode logits by (window, position), others 0, for [CLS] q [SEP] and tokens of CONTEXT."""
    logits = np.zeros((len(windows), 9, 2), np.float32)
    for which, values in enumerate((starts, ends)):
        for (window, position), value in values.items():
            logits[window, position, which] = value
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


def test_best_spans_are_first():
    answers = decode_logits({(0, 3): 2, (0, 6): 3}, {(0, 4): 5, (0, 7): 5}, with_null=False)
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


def test_impossible_spans_are_not_answers():
    # The best start is in the question, the best end before the start, the next too far away.
    starts, ends = {(0, 1): 9, (0, 4): 5}, {(0, 3): 8, (0, 7): 7, (0, 8): 9}
    assert decode_logits(starts, ends, with_null=False, max_answer_length=3).text == "the"
    assert (
        decode_logits(starts, ends, with_null=False, max_answer_length=4).text == "sea and the king"
    )


def test_equal_texts_are_one_answer():
    answers = decode_logits({(0, 3): 4, (0, 6): 3}, {(0, 3): 4, (0, 6): 3}, with_null=False)
    assert [a.text for a in answers.n_best].count("the") == 1
    assert answers.n_best[0].score == 8


def test_score_of_no_answer_is_that_of_cls():
    starts, ends = {(0, 0): 3, (0, 4): 2}, {(0, 0): 4, (0, 4): 1}
    answers = decode_logits(starts, ends, with_null=True)
    assert answers.text == "sea"
    assert answers.null_odds == 7 - 3
    assert (answers.n_best[0].text, answers.n_best[0].score) == ("", 7.0)
    # The lowest score of all windows counts.
    windows = ((0, 3), (2, 3))
    starts |= {(1, 0): 1}
    answers = decode_logits(starts, ends, with_null=True, windows=windows)
    assert answers.null_odds == 1 - 3


def test_span_counts_in_the_window_with_the_most_context_around_its_start():
    # Token 2 ("and") is last in the first window, first in the second: equal, so the first counts.
    # Token 3 ("the") is only in the second.
    windows = ((0, 3), (2, 3))
    answers = decode_logits({(1, 3): 9, (1, 4): 5}, {(1, 5): 5}, with_null=False, windows=windows)
    assert answers.text == "the king"


def test_context_without_tokens():
    answers = decode_logits({}, {}, with_null=False, windows=((0, 0),))
    assert answers.text == ""
    assert answers.records() == [
        {"text": "", "probability": 1.0, "start_logit": 0.0, "end_logit": 0.0}
    ]
    answers = decode_logits({}, {}, with_null=True, windows=((0, 0),))
    assert answers.null_odds == pytest.approx(0.0)
