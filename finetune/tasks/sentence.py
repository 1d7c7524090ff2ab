"""Tasks with one label or number for each text or pair of texts: GLUE's, and custom files."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data import files
from data.errors import UserError
from data.text.wordpiece import WordPieceTokenizer
from data.vocab import Vocab
from finetune.config import TaskConfig
from finetune.tasks import glue, tables
from finetune.tasks.metrics import METRICS
from finetune.tasks.sequences import Segment, assemble, truncate_pairs
from finetune.tasks.tables import Skip
from finetune.tasks.task import Split, Task, custom_files, entropy, find_file, hold_out

_WHOLE_NUMBER = re.compile(r"^(-?(?:0|[1-9][0-9]*))\.0+$")
_CUSTOM_METRICS = {
    "classification": ("accuracy", "f1_macro"),
    "regression": ("pearson", "spearman", "mean_squared_error"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Format:
    """Format of a task's files; see `glue.GlueTask` for the fields."""

    text: str
    pair: str
    label: str
    files: Mapping[str, tuple[str, ...]]
    metrics: tuple[str, ...]
    folder: str = ""
    headers: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    index: str = ""
    submissions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    bounds: tuple[float, float] | None = None

    @property
    def texts(self) -> list[str]:
        """Columns of text."""
        return [name for name in (self.text, self.pair) if name]


class SentenceTask(Task):
    """Classification or regression of texts and pairs of texts."""

    def __init__(self, config: TaskConfig, vocab: Vocab, *, lower_case: bool):
        self._config, self._vocab = config, vocab
        self._tokenizer = WordPieceTokenizer(vocab, lower_case=lower_case)
        self.name = config.task or f"own {config.kind}"
        if known := glue.GLUE.get(config.task):
            fields = {field.name for field in dataclasses.fields(_Format)}
            facts = {name: value for name, value in vars(known).items() if name in fields}
            self._format = _Format(**facts)
            self.kind, self.labels = known.kind, known.labels
            self._main_metric = known.main_metric
        else:
            self._format = _Format(
                text=config.text_column,
                pair=config.pair_column,
                label=config.label_column,
                files=custom_files(config),
                metrics=_CUSTOM_METRICS[config.kind],
            )
            self.kind, self.labels = config.kind, config.labels
            self._main_metric = self._format.metrics[0]
        self.splits = tuple(self._format.files)

    @property
    def main_metric(self) -> str:
        """See `Task.main_metric`."""
        return self._main_metric

    def load(self, task_data_dir: str | Path, split: str) -> Split | None:
        """See `Task.load`."""
        table = self._read(task_data_dir, split)
        if table is None:
            return None
        if self.kind == "classification" and not self.labels:
            train = table if split == "train" else self._read(task_data_dir, "train")
            assert train is not None, "`find_file` raises a UserError"
            self.labels = self._labels_of(train)
        table = hold_out(table, split, self._config, columns=self._format.texts)
        table, notes = _drop_unusable_rows(table, self._format, split)
        is_labelled = self._format.label in table.columns
        features, num_truncated = self._tokenize(table.rows)
        if num_truncated:
            notes[f"texts cut to {self._config.max_seq_length} tokens"] = num_truncated
        if is_labelled:
            features |= self._targets(table)
        return Split(
            name=split,
            features=features,
            examples=_row_ids(table, self._format.index, are_unique=not _needs_labels(split)),
            is_labelled=is_labelled,
            skipped=tuple(table.skipped),
            notes=notes,
        )

    def metrics(self, outputs: np.ndarray, split: Split) -> dict[str, float]:
        """See `Task.metrics`."""
        return self._scores(self._predictions(outputs), split)

    def write_predictions(
        self,
        outputs: np.ndarray,
        split: Split,
        directory: str | Path,
        *,
        null_threshold: float = 0.0,
    ) -> list[str]:
        """Write "index" and "prediction" of every row, the format of gluebenchmark.com."""
        predictions = self._predictions(outputs)
        if self.kind == "classification":
            texts = [self.labels[label_id] for label_id in predictions]
        else:
            if self._format.bounds:
                predictions = np.clip(predictions, *self._format.bounds)
            texts = [f"{value:.6g}" for value in predictions]
        lines = ["index\tprediction"]
        lines += [f"{row_id}\t{text}" for row_id, text in zip(split.examples, texts, strict=True)]
        name = self._format.submissions.get(split.name, f"{split.name}.tsv")
        path = files.join(directory, name)
        files.write_atomically(path, "".join(f"{line}\n" for line in lines).encode())
        return [path]

    def majority_entropy(self, split: Split) -> float:
        """See `Task.majority_entropy`."""
        if self.kind == "regression":
            return float(np.var(split.features["label_values"], dtype=np.float64))
        return entropy(split.features["label_ids"])

    def baseline(self, split: Split) -> dict[str, float]:
        """See `Task.baseline`."""
        if self.kind == "regression":
            values = split.features["label_values"]
            return self._scores(np.full_like(values, np.mean(values, dtype=np.float64)), split)
        labels = split.features["label_ids"]
        return self._scores(np.full_like(labels, np.bincount(labels).argmax()), split)

    def _predictions(self, outputs: np.ndarray) -> np.ndarray:
        """Return label ids or values, [N]."""
        return outputs[:, 0] if self.kind == "regression" else outputs.argmax(axis=-1)

    def _scores(self, predictions: np.ndarray, split: Split) -> dict[str, float]:
        name = "label_values" if self.kind == "regression" else "label_ids"
        return {
            metric: METRICS[metric](split.features[name], predictions)
            for metric in self._format.metrics
        }

    def _read(self, task_data_dir: str | Path, split: str) -> tables.Table | None:
        names = self._format.files[split]
        folders = (".", self._format.folder or ".")
        must_exist = split == "train" or not self._config.task
        path = find_file(task_data_dir, names, folders=folders, must_exist=must_exist)
        if path is None:
            return None
        label = [self._format.label]
        table = tables.read_table(
            path,
            columns=self._format.texts + (label if _needs_labels(split) else []),
            optional=[*label, *filter(None, [self._format.index]), *glue.MRPC_IDS],
            header=self._format.headers.get(split),
            keep_all=not _needs_labels(split),
        )
        return _divide_mrpc(table, split) if Path(path).name == glue.MRPC_TRAIN else table

    def _labels_of(self, train: tables.Table) -> tuple[str, ...]:
        names = {_label_text(row.cells[self._format.label]) for row in train.rows} - {""}
        # Of different notations of a number, the first: "1" and not "1.0".
        first = {
            _label_key(name): name for name in sorted(names, key=_label_sort_key, reverse=True)
        }
        labels = sorted(first.values(), key=_label_sort_key)
        if len(labels) < 2:
            raise UserError(
                f"{train.path}: column {self._format.label!r} has only {labels}; a classification"
                " needs two labels"
            )
        return tuple(labels)

    def _tokenize(self, rows: Sequence[tables.Row]) -> tuple[dict[str, np.ndarray], int]:
        """Return the inputs of the encoder, and the number of truncated rows."""
        segments = [
            Segment.from_texts(*self._tokenizer.encode([row.cells[name] for row in rows]))
            for name in self._format.texts
        ]
        max_tokens = self._config.max_seq_length - 1 - len(segments)
        full_lengths_N = sum(segment.lengths for segment in segments)
        lengths: Sequence[np.ndarray]
        if len(segments) == 1:
            lengths = [np.minimum(full_lengths_N, max_tokens)]
        else:
            first_N, second_N = (segment.lengths for segment in segments)
            lengths = truncate_pairs(first_N, second_N, max_tokens=max_tokens)
        features = assemble(
            *(s.truncate(length_N) for s, length_N in zip(segments, lengths, strict=True)),
            vocab=self._vocab,
            max_seq_length=self._config.max_seq_length,
        )
        return features, int(np.count_nonzero(full_lengths_N > max_tokens))

    def _targets(self, table: tables.Table) -> dict[str, np.ndarray]:
        cells = [_label_text(row.cells[self._format.label]) for row in table.rows]
        if self.kind == "classification":
            return {"label_ids": self._label_ids(table, cells)}
        return {"label_values": self._label_values(table, cells)}

    def _label_ids(self, table: tables.Table, cells: Sequence[str]) -> np.ndarray:
        ids = {_label_key(label): i for i, label in enumerate(self.labels)}
        for row, label in zip(table.rows, cells, strict=True):
            if _label_key(label) not in ids:
                raise UserError(
                    f"{table.where(row)}: label {label!r} is unknown; there are"
                    f" {', '.join(self.labels)}"
                )
        return np.array([ids[_label_key(label)] for label in cells], np.int32)

    def _label_values(self, table: tables.Table, cells: Sequence[str]) -> np.ndarray:
        values = np.zeros(len(cells), np.float32)
        for number, (row, cell) in enumerate(zip(table.rows, cells, strict=True)):
            try:
                values[number] = float(cell)
            except ValueError:
                values[number] = np.nan
            if not np.isfinite(values[number]):
                raise UserError(
                    f"{table.where(row)}: {cell!r} in column {self._format.label!r} is not a finite"
                    " number"
                )
        return values


def _row_ids(table: tables.Table, column: str, *, are_unique: bool) -> list[str]:
    """Return the id of each row in a file of predictions: its index column, else its number from 0.

    Raises:
      UserError: two rows have the same id, and `are_unique`.
    """
    if column not in table.columns:
        return [str(number) for number in range(len(table.rows))]
    lines: dict[str, int] = {}
    for row in table.rows:
        first = lines.setdefault(row.cells[column], row.line)
        if are_unique and first != row.line:
            raise UserError(
                f"{table.where(row)}: column {column!r} is {row.cells[column]!r} as in line {first};"
                " every row needs its own"
            )
    return [row.cells[column] for row in table.rows]


def _needs_labels(split: str) -> bool:
    """Return whether rows of a split need a label; in other splits every row needs a prediction."""
    return split.startswith(("train", "dev"))


def _label_text(cell: Any) -> str:
    """Return a label as text; in JSON it may be a number, a boolean or null."""
    if cell is None:
        return ""
    return cell.strip() if isinstance(cell, str) else tables.json_text(cell)


def _label_key(label: str) -> str:
    """Return what identifies a label: "1.0" is "1", which spreadsheets write where a cell is missing."""
    return _WHOLE_NUMBER.sub(r"\1", label)


def _label_sort_key(label: str) -> tuple[int, float, str]:
    """Sort integers by value, before other labels."""
    return (0, float(label), label) if label.lstrip("+-").isdecimal() else (1, 0.0, label)


def _drop_unusable_rows(
    table: tables.Table, form: _Format, split: str
) -> tuple[tables.Table, dict[str, int]]:
    """Skip rows without label in "train" and "dev", and without text in "train".

    Returns:
      (table, notes). The table has no label column if some rows of a test split have no label.

    Raises:
      UserError: a text is not a string, or no row is left.
    """
    rows, skipped = [], list(table.skipped)
    notes: dict[str, int] = {}
    num_unlabelled = 0
    for row in table.rows:
        for name in form.texts:
            if not isinstance(row.cells[name], str):
                raise UserError(f"{table.where(row)}: {name!r} is {row.cells[name]!r}, not text")
        is_unlabelled = form.label in table.columns and not _label_text(row.cells[form.label])
        is_empty = not any(row.cells[name].strip() for name in form.texts)
        if is_unlabelled and _needs_labels(split):
            skipped.append(Skip(table.where(row), f"no label in column {form.label!r}"))
        elif split == "train" and is_empty:
            skipped.append(Skip(table.where(row), "no text"))
        else:
            rows.append(row)
            num_unlabelled += is_unlabelled
    if not rows:
        raise UserError(
            f"{table.path}: none of {len(skipped)} rows can be used: {skipped[0].reason}"
        )
    columns = table.columns
    if num_unlabelled:  # only a split with all labels can be scored
        columns = tuple(name for name in columns if name != form.label)
        notes["rows without label"] = num_unlabelled
    return tables.Table(table.path, columns, rows, skipped), notes


def _divide_mrpc(table: tables.Table, split: str) -> tables.Table:
    """Return the rows of the MSR Paraphrase Corpus's training file that are GLUE's split.

    Raises:
      UserError: the file with the pairs that GLUE holds out is missing.
    """
    ids_path = Path(os.path.dirname(table.path), glue.MRPC_DEV_IDS)
    if not files.exists(ids_path):
        raise UserError(
            f"{table.path} is the undivided corpus, and {ids_path}, which lists the pairs that GLUE"
            " holds out of it, does not exist; add it, or train.tsv and dev.tsv"
        )
    held_out = {tuple(line.split()) for line in tables.read_text(ids_path).splitlines()}
    rows = [
        row
        for row in table.rows
        if (tuple(row.cells[name] for name in glue.MRPC_IDS) in held_out) == (split == "dev")
    ]
    if not rows:
        raise UserError(f"{ids_path}: its pairs of ids leave no row of {table.path} for {split!r}")
    return dataclasses.replace(table, rows=rows)
