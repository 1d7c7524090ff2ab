"""SQuAD's JSON (https://arxiv.org/abs/1606.05250, https://arxiv.org/abs/1806.03822) to questions."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

from data.errors import UserError
from finetune.tasks import tables

FILES = {
    "squad_v1": {
        "train": ("train-v1.1.json",),
        "dev": ("dev-v1.1.json",),
        "test": ("test-v1.1.json",),
    },
    "squad_v2": {
        "train": ("train-v2.0.json",),
        "dev": ("dev-v2.0.json",),
        "test": ("test-v2.0.json",),
    },
}


@dataclasses.dataclass(frozen=True)
class Answer:
    """A right answer, and the character of the context at which it is said to start."""

    text: str
    start: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
    """One question.

    Attributes:
      id: unique in its file.
      text: the question.
      context: which of the file's contexts it is about.
      answers: right ones; none if the context has no answer, or if they are not known.
    """

    id: str
    text: str
    context: int
    answers: tuple[Answer, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SquadFile:
    """The content of a file; `is_labelled` says whether the answers are known."""

    path: str
    contexts: list[str]
    questions: list[Question]
    is_labelled: bool


def read_squad(path: str | os.PathLike, *, has_unanswerable: bool) -> SquadFile:
    """Reads a file of SQuAD.

    Args:
      path: of the file.
      has_unanswerable: whether a question may have no answer, as in version 2.0.

    Raises:
      UserError: the file is not JSON of this form; the place in it is named. Or two questions share
        an id, or one has no answer and may not.
    """
    path = os.fspath(path)
    try:
        content = json.loads(tables.read_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise UserError(f"{path} is not JSON: {error}") from None
    tables.require_unicode(content, path)
    contexts: list[str] = []
    questions: list[Question] = []
    known = []
    for a, article in enumerate(_get(content, "data", list, path)):
        place = f"{path}: data[{a}]"
        for p, paragraph in enumerate(_get(article, "paragraphs", list, place)):
            inside = f"{place}.paragraphs[{p}]"
            contexts.append(_get(paragraph, "context", str, inside))
            for q, qa in enumerate(_get(paragraph, "qas", list, inside)):
                question = _question(qa, len(contexts) - 1, f"{inside}.qas[{q}]")
                questions.append(question)
                may_lack = has_unanswerable and ("answers" in qa or "is_impossible" in qa)
                known.append(bool(question.answers) or may_lack)
    _check(path, questions, known)
    return SquadFile(path=path, contexts=contexts, questions=questions, is_labelled=all(known))


def find_answer(context: str, answer: Answer) -> int | None:
    """The character at which an answer starts: where it is said to, else the nearest such text.

    Returns:
      None if the context does not contain the answer.
    """
    if not answer.text.strip():
        return None
    if answer.start >= 0 and context.startswith(answer.text, answer.start):
        return answer.start
    places = []
    place = context.find(answer.text)
    while place >= 0:
        places.append(place)
        place = context.find(answer.text, place + 1)
    return min(places, key=lambda place: abs(place - answer.start), default=None)


def _question(qa: Any, context: int, place: str) -> Question:
    text, name = _get(qa, "question", str, place), str(_get(qa, "id", (str, int), place))
    answers = _get(qa, "answers", list, place) if "answers" in qa else []
    if "is_impossible" in qa and _get(qa, "is_impossible", bool, place) and answers:
        raise UserError(
            f"{place}: is_impossible is true, and there are answers; mend one of the two"
        )
    return Question(
        id=name,
        text=text,
        context=context,
        answers=tuple(
            Answer(
                text=_get(answer, "text", str, f"{place}.answers[{n}]"),
                start=_get(answer, "answer_start", int, f"{place}.answers[{n}]"),
            )
            for n, answer in enumerate(answers)
        ),
    )


def _get(content: Any, name: str, kind: type | tuple[type, ...], place: str) -> Any:
    """One field, of the right type."""
    if not isinstance(content, dict) or name not in content:
        there = ", ".join(content) if isinstance(content, dict) else type(content).__name__
        raise UserError(f"{place} has no {name!r}; there are {there}")
    if not isinstance(content[name], kind):
        raise UserError(f"{place}.{name} is of type {type(content[name]).__name__}")
    return content[name]


def _check(path: str, questions: list[Question], known: list[bool]) -> None:
    if not questions:
        raise UserError(f"{path} has no questions")
    seen: set[str] = set()
    for question in questions:
        if question.id in seen:
            raise UserError(f"{path}: two questions have the id {question.id!r}")
        seen.add(question.id)
    if any(known) and not all(known):
        without = questions[known.index(False)].id
        raise UserError(
            f"{path}: question {without!r} has no answer and others do; files of SQuAD 2.0 want"
            " TaskConfig.task='squad_v2'"
        )
