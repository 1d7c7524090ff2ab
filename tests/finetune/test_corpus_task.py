"""The task of telling sentences of Wikipedia from sentences of books."""

import itertools

import pytest

from data.errors import UserError
from finetune.config import TaskConfig
from finetune.corpus_task import Sentence, bag_of_words_accuracy, divide, main, split_of
from finetune.tasks.registry import open_task


def sentences(label: str, documents, *, number: int = 10) -> list[Sentence]:
    return [
        Sentence(f"sentence {i} of {document}", label, document)
        for document in documents
        for i in range(number)
    ]


@pytest.fixture
def both() -> list[Sentence]:
    """Sentences of both labels."""
    wiki = sentences("wiki", [f"wiki/{n}" for n in range(30)])
    return wiki + sentences("books", [f"books/{n}" for n in range(30)], number=20)


def test_split_depends_on_the_document_id_only():
    assert [split_of(f"wiki/{n}") for n in range(8)] == [
        *("dev", "train", "train", "train"),
        *("train", "test", "test", "test"),
    ]


def test_splits_share_no_document_and_have_balanced_labels(both):
    splits = divide(both)
    documents = {name: {s.document for s in split} for name, split in splits.items()}
    for one, other in itertools.combinations(documents.values(), 2):
        assert not one & other
    for split in splits.values():
        labels = [sentence.label for sentence in split]
        assert labels.count("wiki") == labels.count("books") >= 20
    assert divide(both[::-1]) == splits  # the order of the input does not matter


def test_smaller_task_is_a_subset_of_a_larger_one(both):
    large, small = divide(both), divide(both, max_train=40, max_eval=10)
    assert {name: len(split) for name, split in small.items()} == {
        "train": 40,
        "dev": 10,
        "test": 10,
    }
    for name, split in small.items():
        assert set(split) <= set(large[name])


def test_sentence_of_several_documents_is_dropped(both):
    shared = [Sentence("exeunt all but the king and queen", "books", f"books/{n}") for n in (1, 2)]
    assert divide(both + shared) == divide(both)


def test_label_without_documents_is_an_error(both):
    with pytest.raises(UserError, match="no document of --books is in train"):
        divide([sentence for sentence in both if sentence.label == "wiki"])


def test_bag_of_words_accuracy():
    separable = {
        name: [
            Sentence(f"{word} {name} {n}", label, "")
            for n in range(20)
            for label, word in (("wiki", "city"), ("books", "thou"))
        ]
        for name in ("train", "test")
    }
    assert bag_of_words_accuracy(separable) == 1.0
    swapped = separable | {
        "test": [
            Sentence(s.text, "wiki" if s.label == "books" else "books", "")
            for s in separable["test"]
        ]
    }
    assert bag_of_words_accuracy(swapped) == 0.0


def test_command_writes_a_task_that_loads(golden, vocab, tmp_path, capsys):
    arguments = ["--wiki", f"{golden}/*.bz2", "--books", f"{golden}/books/*.txt"]
    main([*arguments, "--output_dir", str(tmp_path)])
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f"corpus task: 254 sentences of 6 documents in {tmp_path}/train.tsv"
    assert printed[-1].startswith(
        "corpus task: always giving one label scores 50.0% on test, a bag"
    )
    config = TaskConfig(
        kind="classification",
        text_column="text",
        label_column="label",
        labels=("wiki", "books"),
        train_file="train.tsv",
        dev_file="dev.tsv",
        test_file="test.tsv",
    )
    task = open_task(config, vocab, lower_case=True)
    splits = {name: task.load(tmp_path, name) for name in task.splits}
    assert {name: len(split) for name, split in splits.items()} == {
        "train": 254,
        "dev": 32,
        "test": 38,
    }
    for split in splits.values():
        assert split.skipped == ()
        assert task.baseline(split)["accuracy"] == 0.5


def test_too_few_sentences_are_an_error(tmp_path):
    arguments = ["--wiki", "x", "--books", "y", "--output_dir", str(tmp_path)]
    with pytest.raises(UserError, match="--eval_sentences 1: must be 0, or 2 or more"):
        main([*arguments, "--eval_sentences", "1"])
