"""Open the task that a `TaskConfig` names."""

from __future__ import annotations

from data.vocab import Vocab
from finetune.config import SQUAD_TASKS, TaskConfig
from finetune.tasks.sentence import SentenceTask
from finetune.tasks.span import SpanTask
from finetune.tasks.task import Task
from finetune.tasks.token import TokenTask


def open_task(config: TaskConfig, vocab: Vocab, *, lower_case: bool) -> Task:
    """Return the task that a configuration names.

    Args:
      config: settings of the task.
      vocab: vocabulary of the encoder.
      lower_case: whether the encoder's text is lower-cased and stripped of accents.
    """
    if config.task in SQUAD_TASKS:
        kind = SpanTask
    elif config.kind == "tokens":
        kind = TokenTask
    else:
        kind = SentenceTask
    return kind(config, vocab, lower_case=lower_case)
