"""Read the JSON of SQuAD (https://arxiv.org/abs/1606.05250, https://arxiv.org/abs/1806.03822)."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

from data.errors import UserError, list_names
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
    """A correct answer, and its first character in the context according to the file."""

    text: str
    start: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
    """One question.

    Attributes:
      id: unique id within the file.
      text: text of the question.
      context: index of its context in the file.
      answers: correct answers; empty if the context has no answer, or if they are not known.
    """

    id: str
    text: str
    context: int
    answers: tuple[Answer, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SquadFile:
    """The content of a file; `is_labelled` is whether the answers are known."""

    path: str
    contexts: list[str]
    questions: list[Question]
    is_labelled: bool


def read_squad(path: str | os.PathLike[str], *, has_unanswerable: bool) -> SquadFile:
    """Read a SQuAD file.

    Args:
      path: file to read.
      has_unanswerable: whether a question may have no answer, as in version 2.0.

    Raises:
      UserError: the file is not JSON, lacks a field or has a field of the wrong type (the error names
        it); two questions have the same id; or a question has no answer and must have one.
    """
    path = os.fspath(path)
    try:
        content = json.loads(tables.read_text(path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path} is not JSON: {tables.describe_json_error(error)}") from None
    tables.require_unicode(content, path)
    contexts: list[str] = []
    questions: list[Question] = []
    is_labelled = []
    for a, article in enumerate(_get(content, "data", list, path)):
        article_path = f"{path}: data[{a}]"
        for p, paragraph in enumerate(_get(article, "paragraphs", list, article_path)):
            where = f"{article_path}.paragraphs[{p}]"
            contexts.append(_get(paragraph, "context", str, where))
            for q, qa in enumerate(_get(paragraph, "qas", list, where)):
                question = _read_question(qa, len(contexts) - 1, f"{where}.qas[{q}]")
                questions.append(question)
                may_lack = has_unanswerable and ("answers" in qa or "is_impossible" in qa)
                is_labelled.append(bool(question.answers) or may_lack)
    _check(path, questions, is_labelled)
    return SquadFile(
        path=path, contexts=contexts, questions=questions, is_labelled=all(is_labelled)
    )


def find_answer(context: str, answer: Answer) -> int | None:
    """Return the first character of an answer: as given in the file, else its nearest occurrence.

    Returns:
      None if the context does not contain the answer.
    """
    if not answer.text.strip():
        return None
    if answer.start >= 0 and context.startswith(answer.text, answer.start):
        return answer.start
    occurrences = []
    start = context.find(answer.text)
    while start >= 0:
        occurrences.append(start)
        start = context.find(answer.text, start + 1)
    return min(occurrences, key=lambda start: abs(start - answer.start), default=None)


def _read_question(qa: Any, context: int, where: str) -> Question:
    text, question_id = _get(qa, "question", str, where), str(_get(qa, "id", (str, int), where))
    answers = _get(qa, "answers", list, where) if "answers" in qa else []
    if "is_impossible" in qa and _get(qa, "is_impossible", bool, where) and answers:
        raise UserError(f"{where}: is_impossible is true, and there are answers; fix one of them")
    return Question(
        id=question_id,
        text=text,
        context=context,
        answers=tuple(
            Answer(
                text=_get(answer, "text", str, f"{where}.answers[{n}]"),
                start=_get(answer, "answer_start", int, f"{where}.answers[{n}]"),
            )
            for n, answer in enumerate(answers)
        ),
    )


def _get(content: Any, name: str, types: type | tuple[type, ...], where: str) -> Any:
    """Return a field of an object; raise a UserError if it is missing or has the wrong type."""
    if not isinstance(content, dict) or name not in content:
        fields = list_names(content) if isinstance(content, dict) else type(content).__name__
        raise UserError(f"{where} has no {name!r}; there are {fields}")
    if not isinstance(content[name], types):
        raise UserError(f"{where}.{name} is of type {type(content[name]).__name__}")
    return content[name]


def _check(path: str, questions: list[Question], is_labelled: list[bool]) -> None:
    if not questions:
        raise UserError(f"{path} has no questions")
    ids: set[str] = set()
    for question in questions:
        if question.id in ids:
            raise UserError(f"{path}: two questions have the id {question.id!r}")
        ids.add(question.id)
    if any(is_labelled) and not all(is_labelled):
        unlabelled = questions[is_labelled.index(False)].id
        raise UserError(
            f"{path}: question {unlabelled!r} has no answer and others do; for files of SQuAD 2.0 set"
            " TaskConfig.task='squad_v2'"
        )
