"""GLUE in its published files, its scores and submissions; files of one's own with columns."""

import math
from pathlib import Path

import numpy as np
import pytest

from data.errors import UserError
from finetune.config import GLUE_TASKS, TaskConfig
from finetune.tasks import metrics
from finetune.tasks.registry import open_task
from finetune.tasks.tables import Skip

COLUMNS = {"text_column": "text", "label_column": "label"}


@pytest.fixture(scope="module")
def tasks(vocab):
    return {
        name: open_task(TaskConfig(task=name, max_seq_length=48), vocab, lower_case=True)
        for name in GLUE_TASKS
    }


@pytest.fixture
def own(vocab, tmp_path):
    """Opens a task of files that it writes first; {"train.tsv": content}."""

    def opened(contents: dict[str, str], **settings):
        for name, content in contents.items():
            (tmp_path / name).write_text(content, encoding="utf-8")
        settings = {"kind": "classification", "train_file": "train.tsv", **COLUMNS} | settings
        return open_task(TaskConfig(max_seq_length=16, **settings), vocab, lower_case=True)

    return opened


def words(vocab, split) -> list[str]:
    """Each sequence as text, without padding."""
    rows = split.features["input_word_ids"]
    texts = [" ".join(vocab.pieces[i] for i in row).replace(" ##", "") for row in rows]
    return [text.replace(" [PAD]", "") for text in texts]


def one_hot(ids, num_labels: int) -> np.ndarray:
    return np.eye(num_labels, dtype=np.float32)[ids]


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
    # The folder of the task is as good as that of all tasks.
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
    assert words(vocab, tasks[name].load(golden / "glue", "dev"))[0] == TEXTS[name]


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
def test_submissions(tasks, golden, tmp_path, name):
    task = tasks[name]
    for split, (file, lines) in SUBMISSIONS[name].items():
        loaded = task.load(golden / "glue", split)
        outputs = one_hot(np.ones(len(loaded), int), task.num_outputs)
        (path,) = map(Path, task.write_predictions(outputs, loaded, tmp_path / "new"))
        assert path == tmp_path / "new" / file
        assert path.read_text().splitlines() == ["index\tprediction", *lines]


def test_scores_of_stsb(tasks, golden, tmp_path):
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
    # Scores lie between 0 and 5.
    test = task.load(golden / "glue", "test")
    (path,) = map(Path, task.write_predictions(np.float32([[5.5], [2.25]]), test, tmp_path))
    assert path.name == "STS-B.tsv"
    assert path.read_text() == "index\tprediction\n0\t5\n1\t2.25\n"


def test_metrics_by_hand():
    labels, predictions = np.array([1, 1, 1, 0, 0, 0, 0, 0]), np.array([1, 1, 0, 1, 0, 0, 0, 0])
    # 2 true positives, 1 false positive, 1 false negative, 4 true negatives.
    assert metrics.accuracy(labels, predictions) == 6 / 8
    assert metrics.f1(labels, predictions) == pytest.approx(4 / 6)
    assert metrics.f1_macro(labels, predictions) == pytest.approx((4 / 6 + 8 / 10) / 2)
    by_hand = (2 * 4 - 1 * 1) / math.sqrt(3 * 3 * 5 * 5)
    assert metrics.matthews(labels, predictions) == pytest.approx(by_hand)
    # Of a model that always says the same; undefined, and counted as nothing.
    same = np.zeros(8, int)
    assert metrics.matthews(labels, same) == metrics.f1(labels, same) == 0.0
    assert metrics.pearson(labels, same) == metrics.spearman(labels, same) == 0.0
    assert metrics.mean_squared_error(np.array([1.0, 2.0]), np.array([1.0, 4.0])) == 2.0


def test_what_is_known_without_learning(tasks, golden):
    task = tasks["cola"]
    train = task.load(golden / "glue", "train")
    assert task.majority_entropy(train) == pytest.approx(
        -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    )
    assert task.baseline(train) == {"matthews": 0.0}
    assert tasks["mnli"].baseline(tasks["mnli"].load(golden / "glue", "dev")) == {"accuracy": 1 / 3}


def test_a_broken_row_of_qqp_is_listed(tasks, golden):
    train = tasks["qqp"].load(golden / "glue", "train")
    assert train.skipped == (
        Skip(f"{golden}/glue/QQP/train.tsv, line 3", "5 columns instead of 6"),
    )


def test_mrpc_is_divided_as_glue_does(tasks, golden, vocab, tmp_path):
    task, undivided = tasks["mrpc"], golden / "glue/MRPC-undivided"
    for split in ("train", "dev"):
        assert words(vocab, task.load(undivided, split)) == words(
            vocab, task.load(golden / "glue", split)
        )
    test = task.load(undivided, "test")
    assert test.features["label_ids"].tolist() == [1, 0]  # Microsoft published them
    (tmp_path / "msr_paraphrase_train.txt").write_bytes(
        (undivided / "msr_paraphrase_train.txt").read_bytes()
    )
    with pytest.raises(UserError, match=r"dev_ids\.tsv, which says what GLUE holds out"):
        task.load(tmp_path, "train")


def test_files_that_are_not_there(tasks, golden, tmp_path):
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
        ("index\tsentence1\tsentence2\tlabel\n0\ta\tb\t\n", "none can be used: no label"),
    ],
)
def test_bad_files(tasks, tmp_path, content, message):
    (tmp_path / "dev.tsv").write_text(content)
    with pytest.raises(UserError, match=message):
        tasks["rte"].load(tmp_path, "dev")


def test_test_rows_are_told_apart(tasks, tmp_path):
    (tmp_path / "test.tsv").write_text("index\tsentence\n0\ta\n1\tb\n0\tc\n")
    with pytest.raises(UserError, match="line 4: column 'index' is '0' as in line 2; predictions"):
        tasks["sst2"].load(tmp_path, "test")


def test_own_classes(own, tmp_path, vocab):
    train = "text\tlabel\na king\t10\nthe sea\t9\n\t9\nno label\t\n the sky\t10\n"
    task = own(
        {"train.tsv": train, "test.csv": 'id,text\n7,"the ""sea"", he said"\n'},
        test_file="test.csv",
    )
    loaded = task.load(tmp_path, "train")
    assert task.splits == ("train", "test")
    assert (task.labels, task.num_outputs) == (("9", "10"), 2)
    assert loaded.features["label_ids"].tolist() == [1, 0, 1]
    assert loaded.skipped == (
        Skip(f"{tmp_path}/train.tsv, line 4", "no text"),
        Skip(f"{tmp_path}/train.tsv, line 5", "no label in column 'label'"),
    )
    assert task.metrics(np.float32([[0, 1], [1, 0], [1, 0]]), loaded) == {
        "accuracy": pytest.approx(2 / 3),
        "f1_macro": pytest.approx(2 / 3),
    }
    test = task.load(tmp_path, "test")
    assert words(vocab, test) == ['[CLS] the " sea " , he said [SEP]']
    (path,) = map(Path, task.write_predictions(np.float32([[2, 1]]), test, tmp_path))
    assert (path.name, path.read_text()) == ("test.tsv", "index\tprediction\n0\t9\n")


def test_own_labels_come_from_the_training_file(own, tmp_path):
    contents = {
        "train.jsonl": '{"text": "a", "label": true}\n{"text": "b", "label": false}\n',
        "dev.jsonl": '{"text": "c", "label": true}\n',
    }
    task = own(contents, train_file="train.jsonl", dev_file="dev.jsonl")
    assert task.load(tmp_path, "dev").features["label_ids"].tolist() == [1]
    assert task.labels == ("false", "true")
    (tmp_path / "dev.jsonl").write_text('{"text": "c", "label": "maybe"}\n')
    with pytest.raises(UserError, match="line 1: label 'maybe' is unknown; there are false, true"):
        task.load(tmp_path, "dev")
    (tmp_path / "dev.jsonl").write_text('{"text": 3, "label": true}\n')
    with pytest.raises(UserError, match="line 1: 'text' is 3, not text"):
        task.load(tmp_path, "dev")


def test_own_rows_are_numbered(own, tmp_path):
    """Of whatever file; a row without text is a row, and has its prediction."""
    contents = {
        "train.jsonl": '{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n',
        "dev.jsonl": '{"text": "c", "label": "x"}\n{"text": "d", "label": "y"}\n',
        "test.tsv": "text\tby\na\tme\n \t\nb\tme\n\n",
    }
    files = {f"{path.partition('.')[0]}_file": path for path in contents}
    task = own(contents, **files)
    for split, numbers in (("dev", "01"), ("test", "012")):
        loaded = task.load(tmp_path, split)
        outputs = one_hot(np.zeros(len(loaded), int), 2)
        (path,) = map(Path, task.write_predictions(outputs, loaded, tmp_path / "new"))
        assert path.read_text().splitlines()[1:] == [f"{number}\tx" for number in numbers]


def test_own_task_of_one_label(own, tmp_path):
    task = own({"train.tsv": "text\tlabel\na\tx\nb\tx\n"})
    with pytest.raises(UserError, match=r"column 'label' has only \['x'\]"):
        task.load(tmp_path, "train")


def test_own_numbers_of_pairs(own, tmp_path, vocab):
    train = "a,b,y\nking,queen,0.5\nthe sea and the sky,a,-2\n"
    settings = {"kind": "regression", "text_column": "a", "pair_column": "b", "label_column": "y"}
    task = own({"train.csv": train}, train_file="train.csv", **settings)
    loaded = task.load(tmp_path, "train")
    assert words(vocab, loaded)[1] == "[CLS] the sea and the sky [SEP] a [SEP]"
    assert loaded.features["label_values"].tolist() == [0.5, -2.0]
    assert task.metrics(np.float32([[1], [-4]]), loaded) == {
        "pearson": pytest.approx(1.0),
        "spearman": pytest.approx(1.0),
        "mean_squared_error": pytest.approx((0.25 + 4) / 2),
    }
    (tmp_path / "train.csv").write_text("a,b,y\nking,queen,high\n")
    with pytest.raises(UserError, match="line 2: 'high' in column 'y' is no number"):
        task.load(tmp_path, "train")


def test_own_test_split_with_some_labels(own, tmp_path):
    contents = {
        "train.tsv": "text\tlabel\na\tx\nb\ty\n",
        "test.tsv": "text\tlabel\na\tx\nb\t\n",
    }
    task = own(contents, test_file="test.tsv")
    test = task.load(tmp_path, "test")
    assert (len(test), test.is_labelled, test.notes) == (2, False, {"rows without label": 1})


def test_texts_that_are_cut_are_counted(own, tmp_path, vocab):
    task = own({"train.tsv": f"text\tlabel\n{'the ' * 20}\tx\nthe\ty\n"})
    loaded = task.load(tmp_path, "train")
    assert words(vocab, loaded)[0] == f"[CLS]{' the' * 14} [SEP]"
    assert loaded.notes == {"texts cut to 16 tokens": 1}
