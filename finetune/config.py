"""Settings of a fine-tuning task and of fine-tuning itself; pretrain/gin_files.py binds them with gin."""

from __future__ import annotations

import dataclasses
from pathlib import PurePath
from typing import TypeVar

from data.errors import UserError, check_maxima
from launch.config import ClusterConfig
from model.config import EncoderConfig
from optim.config import OptimizerConfig
from pretrain.train.config import TrainConfig

GLUE_TASKS = ("cola", "sst2", "mrpc", "qqp", "stsb", "mnli", "qnli", "rte", "wnli")
SQUAD_TASKS = ("squad_v1", "squad_v2")
# Kinds of tasks; all but "spans" (SQuAD) can be read from custom files, too. A new kind needs an entry
# in every table made by `for_every_kind`, and inputs and a signature in finetune/export.
CUSTOM_KINDS = ("classification", "regression", "tokens")
KINDS = (*CUSTOM_KINDS, "spans")
# Suffixes of custom files; word files hold one word with its label a line, for kind "tokens".
TABLE_SUFFIXES = (".tsv", ".csv", ".jsonl")
WORD_SUFFIXES = (".jsonl", ".conll")

# [CLS], two [SEP], and some text between them.
_MIN_SEQ_LENGTH = 8
_LENGTHS = ("max_seq_length", "doc_stride", "max_query_length", "max_answer_length")
_MAX_LENGTH = 2**16
# Settings of custom files; finetune/tasks/glue.py has those of the known tasks.
_CUSTOM_FIELDS = (
    *("kind", "text_column", "pair_column", "label_column", "labels"),
    *("train_file", "dev_file", "dev_fraction", "test_file"),
)
_COMPRESSED = ".gz"

_Entry = TypeVar("_Entry")


def table_suffix(path: str) -> str:
    """Return the suffix that tells the format of a file: ".csv" for a.csv and a.csv.gz."""
    return PurePath(path.removesuffix(_COMPRESSED)).suffix


def for_every_kind(name: str, table: dict[str, _Entry]) -> dict[str, _Entry]:
    """Return a table by kind of task.

    Args:
      name: name of the table, for the error.
      table: one entry for each of KINDS.

    Raises:
      ValueError: a kind is missing or unknown.
    """
    if set(table) != set(KINDS):
        raise ValueError(
            f"{name} has entries for the kinds {', '.join(table)}; finetune.config.KINDS are"
            f" {', '.join(KINDS)}"
        )
    return table


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """A GLUE or SQuAD task by its name, or files of your own by their columns.

    Attributes:
      task: 'cola', 'sst2', 'mrpc', 'qqp', 'stsb', 'mnli', 'qnli', 'rte', 'wnli', 'squad_v1' or
        'squad_v2', in the files as published; '' for files of your own.
      max_seq_length: tokens in a sequence, including [CLS] and [SEP]. Longer text is truncated at
        its end, in a pair the longer text first; SQuAD contexts are divided into windows.
      doc_stride: tokens from the start of one window of a context to the start of the next (SQuAD).
      max_query_length: tokens of a question; longer ones are truncated (SQuAD).
      max_answer_length: maximum tokens of a predicted answer (SQuAD).
      n_best_size: answers written for each question (SQuAD).
      kind: kind of task for files of your own: 'classification', 'regression', or 'tokens' (one
        label for each word).
      text_column: column (TSV, CSV) or field (JSONL) of the text; for 'tokens' a list of words.
      pair_column: column of the second text; '' if there is none.
      label_column: column of the label, the number, or for 'tokens' the list of labels.
      labels: labels in the order of the model's outputs; () takes those of the training file,
        sorted.
      train_file: file in the task's directory, .tsv, .csv or .jsonl; for 'tokens' .jsonl or .conll:
        a word and, after the last space, its label on each line, sentences separated by blank lines.
        Each may be compressed (.csv.gz).
      dev_file: likewise; '' if there is none.
      dev_fraction: fraction of the training file's rows that are held out as dev split, if there is no
        dev_file; chosen by the text, so equal texts are in the same split.
      test_file: likewise; its labels may be missing.
    """

    task: str = ""
    max_seq_length: int = 128
    doc_stride: int = 128
    max_query_length: int = 64
    max_answer_length: int = 30
    n_best_size: int = 20
    kind: str = ""
    text_column: str = ""
    pair_column: str = ""
    label_column: str = ""
    labels: tuple[str, ...] = ()
    train_file: str = ""
    dev_file: str = ""
    dev_fraction: float = 0.0
    test_file: str = ""

    def __post_init__(self) -> None:
        if self.task and self.task not in GLUE_TASKS + SQUAD_TASKS:
            raise UserError(
                f"TaskConfig.task={self.task!r}: must be one of"
                f" {', '.join(GLUE_TASKS + SQUAD_TASKS)}, or '' for files of your own"
            )
        if self.max_seq_length < _MIN_SEQ_LENGTH:
            raise UserError(
                f"TaskConfig.max_seq_length={self.max_seq_length}: must be at least"
                f" {_MIN_SEQ_LENGTH}"
            )
        for name in ("doc_stride", "max_query_length", "max_answer_length", "n_best_size"):
            if getattr(self, name) < 1:
                raise UserError(f"TaskConfig.{name}={getattr(self, name)}: must be at least 1")
        check_maxima(self, dict.fromkeys((*_LENGTHS, "n_best_size"), _MAX_LENGTH))
        if self.task in SQUAD_TASKS:
            self._check_windows()
        if not self.task:
            self._check_custom_files()
        elif unused := [name for name in _CUSTOM_FIELDS if getattr(self, name)]:
            raise UserError(
                f"TaskConfig.{unused[0]}={getattr(self, unused[0])!r} has no effect with"
                f" TaskConfig.task={self.task!r}, whose files are known; remove it"
            )

    def _check_windows(self) -> None:
        # Context tokens next to the longest question, [CLS] and two [SEP].
        window = self.max_seq_length - self.max_query_length - 3
        if window < 1:
            raise UserError(
                f"TaskConfig.max_query_length={self.max_query_length} leaves no room for the context"
                f" in TaskConfig.max_seq_length={self.max_seq_length} with [CLS] and two [SEP]"
            )
        if self.doc_stride > window:
            raise UserError(
                f"TaskConfig.doc_stride={self.doc_stride} would skip tokens between windows:"
                f" TaskConfig.max_seq_length={self.max_seq_length} less"
                f" TaskConfig.max_query_length={self.max_query_length} leaves {window} for the"
                " context"
            )

    def _check_custom_files(self) -> None:
        if self.kind not in CUSTOM_KINDS:
            raise UserError(
                f"TaskConfig.kind={self.kind!r}: must be {', '.join(map(repr, CUSTOM_KINDS))} for"
                " files of your own; or name a known task in TaskConfig.task"
            )
        if not self.train_file:
            raise UserError("TaskConfig.train_file is empty: name the file to train on")
        suffixes = WORD_SUFFIXES if self.kind == "tokens" else TABLE_SUFFIXES
        files = [name for name in ("train_file", "dev_file", "test_file") if getattr(self, name)]
        for name in files:
            if table_suffix(getattr(self, name)) not in suffixes:
                raise UserError(
                    f"TaskConfig.{name}={getattr(self, name)!r}: kind {self.kind!r} is read from"
                    f" {', '.join(suffixes)} files"
                )
        if any(table_suffix(getattr(self, name)) != ".conll" for name in files):
            for name in ("text_column", "label_column"):
                if not getattr(self, name):
                    raise UserError(
                        f"TaskConfig.{name} is empty: name a column of {self.train_file}"
                    )
        if not 0 <= self.dev_fraction < 1:
            raise UserError(
                f"TaskConfig.dev_fraction={self.dev_fraction}: must be at least 0 and less than 1"
            )
        if self.dev_fraction and self.dev_file:
            raise UserError(
                f"TaskConfig.dev_fraction={self.dev_fraction} has no effect with"
                f" TaskConfig.dev_file={self.dev_file!r}; remove one of them"
            )
        if self.pair_column and self.kind == "tokens":
            raise UserError(
                f"TaskConfig.pair_column={self.pair_column!r} has no effect with kind 'tokens'"
            )
        if self.labels and self.kind == "regression":
            raise UserError("TaskConfig.labels has no effect with kind 'regression'")
        if len(set(self.labels)) != len(self.labels) or len(self.labels) == 1:
            raise UserError(
                f"TaskConfig.labels={self.labels!r}: must be two or more different labels"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """Settings of fine-tuning besides `TrainConfig` and `OptimizerConfig`.

    Attributes:
      epochs: passes over the training split; sets TrainConfig.train_steps, unless 0.
      warmup_fraction: fraction of the steps in which the learning rate rises; sets
        OptimizerConfig.warmup_steps, unless 0.
      evaluations: evenly spaced evaluations on the dev split, the last one after the last step; sets
        TrainConfig.eval_interval, unless 0.
      initialize: 'encoder' starts from the encoder's weights; 'random' from random weights of the
        same architecture, for comparison.
      pooler: 'imported' starts from the encoder's pooler, if it has one that was trained; 'fresh'
        from a new one. Only 'classification' and 'regression' have a pooler.
      reinitialize_top_blocks: number of last blocks to initialize at random, with the pooler
        (https://arxiv.org/abs/2006.05987, section 5).
      collapse_check_fraction: fraction of the steps after which a run that has learned nothing is
        stopped, but not within 300 steps after the warm-up; 0 never stops one. A collapse at the end is
        reported in any case.
      collapse_margin: a run has learned nothing if its recent mean training loss is not below the
        loss of always giving the same answer by this fraction of it. Recent means as many steps as
        half of those before the check. At the end, its best checkpoint must also be no better on dev
        than that answer.
    """

    epochs: float = 3.0
    warmup_fraction: float = 0.1
    evaluations: int = 1
    initialize: str = "encoder"
    pooler: str = "imported"
    reinitialize_top_blocks: int = 0
    collapse_check_fraction: float = 0.3
    collapse_margin: float = 0.02

    def __post_init__(self) -> None:
        for name in ("epochs", "evaluations", "reinitialize_top_blocks"):
            if getattr(self, name) < 0:
                raise UserError(f"FinetuneConfig.{name}={getattr(self, name)}: is negative")
        maxima = {"epochs": 10**6, "evaluations": 10**6, "reinitialize_top_blocks": 1024}
        check_maxima(self, maxima)
        for name in ("warmup_fraction", "collapse_check_fraction", "collapse_margin"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"FinetuneConfig.{name}={getattr(self, name)}: must be in [0, 1)")
        for name, choices in {
            "initialize": ("encoder", "random"),
            "pooler": ("imported", "fresh"),
        }.items():
            if getattr(self, name) not in choices:
                raise UserError(
                    f"FinetuneConfig.{name}={getattr(self, name)!r}: must be"
                    f" {' or '.join(map(repr, choices))}"
                )


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinetuneRunConfig:
    """All settings of a fine-tuning run; data and initial weights are not among them."""

    train: TrainConfig
    task: TaskConfig
    finetune: FinetuneConfig
    encoder: EncoderConfig
    optimizer: OptimizerConfig
    cluster: ClusterConfig
