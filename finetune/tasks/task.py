"""The interface of a task: load arrays, score outputs, write files of predictions.

Neither TensorFlow nor gin is imported here. `finetune.tasks.registry.open_task` makes a task.

Legend for shapes: N sequences of a split (for SQuAD: windows), S tokens, C labels.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np

from data import files
from data.errors import UserError
from data.hashing import document_hash
from finetune.config import TaskConfig, for_every_kind
from finetune.tasks.tables import Row, Skip, Table, json_text

# Features of every split: the encoder's inputs, int32 [N, S].
INPUTS = ("input_word_ids", "input_mask", "input_type_ids")
# Further features of a split with training targets, by kind of task.
TARGETS = for_every_kind(
    "finetune.tasks.task.TARGETS",
    {
        "classification": ("label_ids",),  # int32 [N]
        "regression": ("label_values",),  # float32 [N]
        "tokens": ("label_ids", "label_weights"),  # int32 and float32 [N, S], 1 at first pieces
        "spans": ("start_positions", "end_positions"),  # int32 [N]; both 0, [CLS], if unanswered
    },
)
# Number of outputs by kind of task; None has one for each label.
_NUM_OUTPUTS = for_every_kind(
    "finetune.tasks.task._NUM_OUTPUTS",
    {"classification": None, "regression": 1, "tokens": None, "spans": 2},
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Split:
    """One part of a task's data, ready for the model.

    Attributes:
      name: one of `Task.splits`.
      features: arrays by name, INPUTS and, if the split has training targets, TARGETS[kind].
      examples: what the task needs of the data to score and write predictions; its type depends on
        the task.
      is_labelled: whether the correct answers are known, as `Task.metrics` requires.
      skipped: what was left out.
      notes: other changes to the data and their number, e.g. {"questions cut to 64 tokens": 3}.
    """

    name: str
    features: dict[str, np.ndarray]
    examples: Any
    is_labelled: bool
    skipped: tuple[Skip, ...] = ()
    notes: dict[str, int] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.features["input_word_ids"])


class Task(abc.ABC):
    """A task and its data.

    Attributes:
      kind: "classification", "regression", "tokens" or "spans".
      name: name of the task, for titles.
      splits: names of the possible splits, "train" first, "dev" second.
      labels: names of the C labels; empty for "regression" and "spans". Labels that are not
        configured are those of the training split, and known once it is loaded.
    """

    kind: str
    name: str
    splits: tuple[str, ...]
    labels: tuple[str, ...]

    @property
    @abc.abstractmethod
    def main_metric(self) -> str:
        """Metric by which runs are compared; higher is better."""

    @property
    def num_outputs(self) -> int:
        """Size of the last axis of the model's outputs, see `count_outputs`."""
        return count_outputs(self.kind, self.labels)

    @abc.abstractmethod
    def load(self, task_data_dir: str | Path, split: str) -> Split | None:
        """Read and tokenize one split.

        Args:
          task_data_dir: directory with the files of the task.
          split: one of `splits`.

        Returns:
          The split, or None if its file does not exist.

        Raises:
          UserError: there is no training file; or a file is empty, not UTF-8, lacks a column or has
            an unknown label. The error names file and line.
        """

    @abc.abstractmethod
    def metrics(self, outputs: np.ndarray, split: Split) -> dict[str, float]:
        """Compute the official scores of a labelled split, as fractions (1 is perfect).

        Args:
          outputs: outputs of the model for every sequence of the split, float32: logits [N, C] for
            "classification", values [N, 1] for "regression", logits [N, S, C] for "tokens", start and
            end logits [N, S, 2] for "spans".
          split: a labelled split.
        """

    @abc.abstractmethod
    def write_predictions(
        self,
        outputs: np.ndarray,
        split: Split,
        directory: str | Path,
        *,
        null_threshold: float = 0.0,
    ) -> list[str]:
        """Write predictions in the format of the task's submissions.

        Args:
          outputs: outputs of the model, see `metrics`.
          split: split, labelled or not.
          directory: output directory, for this split only; created if necessary.
          null_threshold: for SQuAD 2.0, "null_threshold" of `metrics` on the dev split: a question
            has no answer if the score of no answer exceeds that of the best answer by more than this.

        Returns:
          Paths of the files written.
        """

    @abc.abstractmethod
    def majority_entropy(self, split: Split) -> float:
        """Return the loss of a model that has learned only how frequent each answer is.

        Entropy in nats of the labels (of labelled tokens); for "regression" the variance, which is
        the smallest squared error of a constant; for "spans" the mean of `position_entropy` over starts
        and ends.

        Args:
          split: a split with training targets.
        """

    @abc.abstractmethod
    def baseline(self, split: Split) -> dict[str, float]:
        """Return `metrics` of always giving one answer: most frequent label, mean, or no answer."""


def count_outputs(kind: str, labels: Sequence[str]) -> int:
    """Return the number of outputs of a model for each sequence or position."""
    fixed = _NUM_OUTPUTS[kind]
    return len(labels) if fixed is None else fixed


def entropy(label_ids: np.ndarray) -> float:
    """Return the entropy in nats of the label frequencies."""
    frequencies = np.bincount(label_ids) / len(label_ids)
    frequencies = frequencies[frequencies > 0]
    return float(-np.sum(frequencies * np.log(frequencies)))


def position_entropy(positions: np.ndarray, num_positions: int) -> float:
    """Return the loss in nats of predicting each position by its frequency among the others.

    Counts are smoothed by 1 (Laplace's rule): with few examples and many positions, the plain entropy
    would be far below the loss that can be reached on further examples. The result is at most the
    loss of a uniform distribution.

    Args:
      positions: integers [N] below `num_positions`.
      num_positions: positions in a sequence.
    """
    counts = np.bincount(positions, minlength=num_positions)[positions]
    loss = -np.mean(np.log(counts / (len(positions) - 1 + num_positions)))
    return float(min(loss, np.log(num_positions)))


def custom_files(config: TaskConfig) -> dict[str, tuple[str, ...]]:
    """Return the configured files by split; without those that are not set."""
    dev_file = config.dev_file or (config.train_file if config.dev_fraction else "")
    named = {"train": config.train_file, "dev": dev_file, "test": config.test_file}
    return {split: (name,) for split, name in named.items() if name}


def hold_out(table: Table, split: str, config: TaskConfig, *, columns: Sequence[str]) -> Table:
    """Return the rows of a split that `TaskConfig.dev_fraction` cuts off the training file.

    Args:
      table: rows of the file of the split.
      split: name of the split.
      config: settings of the task.
      columns: columns of text; rows with equal text are in the same split.

    Raises:
      UserError: no row is left.
    """
    if not config.dev_fraction or split not in ("train", "dev"):
        return table

    def is_held_out(row: Row) -> bool:
        text = json_text([row.cells[name] for name in columns])
        return document_hash(text) < config.dev_fraction * 2**64

    rows = [row for row in table.rows if is_held_out(row) == (split == "dev")]
    if not rows:
        raise UserError(
            f"TaskConfig.dev_fraction={config.dev_fraction:g} leaves no row of {table.path} for {split!r}"
        )
    return dataclasses.replace(table, rows=rows)


@overload
def find_file(
    task_data_dir: str | Path,
    names: Sequence[str],
    *,
    folders: Sequence[str] = ...,
    must_exist: Literal[True],
) -> str: ...


@overload
def find_file(
    task_data_dir: str | Path,
    names: Sequence[str],
    *,
    folders: Sequence[str] = ...,
    must_exist: bool,
) -> str | None: ...


def find_file(
    task_data_dir: str | Path,
    names: Sequence[str],
    *,
    folders: Sequence[str] = (".",),
    must_exist: bool,
) -> str | None:
    """Return the path of the first file that exists, or None.

    Args:
      task_data_dir: directory of the task, or the parent directory of several tasks.
      names: possible names of the file, the preferred one first.
      folders: subdirectories to search.
      must_exist: whether a missing file is an error.

    Raises:
      UserError: the directory does not exist, or the file must and does not.
    """
    if not files.exists(task_data_dir):
        raise UserError(f"--task_data {task_data_dir} does not exist")
    for name in names:
        for folder in folders:
            path = files.join(task_data_dir, *(part for part in (folder, name) if part != "."))
            if files.exists(path):
                return path
    if must_exist:
        raise UserError(
            f"--task_data {task_data_dir} has no {' or '.join(names)}; there are"
            f" {', '.join(files.list_dir(task_data_dir)[:20]) or 'no files'}"
        )
    return None
