"""Table of the kinds of tasks, and a function that opens the task a `TaskConfig` names."""

from __future__ import annotations

from typing import Protocol

from data.errors import UserError
from data.vocab import Vocab
from finetune.config import SQUAD_TASKS, TaskConfig, for_every_kind
from finetune.tasks.glue import GLUE
from finetune.tasks.sentence import SentenceTask
from finetune.tasks.span import SpanTask
from finetune.tasks.task import Task
from finetune.tasks.token import TokenTask


class _TaskClass(Protocol):
    def __call__(self, config: TaskConfig, vocab: Vocab, *, lower_case: bool) -> Task: ...


TASKS: dict[str, _TaskClass] = for_every_kind(
    "finetune.tasks.registry.TASKS",
    {
        "classification": SentenceTask,
        "regression": SentenceTask,
        "tokens": TokenTask,
        "spans": SpanTask,
    },
)


def open_task(config: TaskConfig, vocab: Vocab, *, lower_case: bool) -> Task:
    """Return the task that a configuration names.

    Args:
      config: settings of the task.
      vocab: vocabulary of the encoder.
      lower_case: whether the encoder's text is lower-cased and stripped of accents.

    Raises:
      UserError: the kind of task is unknown.
    """
    kind = kind_of(config)
    if kind not in TASKS:
        raise UserError(f"TaskConfig.kind={kind!r}: must be one of {', '.join(TASKS)}")
    return TASKS[kind](config, vocab, lower_case=lower_case)


def kind_of(config: TaskConfig) -> str:
    """Return the kind of a known task, or the configured kind for custom files."""
    if config.task in SQUAD_TASKS:
        return "spans"
    return GLUE[config.task].kind if config.task else config.kind
