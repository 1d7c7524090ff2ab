"""Records in the model directory of a seed: what is wrong with them is one line that names the field."""

import json

import pytest

from data.errors import UserError
from finetune.seed_files import DATA_FILE, METRICS_FILE, read_scores, read_task_data
from finetune.summary import read_summary

SCORES = {
    "seed": 1,
    "step": 40,
    "train_steps": 40,
    "main_metric": "pearson",
    "collapse": None,
    "splits": {"dev": {"pearson": 0.5, "loss": float("nan"), "f1": 1}},
}
DATA = {
    "task": "cola",
    "kind": "classification",
    "labels": ["no", "yes"],
    "has_pair": False,
    "main_metric": "accuracy",
    "sha256": "ab",
    "encoder": "E",
    "majority_entropy": 0.5,
    "splits": {"train": {"sequences": 8, "labelled": True, "skipped": [], "notes": {}}},
    "baseline": {"dev": {"accuracy": 0.5}},
}


def test_intact_records(tmp_path):
    assert read_scores(str(tmp_path)) is read_task_data(str(tmp_path)) is None
    (tmp_path / METRICS_FILE).write_text(json.dumps(SCORES))
    (tmp_path / DATA_FILE).write_text(json.dumps(DATA))
    assert read_scores(str(tmp_path))["splits"]["dev"]["f1"] == 1
    assert read_task_data(str(tmp_path)) == DATA


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": "1"}, 'seed is "1", must be a whole number'),
        ({"splits": []}, "splits is an empty list, must be an object"),
        ({"splits": {}}, "splits.dev|dev is missing"),
        (
            {"splits": {"dev": {"pearson": "x"}}},
            'splits.dev.pearson is "x", must be a finite number',
        ),
        ({"splits": {"dev": {"loss": 1}}}, "splits.dev.pearson is missing"),
        ({"collapse": {"step": 4}}, "collapse.reason is missing"),
        ({"main_metric": None}, "main_metric is null, must be text"),
    ],
)
def test_damaged_scores(tmp_path, change, message):
    (tmp_path / METRICS_FILE).write_text(json.dumps(SCORES | change))
    with pytest.raises(UserError, match=rf"metrics\.json is damaged: .*({message})"):
        read_scores(str(tmp_path))
    (tmp_path / "summary.json").write_text(json.dumps({"seeds": [SCORES, SCORES | change]}))
    with pytest.raises(
        UserError, match=r"summary\.json is damaged: (seeds\[1\]|it has no seeds, or)"
    ):
        read_summary(str(tmp_path))


def test_scores_that_do_not_say_whether_the_seed_collapsed(tmp_path):
    scores = {name: value for name, value in SCORES.items() if name != "collapse"}
    (tmp_path / METRICS_FILE).write_text(json.dumps(scores))
    with pytest.raises(UserError, match=r"metrics\.json is damaged: collapse is missing"):
        read_scores(str(tmp_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": "no"}, 'labels is "no", must be a list'),
        ({"splits": {"dev": {}}}, "splits.dev.sequences is missing"),
        ({"baseline": {"dev": {"accuracy": [1]}}}, "baseline.dev.accuracy is a list of 1, must be"),
        ({"has_pair": 0}, "has_pair is 0, must be true or false"),
    ],
)
def test_damaged_summary_of_the_data(tmp_path, change, message):
    (tmp_path / DATA_FILE).write_text(json.dumps(DATA | change))
    with pytest.raises(UserError, match=rf"data\.json is damaged: {message}"):
        read_task_data(str(tmp_path))
