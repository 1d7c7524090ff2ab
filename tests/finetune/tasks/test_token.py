"""Token classification: one label for each word."""

import math
from pathlib import Path

import numpy as np
import pytest

from data.errors import UserError
from finetune.config import TaskConfig
from finetune.tasks.registry import open_task
from finetune.tasks.tables import Skip

TRAIN = """-DOCSTART- -X- -X- O

King NNP B-NP B-PER
Henry NNP I-NP I-PER
came VBD B-VP O

to TO B-PP O
London NNP B-NP B-LOC
\u200b . O O
"""


@pytest.fixture
def open_custom(vocab, tmp_path):
    """Write files, {"train.conll": content}, and open their task."""

    def open_custom(contents: dict[str, str], *, max_seq_length: int = 16, **settings):
        for name, content in contents.items():
            (tmp_path / name).write_text(content, encoding="utf-8")
        settings = {"kind": "tokens", "train_file": "train.conll"} | settings
        config = TaskConfig(max_seq_length=max_seq_length, **settings)
        return open_task(config, vocab, lower_case=True)

    return open_custom


def outputs_for(task, split, labels: list[str]) -> np.ndarray:
    """Logits [N, S, C] of these labels, one for each word."""
    examples = split.examples
    outputs = np.zeros((*split.features["input_word_ids"].shape, task.num_outputs), np.float32)
    ids = [task.labels.index(label) for label in labels]
    outputs[examples.sequences, examples.positions, ids] = 1.0
    return outputs


def test_label_is_at_the_first_piece_of_a_word(open_custom, vocab, tmp_path):
    task = open_custom({"train.conll": TRAIN})
    train = task.load(tmp_path, "train")
    assert task.labels == ("B-LOC", "B-PER", "I-PER", "O")
    pieces = [[vocab.pieces[i] for i in row] for row in train.features["input_word_ids"]]
    first = ["[CLS]", "king", "he", "##n", "##ry", "ca", "##me", "[SEP]"]
    second = ["[CLS]", "to", "lo", "##nd", "##on", "[UNK]", "[SEP]", "[PAD]"]
    assert pieces == [row + ["[PAD]"] * 8 for row in (first, second)]
    assert train.features["label_ids"][:, :7].tolist() == [
        [0, 1, 2, 0, 0, 3, 0],
        [0, 3, 0, 0, 0, 3, 0],
    ]
    weights = train.features["label_weights"]
    assert weights[:, :7].tolist() == [[0, 1, 1, 0, 0, 1, 0], [0, 1, 1, 0, 0, 1, 0]]
    assert weights.sum() == 6
    assert train.features["label_ids"].dtype == np.int32 and weights.dtype == np.float32
    assert train.skipped == (Skip(f"{tmp_path}/train.conll, line 1", "separates documents"),)


def test_scores_and_predictions(open_custom, tmp_path):
    task = open_custom({"train.conll": TRAIN})
    train = task.load(tmp_path, "train")
    outputs = outputs_for(task, train, ["B-PER", "O", "O", "O", "B-LOC", "O"])
    # One of two entities is right; the other is predicted too short.
    half = pytest.approx(0.5)
    scores = {"accuracy": pytest.approx(5 / 6), "f1": half, "precision": half, "recall": half}
    assert task.metrics(outputs, train) == scores
    assert task.main_metric == "f1"
    assert task.baseline(train)["accuracy"] == 0.5
    shares = np.array([1, 1, 1, 3]) / 6
    assert task.majority_entropy(train) == pytest.approx(-sum(p * math.log(p) for p in shares))
    (path,) = map(Path, task.write_predictions(outputs, train, tmp_path / "out"))
    assert path == tmp_path / "out/train.conll"
    assert path.read_text() == (
        "King B-PER B-PER\nHenry I-PER O\ncame O O\n\nto O O\nLondon B-LOC B-LOC\n\u200b O O\n\n"
    )


def test_labels_without_entities_are_scored_by_accuracy(open_custom, tmp_path):
    task = open_custom({"train.conll": "the DT\nsea NN\n"})
    train = task.load(tmp_path, "train")
    assert task.main_metric == "accuracy"
    assert task.metrics(outputs_for(task, train, ["NN", "NN"]), train) == {"accuracy": 0.5}


def test_every_word_of_a_long_sentence_is_labelled(open_custom, tmp_path):
    words = ["to", "London", "the", "King", "Henry", "and", "to", "London", "he", "the"]
    task = open_custom({"train.conll": "".join(f"{w} {w[0]}\n" for w in words)}, max_seq_length=8)
    train = task.load(tmp_path, "train")
    # At most 6 pieces, divided between words; London and Henry have three each.
    assert train.examples.sequences.tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert train.features["label_weights"].sum() == len(words)
    assert train.notes == {"sentences divided into several sequences": 1}
    outputs = outputs_for(task, train, [w[0] for w in words])
    assert task.metrics(outputs, train) == {"accuracy": 1.0}
    (path,) = map(Path, task.write_predictions(outputs, train, tmp_path))
    assert path.read_text() == "".join(f"{w} {w[0]} {w[0]}\n" for w in words) + "\n"


def test_word_longer_than_a_sequence_is_truncated(open_custom, tmp_path):
    task = open_custom({"train.conll": "incomprehensibilities A\nto B\n"}, max_seq_length=8)
    train = task.load(tmp_path, "train")
    assert train.features["label_weights"].tolist() == [[0, 1, 0, 0, 0, 0, 0, 0]] * 2
    assert train.notes == {
        "words cut to 6 pieces": 1,
        "sentences divided into several sequences": 1,
    }


def test_json_lines_are_read_and_written(open_custom, tmp_path):
    contents = {
        "train.jsonl": '{"w": ["New York", "fell"], "y": ["A", "B"]}\n{"w": [], "y": []}\n',
        "test.jsonl": '{"w": ["King"]}\n{"w": []}\n',
    }
    columns = {"text_column": "w", "label_column": "y"}
    task = open_custom(contents, train_file="train.jsonl", test_file="test.jsonl", **columns)
    train = task.load(tmp_path, "train")
    assert len(train) == 1
    assert train.skipped == (Skip(f"{tmp_path}/train.jsonl, line 2", "no words"),)
    test = task.load(tmp_path, "test")
    assert not test.is_labelled
    (path,) = map(
        Path, task.write_predictions(outputs_for(task, test, ["B"]), test, tmp_path / "out")
    )
    assert path.read_text() == '{"w": ["King"], "y": ["B"]}\n{"w": [], "y": []}\n'


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"w": "King", "y": ["A"]}', "line 2: the words must be a list of strings"),
        ('{"w": ["King"], "y": [1]}', "line 2: the labels must be a list of strings"),
        ('{"w": ["King"], "y": ["A", "B"]}', "line 2: 1 words and 2 labels"),
        ('{"w": ["King"], "y": ["C"]}', "line 2: label 'C' of 'King' is unknown; there are A, B"),
        ('{"x": ["King"]}', "line 2: no field 'w'; there are x"),
    ],
)
def test_invalid_line_is_an_error(open_custom, tmp_path, line, message):
    good = '{"w": ["the", "sea"], "y": ["A", "B"]}\n'
    columns = {"text_column": "w", "label_column": "y"}
    contents = {"train.jsonl": good, "dev.jsonl": good + line + "\n"}
    task = open_custom(contents, train_file="train.jsonl", dev_file="dev.jsonl", **columns)
    with pytest.raises(UserError, match=message):
        task.load(tmp_path, "dev")


def test_training_file_needs_two_labels(open_custom, tmp_path):
    with pytest.raises(UserError, match="no word has a label"):
        open_custom({"train.conll": "the\nsea\n"}).load(tmp_path, "train")
    with pytest.raises(UserError, match=r"has only the labels \['A'\]"):
        open_custom({"train.conll": "the A\nsea A\n"}).load(tmp_path, "train")
