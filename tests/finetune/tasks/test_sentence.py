"""Classification and regression of custom files."""

from pathlib import Path

import numpy as np
import pytest

from data.errors import UserError
from finetune.config import TaskConfig
from finetune.tasks.registry import open_task
from finetune.tasks.tables import Skip
from tests.support.finetuning import one_hot, sequence_texts

COLUMNS = {"text_column": "text", "label_column": "label"}


@pytest.fixture
def open_custom(vocab, tmp_path):
    """Write files, {"train.tsv": content}, and open their task."""

    def open_custom(contents: dict[str, str], **settings):
        for name, content in contents.items():
            (tmp_path / name).write_text(content, encoding="utf-8")
        settings = {"kind": "classification", "train_file": "train.tsv", **COLUMNS} | settings
        return open_task(TaskConfig(max_seq_length=16, **settings), vocab, lower_case=True)

    return open_custom


def test_labels_are_learned_and_unusable_rows_skipped(open_custom, tmp_path, vocab):
    train = "text\tlabel\na king\t10\nthe sea\t9\n\t9\nno label\t\n the sky\t10\n"
    task = open_custom(
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
    assert sequence_texts(vocab, test) == ['[CLS] the " sea " , he said [SEP]']
    (path,) = map(Path, task.write_predictions(np.float32([[2, 1]]), test, tmp_path))
    assert (path.name, path.read_text()) == ("test.tsv", "index\tprediction\n0\t9\n")


def test_labels_come_from_the_training_file(open_custom, tmp_path):
    contents = {
        "train.jsonl": '{"text": "a", "label": true}\n{"text": "b", "label": false}\n',
        "dev.jsonl": '{"text": "c", "label": true}\n',
    }
    task = open_custom(contents, train_file="train.jsonl", dev_file="dev.jsonl")
    assert task.load(tmp_path, "dev").features["label_ids"].tolist() == [1]
    assert task.labels == ("false", "true")
    (tmp_path / "dev.jsonl").write_text('{"text": "c", "label": "maybe"}\n')
    with pytest.raises(UserError, match="line 1: label 'maybe' is unknown; there are false, true"):
        task.load(tmp_path, "dev")
    (tmp_path / "dev.jsonl").write_text('{"text": 3, "label": true}\n')
    with pytest.raises(UserError, match="line 1: 'text' is 3, not text"):
        task.load(tmp_path, "dev")


def test_notations_of_a_whole_number_are_one_label(open_custom, tmp_path):
    rows = ["0", "1.0", "1", "0.0", "1.00", "01", "1.5"]
    task = open_custom({"train.tsv": "text\tlabel\n" + "".join(f"king\t{r}\n" for r in rows)})
    loaded = task.load(tmp_path, "train")
    assert task.labels == ("0", "01", "1", "1.5")
    assert loaded.features["label_ids"].tolist() == [0, 2, 2, 0, 2, 1, 3]
    json_rows = (
        '{"text": "a", "label": 1.0}\n{"text": "b", "label": 0}\n{"text": "c", "label": NaN}\n'
    )
    task = open_custom({"train.jsonl": json_rows}, train_file="train.jsonl")
    loaded = task.load(tmp_path, "train")
    assert (task.labels, len(loaded.skipped)) == (("0", "1.0"), 1)
    assert loaded.features["label_ids"].tolist() == [1, 0]


def test_dev_split_is_cut_off_the_training_file(open_custom, tmp_path, vocab):
    texts = [f"king {number}" for number in range(200)]
    lines = [f"{text}\t{number % 2}\n" for number, text in enumerate([*texts, *texts])]
    task = open_custom({"train.tsv": "text\tlabel\n" + "".join(lines)}, dev_fraction=0.2)
    assert task.splits == ("train", "dev")
    train, dev = (task.load(tmp_path, name) for name in ("train", "dev"))
    assert len(train) + len(dev) == 400
    assert 50 < len(dev) < 110
    rows = [
        {tuple(row) for row in split.features["input_word_ids"].tolist()} for split in (train, dev)
    ]
    assert not rows[0] & rows[1]  # equal texts are in the same split
    again = task.load(tmp_path, "dev")
    np.testing.assert_array_equal(again.features["input_word_ids"], dev.features["input_word_ids"])
    with pytest.raises(
        UserError, match=r"dev_fraction=1e-09 leaves no row of .*train\.tsv for 'dev'"
    ):
        open_custom({}, dev_fraction=1e-9).load(tmp_path, "dev")


def test_predictions_are_numbered_by_row(open_custom, tmp_path):
    """A test row without text has a prediction, too."""
    contents = {
        "train.jsonl": '{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n',
        "dev.jsonl": '{"text": "c", "label": "x"}\n{"text": "d", "label": "y"}\n',
        "test.tsv": "text\tby\na\tme\n \t\nb\tme\n\n",
    }
    files = {f"{path.partition('.')[0]}_file": path for path in contents}
    task = open_custom(contents, **files)
    for split, numbers in (("dev", "01"), ("test", "012")):
        loaded = task.load(tmp_path, split)
        outputs = one_hot(np.zeros(len(loaded), int), 2)
        (path,) = map(Path, task.write_predictions(outputs, loaded, tmp_path / "new"))
        assert path.read_text().splitlines()[1:] == [f"{number}\tx" for number in numbers]


def test_single_label_is_an_error(open_custom, tmp_path):
    task = open_custom({"train.tsv": "text\tlabel\na\tx\nb\tx\n"})
    with pytest.raises(UserError, match=r"column 'label' has only \['x'\]"):
        task.load(tmp_path, "train")


def test_regression_of_pairs(open_custom, tmp_path, vocab):
    train = "a,b,y\nking,queen,0.5\nthe sea and the sky,a,-2\n"
    settings = {"kind": "regression", "text_column": "a", "pair_column": "b", "label_column": "y"}
    task = open_custom({"train.csv": train}, train_file="train.csv", **settings)
    loaded = task.load(tmp_path, "train")
    assert sequence_texts(vocab, loaded)[1] == "[CLS] the sea and the sky [SEP] a [SEP]"
    assert loaded.features["label_values"].tolist() == [0.5, -2.0]
    assert task.metrics(np.float32([[1], [-4]]), loaded) == {
        "pearson": pytest.approx(1.0),
        "spearman": pytest.approx(1.0),
        "mean_squared_error": pytest.approx((0.25 + 4) / 2),
    }
    (tmp_path / "train.csv").write_text("a,b,y\nking,queen,high\n")
    with pytest.raises(UserError, match="line 2: 'high' in column 'y' is not a finite number"):
        task.load(tmp_path, "train")


def test_partly_labelled_test_split_is_unlabelled(open_custom, tmp_path):
    contents = {
        "train.tsv": "text\tlabel\na\tx\nb\ty\n",
        "test.tsv": "text\tlabel\na\tx\nb\t\n",
    }
    task = open_custom(contents, test_file="test.tsv")
    test = task.load(tmp_path, "test")
    assert (len(test), test.is_labelled, test.notes) == (2, False, {"rows without label": 1})


def test_truncated_texts_are_counted(open_custom, tmp_path, vocab):
    task = open_custom({"train.tsv": f"text\tlabel\n{'the ' * 20}\tx\nthe\ty\n"})
    loaded = task.load(tmp_path, "train")
    assert sequence_texts(vocab, loaded)[0] == f"[CLS]{' the' * 14} [SEP]"
    assert loaded.notes == {"texts cut to 16 tokens": 1}
