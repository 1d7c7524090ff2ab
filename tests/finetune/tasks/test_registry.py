"""Tasks by name and kind."""

import pytest

from data.errors import UserError
from finetune.config import CUSTOM_KINDS, GLUE_TASKS, SQUAD_TASKS, TaskConfig, for_every_kind
from finetune.tasks.registry import TASKS, open_task
from finetune.tasks.sentence import SentenceTask
from finetune.tasks.span import SpanTask
from finetune.tasks.token import TokenTask


def test_known_tasks(vocab):
    for name in (*GLUE_TASKS, *SQUAD_TASKS):
        task = open_task(TaskConfig(task=name, doc_stride=8), vocab, lower_case=True)
        assert type(task) is (SpanTask if name in SQUAD_TASKS else SentenceTask)
        assert type(task) is TASKS[task.kind]
        assert task.name == name
    stsb = open_task(TaskConfig(task="stsb"), vocab, lower_case=True)
    assert (stsb.kind, stsb.num_outputs) == ("regression", 1)


def test_kinds_of_custom_files(vocab):
    for kind in CUSTOM_KINDS:
        config = TaskConfig(
            kind=kind, train_file="train.jsonl", text_column="text", label_column="label"
        )
        task = open_task(config, vocab, lower_case=True)
        assert task.kind == kind
        assert type(task) is (TokenTask if kind == "tokens" else SentenceTask)


def test_unknown_kind_is_an_error(vocab):
    config = TaskConfig(task="cola")
    object.__setattr__(config, "task", "")  # a kind that TaskConfig accepts and TASKS lacks
    object.__setattr__(config, "kind", "ranking")
    with pytest.raises(UserError, match=r"TaskConfig.kind='ranking': .* classification, regr"):
        open_task(config, vocab, lower_case=True)


@pytest.mark.parametrize("kinds", [CUSTOM_KINDS, (*CUSTOM_KINDS, "spans", "ranking")])
def test_table_by_kind_must_have_every_kind(kinds):
    with pytest.raises(ValueError, match=r"^HEADS has entries for .*KINDS are"):
        for_every_kind("HEADS", dict.fromkeys(kinds, 0))
