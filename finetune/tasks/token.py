"""Token classification of custom files, JSON lines or CoNLL: parts of speech, named entities."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data import files, schema
from data.errors import UserError
from data.text.wordpiece import WordPieceTokenizer
from data.vocab import Vocab
from finetune.config import TaskConfig, table_suffix
from finetune.tasks import metrics, tables
from finetune.tasks.sequences import Segment, assemble
from finetune.tasks.tables import Skip
from finetune.tasks.task import Split, Task, custom_files, entropy, find_file, hold_out

# Columns of tables from `tables.read_conll`.
_CONLL_COLUMNS = ("words", "labels")


@dataclasses.dataclass(frozen=True, kw_only=True)
class WordExamples:
    """The W words of a split, and the positions of their labels.

    Attributes:
      sentences: words of each sentence.
      labels: labels of each sentence's words; None if they are not known.
      sequences: index of each word's sequence in the split, [W].
      positions: position in the sequence of each word's first piece, which has its label, [W].
    """

    sentences: list[list[str]]
    labels: list[list[str]] | None
    sequences: np.ndarray
    positions: np.ndarray


class TokenTask(Task):
    """One label for every word. A sentence that is too long becomes several sequences."""

    kind = "tokens"

    def __init__(self, config: TaskConfig, vocab: Vocab, *, lower_case: bool):
        self._config, self._vocab = config, vocab
        self._tokenizer = WordPieceTokenizer(vocab, lower_case=lower_case)
        self._files = custom_files(config)
        self.name = "own tokens"
        self.labels = config.labels
        self.splits = tuple(self._files)

    @property
    def main_metric(self) -> str:
        """F1 of entities if the labels mark entities, else accuracy."""
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
        table = hold_out(table, split, self._config, columns=["words"])
        is_labelled = "labels" in table.columns
        features, examples, notes = self._tokenize(table, is_labelled=is_labelled)
        return Split(
            name=split,
            features=features,
            examples=examples,
            is_labelled=is_labelled,
            skipped=tuple(table.skipped),
            notes=notes,
        )

    def metrics(self, outputs: np.ndarray, split: Split) -> dict[str, float]:
        """See `Task.metrics`; counts words, not pieces."""
        return self._scores(self._predictions(outputs, split), split)

    def write_predictions(
        self,
        outputs: np.ndarray,
        split: Split,
        directory: str | Path,
        *,
        null_threshold: float = 0.0,
    ) -> list[str]:
        """Write the format of the input; in .conll files the prediction is the last column."""
        predictions = self._by_sentence(self._predictions(outputs, split), split)
        examples: WordExamples = split.examples
        suffix = table_suffix(self._files[split.name][0])
        path = files.join(directory, f"{split.name}{suffix}")
        if suffix == ".jsonl":
            names = self._config.text_column, self._config.label_column
            lines = [
                tables.json_text(dict(zip(names, pair, strict=True)))
                for pair in zip(examples.sentences, predictions, strict=True)
            ]
        else:
            labels = [examples.labels] if examples.labels else []
            columns = [examples.sentences, *labels, predictions]
            lines = []
            for sentence in zip(*columns, strict=True):
                lines += [" ".join(fields) for fields in zip(*sentence, strict=True)] + [""]
        files.write_atomically(path, "".join(f"{line}\n" for line in lines).encode())
        return [path]

    def majority_entropy(self, split: Split) -> float:
        """See `Task.majority_entropy`."""
        return entropy(self._true_ids(split))

    def baseline(self, split: Split) -> dict[str, float]:
        """See `Task.baseline`."""
        true_W = self._true_ids(split)
        return self._scores(np.full_like(true_W, np.bincount(true_W).argmax()), split)

    def _true_ids(self, split: Split) -> np.ndarray:
        """Return the label id of each word, [W]."""
        examples: WordExamples = split.examples
        return split.features["label_ids"][examples.sequences, examples.positions]

    def _predictions(self, outputs: np.ndarray, split: Split) -> np.ndarray:
        """Return the predicted label id of each word, [W]."""
        examples: WordExamples = split.examples
        return outputs[examples.sequences, examples.positions].argmax(axis=-1)

    def _by_sentence(self, ids_W: np.ndarray, split: Split) -> list[list[str]]:
        """Return the labels of each sentence's words."""
        labels = iter([self.labels[i] for i in ids_W])
        return [[next(labels) for _ in sentence] for sentence in split.examples.sentences]

    def _scores(self, predictions_W: np.ndarray, split: Split) -> dict[str, float]:
        scores = {"accuracy": metrics.accuracy(self._true_ids(split), predictions_W)}
        if metrics.are_entities(self.labels):
            scores |= metrics.entity_scores(
                split.examples.labels, self._by_sentence(predictions_W, split)
            )
        return scores

    def _read(self, task_data_dir: str | Path, split: str) -> tables.Table:
        """Read rows with "words" and, if the file has labels, "labels"."""
        path = find_file(task_data_dir, self._files[split], must_exist=True)
        if table_suffix(path) == ".conll":
            table, names = tables.read_conll(path), _CONLL_COLUMNS
        else:
            names = self._config.text_column, self._config.label_column
            table = tables.read_table(path, columns=names[:1], optional=names[1:])
        if split != "test" and names[1] not in table.columns:
            raise UserError(f"{path}: no word has a label")
        renamed = dict(zip(names, _CONLL_COLUMNS, strict=True))
        return _check_words(
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
    ) -> tuple[dict[str, np.ndarray], WordExamples, dict[str, int]]:
        sentences = [row.cells["words"] for row in table.rows]
        max_pieces = self._config.max_seq_length - 2
        ids, pieces_W, notes = self._encode([w for s in sentences for w in s], max_pieces)
        starts_W = np.cumsum(pieces_W) - pieces_W
        sentence_W = np.repeat(np.arange(len(sentences)), list(map(len, sentences)))
        sequence_W = _fill_sequences(pieces_W, sentence_W, max_pieces)
        num_sequences = int(sequence_W[-1]) + 1
        lengths = np.bincount(sequence_W, weights=pieces_W).astype(np.int64)
        starts = np.cumsum(lengths) - lengths
        position_W = starts_W - starts[sequence_W] + 1  # after [CLS]
        features = assemble(
            Segment(ids=ids, starts=starts, lengths=lengths),
            vocab=self._vocab,
            max_seq_length=self._config.max_seq_length,
        )
        if is_labelled:
            shape = num_sequences, self._config.max_seq_length
            features["label_ids"] = np.zeros(shape, np.int32)
            features["label_ids"][sequence_W, position_W] = self._label_ids(table)
            features["label_weights"] = np.zeros(shape, np.float32)
            features["label_weights"][sequence_W, position_W] = 1.0
        sentence_of_sequence = sentence_W[np.unique(sequence_W, return_index=True)[1]]
        if num_divided := np.count_nonzero(np.bincount(sentence_of_sequence) > 1):
            notes["sentences divided into several sequences"] = int(num_divided)
        labels = [row.cells["labels"] for row in table.rows] if is_labelled else None
        examples = WordExamples(
            sentences=sentences, labels=labels, sequences=sequence_W, positions=position_W
        )
        return features, examples, notes

    def _encode(
        self, words: Sequence[str], max_pieces: int
    ) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
        """Return the ids of all words' pieces, the number of each word's pieces, and notes.

        Every word has 1 to `max_pieces` pieces.
        """
        ids, pieces_W = self._tokenizer.encode(words)
        pieces_W = pieces_W.astype(np.int64)
        within = np.arange(len(ids)) - np.repeat(np.cumsum(pieces_W) - pieces_W, pieces_W)
        notes = {}
        if np.any(pieces_W > max_pieces):
            num_truncated = int(np.count_nonzero(pieces_W > max_pieces))
            notes[f"words cut to {max_pieces} pieces"] = num_truncated
            ids, pieces_W = ids[within < max_pieces], np.minimum(pieces_W, max_pieces)
        if np.any(pieces_W == 0):
            # A word of invisible characters has no pieces, but needs a position for its label.
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


def _fill_sequences(pieces_W: np.ndarray, sentence_W: np.ndarray, max_pieces: int) -> np.ndarray:
    """Return the sequence of each word; a sentence starts a new one, as does a full sequence.

    Args:
      pieces_W: number of each word's pieces, at most `max_pieces`.
      sentence_W: index of each word's sentence, ascending.
      max_pieces: pieces in a sequence.
    """
    sequence_W = np.zeros(len(pieces_W), np.int64)
    sequence, length, previous = -1, 0, -1
    words = zip(pieces_W.tolist(), sentence_W.tolist(), strict=True)
    for word, (pieces, sentence) in enumerate(words):
        if sentence != previous or length + pieces > max_pieces:
            sequence, length, previous = sequence + 1, 0, sentence
        sequence_W[word] = sequence
        length += pieces
    return sequence_W


def _check_words(table: tables.Table, *, drop_empty: bool) -> tables.Table:
    """Return the table, with rows without words skipped if `drop_empty`.

    Raises:
      UserError: words or labels are not lists of strings of equal length, or there are no words.
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
