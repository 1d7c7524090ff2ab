"""What a task is to whoever trains on it: arrays in, scores and files of predictions out.

No TensorFlow training here, and no gin: `open_task` makes the task that a `TaskConfig` names.

Legend for shapes: N sequences of a split (for SQuAD: windows), S tokens, C labels.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data import files
from data.errors import UserError
from finetune.config import TaskConfig
from finetune.tasks.tables import Skip

# Of every split: int32 [N, S], as encoders take them.
INPUTS = ("input_word_ids", "input_mask", "input_type_ids")
# What a split has besides, by the kind of its task, if it has labels to learn from.
TARGETS = {
    "classification": ("label_ids",),  # int32 [N]
    "regression": ("label_values",),  # float32 [N]
    "tokens": ("label_ids", "label_weights"),  # int32 [N, S]; float32 [N, S], 1 at first pieces
    "spans": ("start_positions", "end_positions"),  # int32 [N]; both 0, [CLS], without answer
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Split:
    """One part of a task's data, ready for the model.

    Attributes:
      name: one of `Task.splits`.
      features: arrays of INPUTS; those of TARGETS[kind] too if there are any to learn from.
      examples: what scores and predictions need to know of the data; of the task's own kind.
      is_labelled: whether the right answers are known, so that `Task.metrics` can score.
      skipped: what was left out.
      notes: what else happened to the data and how often, as {"questions cut to 64 tokens": 3}.
    """

    name: str
    features: dict[str, np.ndarray]
    examples: Sequence[Any]
    is_labelled: bool
    skipped: tuple[Skip, ...] = ()
    notes: dict[str, int] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.features["input_word_ids"])


class Task(abc.ABC):
    """A task and its data.

    Attributes:
      kind: "classification", "regression", "tokens" or "spans".
      name: of the task, for titles.
      splits: names of the splits there can be, "train" first, "dev" second.
      labels: names of the C labels; empty for "regression" and "spans". Labels that are not
        configured are those of the training split, and known once it is loaded.
      num_outputs: C; 1 for "regression", 2 (start and end logits) for "spans".
      main_metric: the metric by which runs are compared; more is better.
    """

    kind: str
    name: str
    splits: tuple[str, ...]
    labels: tuple[str, ...]
    main_metric: str

    @property
    def num_outputs(self) -> int:
        """See there; outputs are logits [N, C], values [N, 1], logits [N, S, C] or [N, S, 2]."""
        return {"regression": 1, "spans": 2}.get(self.kind) or len(self.labels)

    @abc.abstractmethod
    def load(self, task_data_dir: str | Path, split: str) -> Split | None:
        """Reads and tokenizes one split.

        Args:
          task_data_dir: where the files of the task lie.
          split: one of `splits`.

        Returns:
          The split, None if its file is not there.

        Raises:
          UserError: there is no training file; a file is empty, not UTF-8, lacks a column or has a
            label that is unknown. Each names the file and the line.
        """

    @abc.abstractmethod
    def metrics(self, outputs: np.ndarray, split: Split) -> dict[str, float]:
        """Official scores of a labelled split, as fractions (1 is perfect).

        Args:
          outputs: float32, of the model for every sequence of the split; see `num_outputs`.
          split: that is labelled.
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
        """Writes predictions in the format in which they are submitted.

        Args:
          outputs: as of `metrics`.
          split: labelled or not.
          directory: for this split alone; is made if need be.
          null_threshold: of SQuAD 2.0: a question has no answer if the score of none exceeds that
            of the best answer by more than this: "null_threshold" of `metrics` on the dev split.

        Returns:
          The files written.
        """

    @abc.abstractmethod
    def majority_entropy(self, split: Split) -> float:
        """The loss of a model that has learned nothing but how frequent the answers are.

        Entropy in nats of the labels (of labelled tokens); for "regression" the variance, the least
        squared error of a constant; for "spans" the mean of `place_entropy` over starts and ends.

        Args:
          split: with the targets of the task.
        """

    @abc.abstractmethod
    def baseline(self, split: Split) -> dict[str, float]:
        """`metrics` of always giving one answer: the most frequent label or mean; for SQuAD none."""


def entropy(label_ids: np.ndarray) -> float:
    """Entropy in nats of the frequencies of labels."""
    shares = np.bincount(label_ids) / len(label_ids)
    shares = shares[shares > 0]
    return float(-np.sum(shares * np.log(shares)))


def place_entropy(places: np.ndarray, num_places: int) -> float:
    """Loss in nats of guessing each place by how frequent it is among all the others.

    Every place counts once more than it is there (Laplace's rule): with few examples and many
    places, their plain entropy would be far below what can be known of the next one. At most the loss
    of holding all places for equally likely.

    Args:
      places: [N], integers below `num_places`.
      num_places: in a sequence.
    """
    counts = np.bincount(places, minlength=num_places)[places]
    loss = -np.mean(np.log(counts / (len(places) - 1 + num_places)))
    return float(min(loss, np.log(num_places)))


def own_files(config: TaskConfig) -> dict[str, tuple[str, ...]]:
    """The file of each split of a task of one's own."""
    named = {"train": config.train_file, "dev": config.dev_file, "test": config.test_file}
    return {split: (name,) for split, name in named.items() if name}


def find_file(
    task_data_dir: str | Path,
    names: Sequence[str],
    *,
    folders: Sequence[str] = (".",),
    must_exist: bool,
) -> str | None:
    """The first of some files that is there.

    Args:
      task_data_dir: directory of the task, or the one that holds all tasks.
      names: of the file, the preferred one first.
      folders: below the directory to look in.
      must_exist: whether it is an error if there is none.

    Raises:
      UserError: the directory is not there, or the file.
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
