"""Start and end logits to answers in the words of the context.

The rules are those of BERT's `run_squad.py`, which tf-models ships as
`official.nlp.data.squad_lib`; two things are done otherwise, with the same answers or better ones:
all spans are scored instead of those between the 20 best starts and the 20 best ends, and the text
is cut out of the context by the characters of its tokens instead of being aligned anew.

Legend for shapes: W windows of one question, S places of each, T tokens of a window, L lengths of
answers.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from finetune.tasks.windows import widest_view


@dataclasses.dataclass(frozen=True)
class Scored:
    """An answer; "" is none."""

    text: str
    start_logit: float
    end_logit: float

    @property
    def score(self) -> float:
        """Sum of both logits."""
        return self.start_logit + self.end_logit


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decoded:
    """What the model answers to one question.

    Attributes:
      text: the best answer that is not ""; "" if there is none at all.
      null_odds: by how much the score of no answer exceeds that of the best one.
      n_best: the best answers in order; with `with_null`, "" is among them.
    """

    text: str
    null_odds: float
    n_best: list[Scored]

    def records(self) -> list[dict]:
        """`n_best` as in nbest_predictions.json; the probabilities are a softmax over the scores."""
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
) -> Decoded:
    """The answers to one question.

    Args:
      logits_WS2: start and end logits of its windows.
      starts_W: first token of the context in each window.
      lengths_W: tokens of it in each.
      offset: place of that token in the sequence.
      context: its text.
      begins: first character of each token of the context.
      ends: the one after its last.
      n_best_size: answers to keep, all different.
      max_answer_length: in tokens.
      with_null: whether there may be no answer: its score is that of [CLS], in the window where
        that is least.
    """
    logits_WS2 = logits_WS2.astype(np.float64)
    null_start, null_end = min(logits_WS2[:, 0].tolist(), key=sum)
    spans = _best_spans(logits_WS2, starts_W, lengths_W, offset, n_best_size, max_answer_length)
    found: dict[str, Scored] = {}
    for first, last, start_logit, end_logit in spans:
        text = context[begins[first] : ends[last]]
        found.setdefault(text, Scored(text, start_logit, end_logit))
        if len(found) == n_best_size:
            break
    answers = list(found.values())
    best = answers[0] if answers else Scored("", 0.0, 0.0)
    null = Scored("", null_start, null_end)
    if with_null:
        answers.append(null)
    elif not answers:  # a context without a single token
        answers.append(best)
    return Decoded(
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
    """(first token, last token, start logit, end logit) of the best spans of all windows, in order.

    A span counts in the window that sees most around its first token. Many more than `n_best_size`
    are kept, because several may have the same text.
    """
    view = widest_view(starts_W, lengths_W)
    spans: list[tuple[int, int, float, float]] = []
    for window, (start, length) in enumerate(zip(starts_W, lengths_W, strict=True)):
        if not length:
            continue  # an empty context
        start_T, end_T = logits_WS2[window, offset : offset + length].T
        start_T = np.where(view[start : start + length] == window, start_T, -np.inf)
        padded = np.append(end_T, np.full(max_answer_length - 1, -np.inf))
        ends_TL = np.lib.stride_tricks.sliding_window_view(padded, max_answer_length)[:length]
        scores = (start_T[:, None] + ends_TL).ravel()
        keep = min(n_best_size**2, len(scores))
        best = np.argpartition(-scores, keep - 1)[:keep]
        for place in best[np.isfinite(scores[best])].tolist():
            first, more = divmod(place, max_answer_length)
            last = first + more
            spans.append((start + first, start + last, float(start_T[first]), float(end_T[last])))
    return sorted(spans, key=lambda span: (-(span[2] + span[3]), span[0], span[1]))
