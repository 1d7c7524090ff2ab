"""Labelling of words: parts of speech, names. Files of your own, as JSON lines or CoNLL's columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data import files, schema
from data.errors import UserError
from data.text.wordpiece import WordPieceTokenizer
from data.vocab import Vocab
from finetune.config import TaskConfig
from finetune.tasks import metrics, tables
from finetune.tasks.sequences import Segment, assemble
from finetune.tasks.tables import Skip
from finetune.tasks.task import Split, Task, entropy, find_file, own_files

# What `tables.read_conll` calls its columns.
_CONLL_COLUMNS = ("words", "labels")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Words:
    """The words of a split, W in all, and where the model says what they are.

    Attributes:
      sentences: words of each sentence.
      labels: likewise; None if they are not known.
      sequences: [W], which sequence of the split a word is in.
      places: [W], where in it its first piece stands, which carries the label.
    """

    sentences: list[list[str]]
    labels: list[list[str]] | None
    sequences: np.ndarray
    places: np.ndarray


class TokenTask(Task):
    """One label for every word. A sentence that is too long becomes several sequences."""

    kind = "tokens"

    def __init__(self, config: TaskConfig, vocab: Vocab, *, lower_case: bool):
        self._config, self._vocab = config, vocab
        self._tokenizer = WordPieceTokenizer(vocab, lower_case=lower_case)
        self._files = own_files(config)
        self.name = "own tokens"
        self.labels = config.labels
        self.splits = tuple(self._files)

    @property
    def main_metric(self) -> str:
        """F1 of entities if that is what the labels mark, else accuracy."""
        return "f1" if metrics.are_entities(self.labels) else "accuracy"

    def load(self, task_data_dir: str | Path, split: str) -> Split:
        """See `Task.load`."""
        table = self._read(task_data_dir, split)
        if not self.labels:
            train = table if split == "train" else self._read(task_data_dir, "train")
            names = {label for row in train.rows for label in row.cells["labels"]}
            if len(names) < 2:
                raise UserError(f"{train.path} has only the labels {sorted(names)}; two are needed")
            self.labels = tuple(sorted(names))
        is_labelled = "labels" in table.columns
        features, words, notes = self._tokenize(table, is_labelled=is_labelled)
        return Split(
            name=split,
            features=features,
            examples=words,
            is_labelled=is_labelled,
            skipped=tuple(table.skipped),
            notes=notes,
        )

    def metrics(self, outputs: np.ndarray, split: Split) -> dict[str, float]:
        """See `Task.metrics`; words are counted, not pieces."""
        return self._scores(self._answers(outputs, split), split)

    def write_predictions(
        self,
        outputs: np.ndarray,
        split: Split,
        directory: str | Path,
        *,
        null_threshold: float = 0.0,
    ) -> list[str]:
        """Writes the format that was read; in columns the prediction is the last, after the truth."""
        predictions = self._by_sentence(self._answers(outputs, split), split)
        words = split.examples
        suffix = Path(self._files[split.name][0]).suffix
        path = files.join(directory, f"{split.name}{suffix}")
        if suffix == ".jsonl":
            names = self._config.text_column, self._config.label_column
            lines = [
                tables.json_text(dict(zip(names, pair, strict=True)))
                for pair in zip(words.sentences, predictions, strict=True)
            ]
        else:
            columns = [words.sentences, *([words.labels] if words.labels else []), predictions]
            lines = []
            for sentence in zip(*columns, strict=True):
                lines += [" ".join(fields) for fields in zip(*sentence, strict=True)] + [""]
        files.write_atomically(path, "".join(f"{line}\n" for line in lines).encode())
        return [path]

    def majority_entropy(self, split: Split) -> float:
        """See `Task.majority_entropy`."""
        return entropy(self._truth(split))

    def baseline(self, split: Split) -> dict[str, float]:
        """See `Task.baseline`."""
        truth_W = self._truth(split)
        return self._scores(np.full_like(truth_W, np.bincount(truth_W).argmax()), split)

    def _truth(self, split: Split) -> np.ndarray:
        words = split.examples
        return split.features["label_ids"][words.sequences, words.places]

    def _answers(self, outputs: np.ndarray, split: Split) -> np.ndarray:
        words = split.examples
        return outputs[words.sequences, words.places].argmax(axis=-1)

    def _by_sentence(self, ids_W: np.ndarray, split: Split) -> list[list[str]]:
        names = iter([self.labels[i] for i in ids_W])
        return [[next(names) for _ in sentence] for sentence in split.examples.sentences]

    def _scores(self, answers_W: np.ndarray, split: Split) -> dict[str, float]:
        scores = {"accuracy": metrics.accuracy(self._truth(split), answers_W)}
        if metrics.are_entities(self.labels):
            scores |= metrics.entity_scores(
                split.examples.labels, self._by_sentence(answers_W, split)
            )
        return scores

    def _read(self, task_data_dir: str | Path, split: str) -> tables.Table:
        """Rows with "words" and, if there are any, "labels"."""
        path = find_file(task_data_dir, self._files[split], must_exist=True)
        if path.endswith(".conll"):
            table, names = tables.read_conll(path), _CONLL_COLUMNS
        else:
            names = self._config.text_column, self._config.label_column
            table = tables.read_table(path, columns=names[:1], optional=names[1:])
        if split != "test" and names[1] not in table.columns:
            raise UserError(f"{path}: no word has a label")
        renamed = dict(zip(names, _CONLL_COLUMNS, strict=True))
        return _checked(
            tables.Table(
                path,
                tuple(renamed[name] for name in table.columns),
                [
                    tables.Row(row.line, {renamed[name]: row.cells[name] for name in table.columns})
                    for row in table.rows
                ],
                table.skipped,
            ),
            drop_empty=split == "train",
        )

    def _tokenize(
        self, table: tables.Table, *, is_labelled: bool
    ) -> tuple[dict[str, np.ndarray], Words, dict[str, int]]:
        sentences = [row.cells["words"] for row in table.rows]
        room = self._config.max_seq_length - 2
        ids, pieces_W, notes = self._pieces_of([w for words in sentences for w in words], room)
        starts_W = np.cumsum(pieces_W) - pieces_W
        sentence_W = np.repeat(np.arange(len(sentences)), list(map(len, sentences)))
        sequence_W = _fill_sequences(pieces_W, sentence_W, room)
        num_sequences = int(sequence_W[-1]) + 1
        lengths = np.bincount(sequence_W, weights=pieces_W).astype(np.int64)
        starts = np.cumsum(lengths) - lengths
        place_W = starts_W - starts[sequence_W] + 1  # after [CLS]
        features = assemble(
            Segment(ids=ids, starts=starts, lengths=lengths),
            vocab=self._vocab,
            max_seq_length=self._config.max_seq_length,
        )
        if is_labelled:
            shape = num_sequences, self._config.max_seq_length
            features["label_ids"] = np.zeros(shape, np.int32)
            features["label_ids"][sequence_W, place_W] = self._label_ids(table)
            features["label_weights"] = np.zeros(shape, np.float32)
            features["label_weights"][sequence_W, place_W] = 1.0
        sentence_of_sequence = sentence_W[np.unique(sequence_W, return_index=True)[1]]
        if num_divided := np.count_nonzero(np.bincount(sentence_of_sequence) > 1):
            notes["sentences divided into several sequences"] = int(num_divided)
        labels = [row.cells["labels"] for row in table.rows] if is_labelled else None
        words = Words(sentences=sentences, labels=labels, sequences=sequence_W, places=place_W)
        return features, words, notes

    def _pieces_of(
        self, words: Sequence[str], room: int
    ) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
        """Ids of the pieces of all words, how many each word has (1 to `room`), and notes."""
        ids, pieces_W = self._tokenizer.encode(words)
        pieces_W = pieces_W.astype(np.int64)
        within = np.arange(len(ids)) - np.repeat(np.cumsum(pieces_W) - pieces_W, pieces_W)
        notes = {}
        if np.any(pieces_W > room):
            notes[f"words cut to {room} pieces"] = int(np.count_nonzero(pieces_W > room))
            ids, pieces_W = ids[within < room], np.minimum(pieces_W, room)
        if np.any(pieces_W == 0):
            # Invisible characters have no piece, and yet the word wants a label.
            empty = np.flatnonzero(pieces_W == 0)
            ids = np.insert(ids, np.cumsum(pieces_W)[empty], self._vocab.ids[schema.UNK])
            pieces_W = np.maximum(pieces_W, 1)
        return ids, pieces_W, notes

    def _label_ids(self, table: tables.Table) -> np.ndarray:
        ids = {label: i for i, label in enumerate(self.labels)}
        for row in table.rows:
            for word, label in zip(row.cells["words"], row.cells["labels"], strict=True):
                if label not in ids:
                    raise UserError(
                        f"{table.where(row)}: label {label!r} of {word!r} is unknown; there are"
                        f" {', '.join(self.labels)}"
                    )
        return np.array([ids[label] for row in table.rows for label in row.cells["labels"]])


def _fill_sequences(pieces_W: np.ndarray, sentence_W: np.ndarray, room: int) -> np.ndarray:
    """Which sequence each word goes to: a new one for every sentence, and where one is full.

    Args:
      pieces_W: of each word, at most `room`.
      sentence_W: which sentence each word is in, ascending.
      room: pieces in a sequence.
    """
    sequence_W = np.zeros(len(pieces_W), np.int64)
    sequence, filled, sentence = -1, 0, -1
    for word, (pieces, of) in enumerate(zip(pieces_W.tolist(), sentence_W.tolist(), strict=True)):
        if of != sentence or filled + pieces > room:
            sequence, filled, sentence = sequence + 1, 0, of
        sequence_W[word] = sequence
        filled += pieces
    return sequence_W


def _checked(table: tables.Table, *, drop_empty: bool) -> tables.Table:
    """The table with lists of strings of equal lengths, and words in it.

    Raises:
      UserError: it is not so.
    """
    rows, skipped = [], list(table.skipped)
    for row in table.rows:
        for name in table.columns:
            cell = row.cells[name]
            if not isinstance(cell, list) or not all(isinstance(item, str) for item in cell):
                raise UserError(f"{table.where(row)}: the {name} must be a list of strings")
        words = row.cells["words"]
        labels = row.cells.get("labels", words)
        if len(labels) != len(words):
            raise UserError(f"{table.where(row)}: {len(words)} words and {len(labels)} labels")
        if words or not drop_empty:
            rows.append(row)
        else:
            skipped.append(Skip(table.where(row), "no words"))
    if not any(row.cells["words"] for row in rows):
        raise UserError(f"{table.path} has no words")
    return dataclasses.replace(table, rows=rows, skipped=skipped)
