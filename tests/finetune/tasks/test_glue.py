"""GLUE's published files, scores and submissions."""

import math
from pathlib import Path

import numpy as np
import pytest

from data.errors import UserError
from finetune.config import GLUE_TASKS, TaskConfig
from finetune.tasks.registry import open_task
from finetune.tasks.tables import Skip
from tests.support.finetuning import one_hot, sequence_texts


@pytest.fixture(scope="module")
def tasks(vocab):
    return {
        name: open_task(TaskConfig(task=name, max_seq_length=48), vocab, lower_case=True)
        for name in GLUE_TASKS
    }


# Labels of train and dev as in the files, in the order of the task's labels.
LABELS = {
    "cola": ([1, 0, 1, 1], [1, 0, 1]),
    "sst2": ([0, 1, 0], [1, 0]),
    "mrpc": ([1, 0], [1, 0]),
    "qqp": ([1, 0, 0], [0, 1]),
    "mnli": ([2, 1, 0], [2, 1, 0]),
    "qnli": ([1, 0], [0, 1]),
    "rte": ([1, 0], [0, 1]),
    "wnli": ([1, 0], [0, 1]),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_of_every_task(tasks, golden, name):
    task = tasks[name]
    for split, labels in zip(("train", "dev"), LABELS[name], strict=True):
        loaded = task.load(golden / "glue", split)
        assert loaded.is_labelled
        assert loaded.features["label_ids"].tolist() == labels
        assert loaded.features["label_ids"].dtype == np.int32
        assert task.metrics(one_hot(labels, task.num_outputs), loaded)[task.main_metric] == 1.0
    assert not task.load(golden / "glue", "test").is_labelled
    # The task's own folder works like that of all tasks.
    folder = golden / "glue" / {"cola": "CoLA", "sst2": "SST-2"}.get(name, name.upper())
    assert len(task.load(folder, "dev")) == len(LABELS[name][1])


TEXTS = {
    "cola": "[CLS] the ship sank in the bay . [SEP]",
    "sst2": "[CLS] it ' s a charming journey . [SEP]",
    "mrpc": "[CLS] they had put an advertisement on june 10 . [SEP]"
    " on june 10 , they had put up an advertisement . [SEP]",
    "qqp": "[CLS] why are africans tall ? [SEP] why is it hot in africa ? [SEP]",
    "stsb": "[CLS] a man in a hat is dancing . [SEP] a man wearing a hat is dancing . [SEP]",
    "mnli": "[CLS] the new rights are nice enough . [SEP] everyone likes the new rights . [SEP]",
    "qnli": "[CLS] what came into force ? [SEP] as of that day , the new law came into force . [SEP]",
    "rte": "[CLS] the king died in 1603 . [SEP] the king is dead . [SEP]",
    "wnli": "[CLS] the drain is clogged with hair . it has to be removed . [SEP]"
    " the drain has to be removed . [SEP]",
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts_of_every_task(tasks, golden, vocab, name):
    assert sequence_texts(vocab, tasks[name].load(golden / "glue", "dev"))[0] == TEXTS[name]


SUBMISSIONS = {
    "cola": {"test": ("CoLA.tsv", ["0\t1", "1\t1"])},
    "sst2": {"test": ("SST-2.tsv", ["0\t1", "1\t1"])},
    "mrpc": {"test": ("MRPC.tsv", ["0\t1", "1\t1"])},
    "qqp": {"test": ("QQP.tsv", ["0\t1", "1\t1"])},
    "mnli": {
        "test": ("MNLI-m.tsv", ["0\tentailment", "1\tentailment"]),
        "test_mismatched": ("MNLI-mm.tsv", ["0\tentailment"]),
        "diagnostic": ("AX.tsv", ["0\tentailment"]),
    },
    "qnli": {"test": ("QNLI.tsv", ["0\tnot_entailment"])},
    "rte": {"test": ("RTE.tsv", ["0\tnot_entailment", "1\tnot_entailment"])},
    "wnli": {"test": ("WNLI.tsv", ["0\t1"])},
}


@pytest.mark.parametrize("name", SUBMISSIONS)
def test_submission_files(tasks, golden, tmp_path, name):
    task = tasks[name]
    for split, (file, lines) in SUBMISSIONS[name].items():
        loaded = task.load(golden / "glue", split)
        outputs = one_hot(np.ones(len(loaded), int), task.num_outputs)
        (path,) = map(Path, task.write_predictions(outputs, loaded, tmp_path / "new"))
        assert path == tmp_path / "new" / file
        assert path.read_text().splitlines() == ["index\tprediction", *lines]


def test_scores_and_submission_of_stsb(tasks, golden, tmp_path):
    task = tasks["stsb"]
    dev = task.load(golden / "glue", "dev")
    assert dev.features["label_values"].tolist() == pytest.approx([5.0, 4.75, 0.75, 1.6])
    # Ranks 4, 3, 1, 2 and 3, 4, 1, 2: 1 - 6 * 2 / (4 * 15).
    scores = task.metrics(np.float32([[4], [6], [-1], [2]]), dev)
    assert scores["spearman"] == pytest.approx(0.8)
    assert scores["pearson"] == pytest.approx(
        np.corrcoef([5, 4.75, 0.75, 1.6], [4, 6, -1, 2])[0, 1]
    )
    assert task.baseline(dev) == {"pearson": 0.0, "spearman": 0.0}
    assert task.majority_entropy(dev) == pytest.approx(np.var([5.0, 4.75, 0.75, 1.6]))
    # Predictions are clipped to scores from 0 to 5.
    test = task.load(golden / "glue", "test")
    (path,) = map(Path, task.write_predictions(np.float32([[5.5], [2.25]]), test, tmp_path))
    assert path.name == "STS-B.tsv"
    assert path.read_text() == "index\tprediction\n0\t5\n1\t2.25\n"


def test_majority_entropy_and_baseline(tasks, golden):
    task = tasks["cola"]
    train = task.load(golden / "glue", "train")
    assert task.majority_entropy(train) == pytest.approx(
        -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    )
    assert task.baseline(train) == {"matthews": 0.0}
    assert tasks["mnli"].baseline(tasks["mnli"].load(golden / "glue", "dev")) == {"accuracy": 1 / 3}


def test_malformed_row_of_qqp_is_skipped(tasks, golden):
    train = tasks["qqp"].load(golden / "glue", "train")
    assert train.skipped == (
        Skip(f"{golden}/glue/QQP/train.tsv, line 3", "5 columns instead of 6"),
    )


def test_undivided_mrpc_is_divided_by_dev_ids(tasks, golden, vocab, tmp_path):
    task, undivided = tasks["mrpc"], golden / "glue/MRPC-undivided"
    for split in ("train", "dev"):
        assert sequence_texts(vocab, task.load(undivided, split)) == sequence_texts(
            vocab, task.load(golden / "glue", split)
        )
    test = task.load(undivided, "test")
    assert test.features["label_ids"].tolist() == [1, 0]  # Microsoft published them
    (tmp_path / "msr_paraphrase_train.txt").write_bytes(
        (undivided / "msr_paraphrase_train.txt").read_bytes()
    )
    with pytest.raises(UserError, match=r"dev_ids\.tsv, .* does not exist"):
        task.load(tmp_path, "train")


def test_missing_files(tasks, golden, tmp_path):
    assert tasks["rte"].load(golden / "glue/RTE", "dev") is not None
    (tmp_path / "dev.tsv").touch()
    assert tasks["rte"].load(tmp_path, "test") is None
    with pytest.raises(UserError, match=r"has no train\.tsv; there are dev\.tsv"):
        tasks["rte"].load(tmp_path, "train")
    with pytest.raises(UserError, match="nowhere does not exist"):
        tasks["rte"].load(tmp_path / "nowhere", "dev")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("index\tsentence1\tlabel\n0\ta\tentailment\n", "no column 'sentence2'; there are index,"),
        (
            "index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentails\n",
            "dev.tsv, line 2: label 'entails' is unknown; there are entailment, not_entailment",
        ),
        ("index\tsentence1\tsentence2\tlabel\n0\ta\tb\t\n", "none of 1 rows can be used: no label"),
    ],
)
def test_invalid_file_is_an_error(tasks, tmp_path, content, message):
    (tmp_path / "dev.tsv").write_text(content)
    with pytest.raises(UserError, match=message):
        tasks["rte"].load(tmp_path, "dev")


def test_repeated_index_in_test_file_is_an_error(tasks, tmp_path):
    (tmp_path / "test.tsv").write_text("index\tsentence\n0\ta\n1\tb\n0\tc\n")
    with pytest.raises(UserError, match="line 4: column 'index' is '0' as in line 2"):
        tasks["sst2"].load(tmp_path, "test")
