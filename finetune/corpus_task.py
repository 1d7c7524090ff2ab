"""Make a labelled task from unlabelled text: is a sentence from Wikipedia or from a book?

    python -m finetune.corpus_task --wiki 'samples/wiki/*' --books 'samples/books/*' --output_dir T

Writes T/train.tsv, dev.tsv and test.tsv with the columns "text", "label" ("wiki", "books") and
"document". Each document is in one split only, sentences that occur in several documents are dropped,
and both labels are equally frequent in each split. The same input gives the same files; a smaller task
is a subset of a larger one. Words that reveal the source are not removed, so the test accuracy of a
bag of words is printed for comparison.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from data import files
from data.cli.main import run_main
from data.cli.parser import CommandParser
from data.errors import UserError
from data.hashing import derive_key, document_hash
from data.sources.documents import Document, InputFile, find_inputs
from data.sources.formats import read_part, split_file
from data.text.sentences import split_sentences
from data.text.words import words

LABELS = ("wiki", "books")
COLUMNS = ("text", "label", "document")
_MAX_DOCUMENT_BYTES = 32 * 2**20
_HELD_OUT_FRACTION = 0.2  # fraction of the documents in dev, and in test


@dataclasses.dataclass(frozen=True)
class Sentence:
    """A sentence with its label, which is the kind of its source, and the id of its document."""

    text: str
    label: str
    document: str


def read_sentences(inputs: Iterable[InputFile], *, min_words: int) -> Iterator[Sentence]:
    """Yield all sentences of at least `min_words` words; shorter ones say little of their source."""
    for file in inputs:
        for part in split_file(file):
            for item in read_part(part, max_document_bytes=_MAX_DOCUMENT_BYTES):
                if isinstance(item, Document):
                    for paragraph in item.paragraphs:
                        for text in split_sentences(paragraph):
                            if len(words(text)) >= min_words:
                                yield Sentence(text, file.kind, item.id)


def split_of(document: str) -> str:
    """Return the split of a document, which depends on its id only."""
    # Other bits than those by which data.build holds documents out, so both are independent.
    fraction = int(derive_key(document_hash(document), 0x7A5C)) / 2**64
    if fraction < _HELD_OUT_FRACTION:
        return "test"
    return "dev" if fraction < 2 * _HELD_OUT_FRACTION else "train"


def divide(
    sentences: Sequence[Sentence], *, max_train: int = 0, max_eval: int = 0
) -> dict[str, list[Sentence]]:
    """Divide sentences into three splits.

    Args:
      sentences: sentences of both labels.
      max_train: maximum sentences in "train"; 0 takes as many as there are of the rarer label, of
        each label.
      max_eval: maximum sentences in "dev" and in "test"; likewise.

    Returns:
      Sentences by split, ordered by hash.

    Raises:
      UserError: a label has no document in one of the splits.
    """
    documents = collections.defaultdict(set)
    for sentence in sentences:
        documents[sentence.text].add(sentence.document)
    unique = {s.text: s for s in sentences if len(documents[s.text]) == 1}.values()
    by_hash = sorted(unique, key=lambda s: document_hash(f"{s.document}\n{s.text}"))
    splits: dict[str, list[Sentence]] = {}
    for split in ("train", "dev", "test"):
        inside = [sentence for sentence in by_hash if split_of(sentence.document) == split]
        counts = collections.Counter(sentence.label for sentence in inside)
        for label in LABELS:
            if not counts[label]:
                raise UserError(f"no document of --{label} is in {split}: add documents")
        maximum = max_train if split == "train" else max_eval
        per_label = min([*counts.values(), *([maximum // 2] if maximum else [])])
        splits[split] = []
        taken = dict.fromkeys(LABELS, 0)
        for sentence in inside:
            if taken[sentence.label] < per_label:
                taken[sentence.label] += 1
                splits[split].append(sentence)
    return splits


def bag_of_words_accuracy(splits: dict[str, list[Sentence]]) -> float:
    """Return the test accuracy of a logistic regression on word counts, which uses no encoder."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(CountVectorizer(), LogisticRegression(max_iter=1000))
    texts, labels = (
        {name: [getattr(s, field) for s in split] for name, split in splits.items()}
        for field in ("text", "label")
    )
    model.fit(texts["train"], labels["train"])
    return float(np.mean(model.predict(texts["test"]) == np.array(labels["test"])))


def main(argv: Sequence[str]) -> None:
    """Parse the command line, write the three files and print baselines."""
    parser = CommandParser(
        prog="python -m finetune.corpus_task",
        description=__doc__,
    )
    for label in LABELS:
        parser.add_argument(
            f"--{label}",
            action="extend",
            nargs="+",
            required=True,
            metavar="GLOB",
            help=f"files with the label {label!r}",
        )
    parser.add_argument("--output_dir", required=True, help="folder for the files of the task")
    parser.add_argument("--min_words", type=int, default=8, help="minimum words of a sentence")
    parser.add_argument(
        "--train_sentences", type=int, default=1000, help="maximum in train; 0 for all"
    )
    parser.add_argument(
        "--eval_sentences", type=int, default=1000, help="maximum in dev and in test; 0 for all"
    )
    args = parser.parse_args(argv)
    for name in ("train_sentences", "eval_sentences"):
        if getattr(args, name) < 0 or getattr(args, name) == 1:
            raise UserError(f"--{name} {getattr(args, name)}: must be 0, or 2 or more")
    files.require_local("--output_dir", args.output_dir)
    inputs = [
        file
        for label in LABELS
        for glob in getattr(args, label)
        for file in find_inputs(label, glob)
    ]
    splits = divide(
        list(read_sentences(inputs, min_words=args.min_words)),
        max_train=args.train_sentences,
        max_eval=args.eval_sentences,
    )
    for name, sentences in splits.items():
        rows = [COLUMNS, *((s.text, s.label, s.document) for s in sentences)]
        content = "".join("\t".join(row) + "\n" for row in rows)
        path = Path(args.output_dir, f"{name}.tsv")
        files.write_atomically(path, content.encode())
        num_documents = len({sentence.document for sentence in sentences})
        print(f"corpus task: {len(sentences):,} sentences of {num_documents} documents in {path}")
    print(
        "corpus task: always giving one label scores 50.0% on test, a bag of words"
        f" {bag_of_words_accuracy(splits):.1%}"
    )


if __name__ == "__main__":
    run_main(main)
