"""Decode start and end logits to answers, as substrings of the context.

The rules are those of BERT's `run_squad.py` (`official.nlp.data.squad_lib` in tf-models), with two
differences that give the same answers or better ones: all spans are scored, not only those between the
20 best starts and the 20 best ends; and an answer is cut out of the context by its tokens' character
offsets, without aligning tokens and text again.

Legend for shapes: W windows of one question, S positions of each, T tokens of a window, L lengths of
answers.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from finetune.tasks.windows import max_context_windows


@dataclasses.dataclass(frozen=True)
class ScoredAnswer:
    """An answer with its logits; the text "" is no answer."""

    text: str
    start_logit: float
    end_logit: float

    @property
    def score(self) -> float:
        """Sum of both logits."""
        return self.start_logit + self.end_logit


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecodedAnswers:
    """Answers of the model to one question.

    Attributes:
      text: the best answer other than ""; "" if there is none.
      null_odds: score of no answer minus the score of the best answer.
      n_best: the best answers, best first; includes "" if decoded with `with_null`.
    """

    text: str
    null_odds: float
    n_best: list[ScoredAnswer]

    def records(self) -> list[dict[str, Any]]:
        """Return `n_best` as in nbest_predictions.json; probabilities are a softmax of the scores."""
        scores = np.array([answer.score for answer in self.n_best])
        exponentials = np.exp(scores - scores.max())
        return [
            {
                "text": answer.text,
                "probability": float(probability),
                "start_logit": answer.start_logit,
                "end_logit": answer.end_logit,
            }
            for answer, probability in zip(
                self.n_best, exponentials / exponentials.sum(), strict=True
            )
        ]


def decode(
    logits_WS2: np.ndarray,
    *,
    starts_W: np.ndarray,
    lengths_W: np.ndarray,
    offset: int,
    context: str,
    begins: np.ndarray,
    ends: np.ndarray,
    n_best_size: int,
    max_answer_length: int,
    with_null: bool,
) -> DecodedAnswers:
    """Decode the answers to one question.

    Args:
      logits_WS2: start and end logits of the question's windows.
      starts_W: first context token of each window.
      lengths_W: number of context tokens of each window.
      offset: position of the first context token in the sequences.
      context: text of the context.
      begins: first character of each token of the context.
      ends: character after the last one of each token of the context.
      n_best_size: maximum number of answers, all different.
      max_answer_length: maximum length of an answer, in tokens.
      with_null: whether the question may have no answer. The score of no answer is that of [CLS], in
        the window where it is lowest.
    """
    logits_WS2 = logits_WS2.astype(np.float64)
    null_start, null_end = min(logits_WS2[:, 0].tolist(), key=sum)
    spans = _best_spans(logits_WS2, starts_W, lengths_W, offset, n_best_size, max_answer_length)
    by_text: dict[str, ScoredAnswer] = {}
    for first, last, start_logit, end_logit in spans:
        text = context[begins[first] : ends[last]]
        by_text.setdefault(text, ScoredAnswer(text, start_logit, end_logit))
        if len(by_text) == n_best_size:
            break
    answers = list(by_text.values())
    best = answers[0] if answers else ScoredAnswer("", 0.0, 0.0)
    null = ScoredAnswer("", null_start, null_end)
    if with_null:
        answers.append(null)
    elif not answers:  # the context has no tokens
        answers.append(best)
    return DecodedAnswers(
        text=best.text,
        null_odds=null.score - best.score,
        n_best=sorted(answers, key=lambda answer: -answer.score),
    )


def _best_spans(
    logits_WS2: np.ndarray,
    starts_W: np.ndarray,
    lengths_W: np.ndarray,
    offset: int,
    n_best_size: int,
    max_answer_length: int,
) -> list[tuple[int, int, float, float]]:
    """Return (first token, last token, start logit, end logit) of the best spans, best first.

    A span counts only in the window with the most context around its first token. Many more than
    `n_best_size` are returned, because several may have the same text.
    """
    best_window = max_context_windows(starts_W, lengths_W)
    spans: list[tuple[int, int, float, float]] = []
    for window, (start, length) in enumerate(zip(starts_W, lengths_W, strict=True)):
        if not length:  # the context is empty
            continue
        start_T, end_T = logits_WS2[window, offset : offset + length].T
        start_T = np.where(best_window[start : start + length] == window, start_T, -np.inf)
        padded = np.append(end_T, np.full(max_answer_length - 1, -np.inf))
        ends_TL = np.lib.stride_tricks.sliding_window_view(padded, max_answer_length)[:length]
        scores = (start_T[:, None] + ends_TL).ravel()
        num_spans = min(n_best_size**2, len(scores))
        best = np.argpartition(-scores, num_spans - 1)[:num_spans]
        for index in best[np.isfinite(scores[best])].tolist():
            first, extra = divmod(index, max_answer_length)
            last = first + extra
            spans.append((start + first, start + last, float(start_T[first]), float(end_T[last])))
    return sorted(spans, key=lambda span: (-(span[2] + span[3]), span[0], span[1]))
