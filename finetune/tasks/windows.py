"""Divide contexts too long for one sequence into windows: [CLS] question [SEP] window [SEP].

Legend for shapes: Q questions, N windows of all questions, T tokens of one context, W windows of one
question.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True)
class Windows:
    """The windows of all questions; those of a question are adjacent and in order.

    Attributes:
      question: index of the question, [N].
      start: first context token in the window, [N].
      length: number of context tokens in the window, [N].
      offset: position of the first context token in the sequence, [N].
    """

    question: np.ndarray
    start: np.ndarray
    length: np.ndarray
    offset: np.ndarray

    def __len__(self) -> int:
        return len(self.question)

    def slices(self, num_questions: int) -> list[slice]:
        """Return the slice of each question's windows."""
        bounds = np.searchsorted(self.question, np.arange(num_questions + 1)).tolist()
        return [slice(*pair) for pair in itertools.pairwise(bounds)]


def divide_contexts(
    context_lengths_Q: np.ndarray,
    query_lengths_Q: np.ndarray,
    *,
    max_seq_length: int,
    doc_stride: int,
) -> Windows:
    """Return windows that start every `doc_stride` tokens until one reaches the end of the context.

    Args:
      context_lengths_Q: tokens of the context of each question.
      query_lengths_Q: tokens of each question.
      max_seq_length: S; the longest window is S without the question and 3 special tokens.
      doc_stride: tokens between starts of windows; at most the longest window, so that every token is
        in a window.

    Returns:
      At least one window for every question; an empty context has one without tokens.
    """
    longest_Q = max_seq_length - 3 - query_lengths_Q
    remaining_Q = np.maximum(context_lengths_Q - longest_Q, 0)
    windows_Q = 1 + -(-remaining_Q // doc_stride)
    question = np.repeat(np.arange(len(windows_Q)), windows_Q)
    number = np.arange(len(question)) - np.repeat(np.cumsum(windows_Q) - windows_Q, windows_Q)
    start = number * doc_stride
    return Windows(
        question=question,
        start=start,
        length=np.minimum(context_lengths_Q[question] - start, longest_Q[question]),
        offset=query_lengths_Q[question] + 2,
    )


def max_context_windows(start_W: np.ndarray, length_W: np.ndarray) -> np.ndarray:
    """Return for each token of a context the window in which it has the most context.

    A token's context in a window is the smaller number of tokens to its left and right; a longer
    window counts slightly more, the first of equal windows wins (BERT's `_check_is_max_context`).

    Args:
      start_W: first token of each window of one question, from 0 on and overlapping.
      length_W: number of tokens of each window.

    Returns:
      Index into W of each token, [T].
    """
    tokens_T = np.arange(start_W[-1] + length_W[-1])
    left_WT = tokens_T - start_W[:, None]
    right_WT = length_W[:, None] - 1 - left_WT
    context_WT = np.minimum(left_WT, right_WT)
    score_WT = np.where(context_WT >= 0, context_WT + 0.01 * length_W[:, None], -1.0)
    return score_WT.argmax(axis=0)


def overlapping_tokens(
    begins_T: np.ndarray, ends_T: np.ndarray, start: int, stop: int
) -> tuple[int, int]:
    """Return the first and the last token that overlap a range of characters.

    Args:
      begins_T: first character of each token, ascending.
      ends_T: character after the last one of each token, ascending.
      start: first character of the range.
      stop: character after the last one of the range.

    Returns:
      (first, last), inclusive; last is less than first if no token overlaps the range.
    """
    first = np.searchsorted(ends_T, start, side="right")
    last = np.searchsorted(begins_T, stop, side="left") - 1
    return int(first), int(last)
