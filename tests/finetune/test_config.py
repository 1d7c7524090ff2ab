"""Settings of a fine-tuning task."""

import pytest

from data.errors import UserError
from finetune.config import GLUE_TASKS, SQUAD_TASKS, TaskConfig
from finetune.tasks.glue import GLUE
from finetune.tasks.squad import FILES
from pretrain.gin_files import load_config

OWN = {
    "kind": "classification",
    "text_column": "text",
    "label_column": "label",
    "train_file": "train.tsv",
}


def test_every_known_task_has_its_files():
    assert tuple(GLUE) == GLUE_TASKS
    assert tuple(FILES) == SQUAD_TASKS


def test_gin_binds_task_settings():
    params = ["TaskConfig.kind='classification'", "TaskConfig.labels=['no', 'yes']"]
    params += ["TaskConfig.text_column='a'", "TaskConfig.label_column='b'"]
    (config,) = load_config([], [*params, "TaskConfig.train_file='t.csv'"], TaskConfig)
    assert config == TaskConfig(
        kind="classification",
        labels=("no", "yes"),
        text_column="a",
        label_column="b",
        train_file="t.csv",
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "mlni"}, "TaskConfig.task='mlni': must be one of cola, "),
        ({"task": "cola", "max_seq_length": 4}, "max_seq_length=4: must be at least 8"),
        ({"task": "cola", "n_best_size": 0}, "n_best_size=0: must be at least 1"),
        ({"task": "cola", "kind": "tokens"}, "kind='tokens' has no effect with .*task='cola'"),
        ({}, "kind='': must be 'classification', 'regression', 'tokens'"),
        ({**OWN, "train_file": ""}, "TaskConfig.train_file is empty"),
        ({**OWN, "train_file": "train.txt"}, "'train.txt': .* is read from .tsv, .csv, .jsonl"),
        ({**OWN, "dev_file": "dev.conll"}, "dev_file='dev.conll': .* is read from .tsv"),
        ({**OWN, "dev_fraction": 1.0}, "dev_fraction=1.0: must be at least 0 and less than 1"),
        ({**OWN, "dev_fraction": 0.1, "dev_file": "d.tsv"}, "0.1 has no effect with .*dev_file"),
        (
            {"task": "cola", "dev_fraction": 0.1},
            "dev_fraction=0.1 has no effect with .*task='cola'",
        ),
        ({**OWN, "label_column": ""}, "TaskConfig.label_column is empty"),
        ({**OWN, "labels": ("a",)}, r"labels=\(.a.,\): must be"),
        ({**OWN, "labels": ("a", "a")}, r"labels=\(.a., .a.\): must be"),
        ({**OWN, "kind": "regression", "labels": ("a", "b")}, "no effect with kind 'regression'"),
        (
            {**OWN, "kind": "tokens", "train_file": "t.jsonl", "pair_column": "b"},
            "pair_column='b' has no effect with kind 'tokens'",
        ),
        (
            {"task": "squad_v1", "max_query_length": 126},
            "max_query_length=126 leaves no room .*max_seq_length=128",
        ),
        (
            {"task": "squad_v1", "max_seq_length": 128, "doc_stride": 62},
            "doc_stride=62 would skip tokens .* leaves 61 for the context",
        ),
    ],
)
def test_invalid_settings_are_errors(settings, message):
    with pytest.raises(UserError, match=message):
        TaskConfig(**settings)


def test_conll_files_need_no_column_names():
    TaskConfig(kind="tokens", train_file="train.conll")
    with pytest.raises(UserError, match="text_column is empty"):
        TaskConfig(kind="tokens", train_file="train.conll", dev_file="dev.jsonl")
