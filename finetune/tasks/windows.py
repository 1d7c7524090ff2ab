"""Contexts too long for one sequence, seen through windows: [CLS] question [SEP] window [SEP].

Legend for shapes: Q questions, N windows of all of them, T tokens of one context, W windows of one.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True)
class Windows:
    """The windows of all questions, those of a question together and in order.

    Attributes:
      question: [N], of each window.
      start: [N], the first token of its context that is seen.
      length: [N], how many of them are.
      offset: [N], place of that token in the sequence.
    """

    question: np.ndarray
    start: np.ndarray
    length: np.ndarray
    offset: np.ndarray

    def __len__(self) -> int:
        return len(self.question)

    def of_question(self, num_questions: int) -> list[slice]:
        """The windows of each question."""
        bounds = np.searchsorted(self.question, np.arange(num_questions + 1)).tolist()
        return [slice(*pair) for pair in itertools.pairwise(bounds)]


def divide(
    context_lengths_Q: np.ndarray,
    query_lengths_Q: np.ndarray,
    *,
    max_seq_length: int,
    doc_stride: int,
) -> Windows:
    """Windows that begin every `doc_stride` tokens until one reaches the end of the context.

    Args:
      context_lengths_Q: tokens of the context of each question.
      query_lengths_Q: tokens of each question.
      max_seq_length: S; what the question leaves of it is the longest window.
      doc_stride: at most that long, so that every token is in a window.

    Returns:
      At least one window for every question; an empty context has one of no tokens.
    """
    room_Q = max_seq_length - 3 - query_lengths_Q
    hidden_Q = np.maximum(context_lengths_Q - room_Q, 0)
    windows_Q = 1 + -(-hidden_Q // doc_stride)
    question = np.repeat(np.arange(len(windows_Q)), windows_Q)
    number = np.arange(len(question)) - np.repeat(np.cumsum(windows_Q) - windows_Q, windows_Q)
    start = number * doc_stride
    return Windows(
        question=question,
        start=start,
        length=np.minimum(context_lengths_Q[question] - start, room_Q[question]),
        offset=query_lengths_Q[question] + 2,
    )


def widest_view(start_W: np.ndarray, length_W: np.ndarray) -> np.ndarray:
    """In which window each token of a context is seen with the most context around it.

    That is the lesser of what is left and right of it; a longer window counts a little more, the
    first of equal ones is taken (as in BERT's `_check_is_max_context`).

    Args:
      start_W: of the windows of one question, from 0 on and overlapping.
      length_W: likewise.

    Returns:
      [T], index into W.
    """
    tokens_T = np.arange(start_W[-1] + length_W[-1])
    left_WT = tokens_T - start_W[:, None]
    right_WT = length_W[:, None] - 1 - left_WT
    least_WT = np.minimum(left_WT, right_WT)
    view_WT = np.where(least_WT >= 0, least_WT + 0.01 * length_W[:, None], -1.0)
    return view_WT.argmax(axis=0)


def tokens_of(begins_T: np.ndarray, ends_T: np.ndarray, start: int, stop: int) -> tuple[int, int]:
    """The first and the last token that overlap a range of characters.

    Args:
      begins_T: first character of each token, ascending.
      ends_T: the one after its last, ascending.
      start: first character of the range.
      stop: the one after its last.

    Returns:
      (first, last), inclusive; last is less than first if no token overlaps the range.
    """
    first = np.searchsorted(ends_T, start, side="right")
    last = np.searchsorted(begins_T, stop, side="left") - 1
    return int(first), int(last)
