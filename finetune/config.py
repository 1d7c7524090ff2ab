"""Which task, how its text is cut, and how an encoder learns it. Bound by gin in pretrain/gin_files.py."""

from __future__ import annotations

import dataclasses
from pathlib import PurePath

from data.errors import UserError
from launch.config import ClusterConfig
from model.config import EncoderConfig
from optim.config import OptimizerConfig
from pretrain.train.config import TrainConfig

GLUE_TASKS = ("cola", "sst2", "mrpc", "qqp", "stsb", "mnli", "qnli", "rte", "wnli")
SQUAD_TASKS = ("squad_v1", "squad_v2")
KINDS = ("classification", "regression", "tokens")
# Of files with columns or fields; and those with a word and its label a line, for kind "tokens".
TABLE_SUFFIXES = (".tsv", ".csv", ".jsonl")
WORD_SUFFIXES = (".jsonl", ".conll")

# [CLS] and two [SEP], and room for something between them.
_LEAST_SEQ_LENGTH = 8
# Only for a user's own files; finetune/tasks/glue.py describes those of the known tasks.
_OWN_FIELDS = (
    *("kind", "text_column", "pair_column", "label_column", "labels"),
    *("train_file", "dev_file", "test_file"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """A task of GLUE or SQuAD by its name, or files of your own by their columns.

    Attributes:
      task: 'cola', 'sst2', 'mrpc', 'qqp', 'stsb', 'mnli', 'qnli', 'rte', 'wnli', 'squad_v1' or
        'squad_v2', in the files as published; '' for files of your own.
      max_seq_length: tokens in a sequence, [CLS] and [SEP] included. Longer text is cut at its end,
        of a pair the longer one; contexts of SQuAD are divided into windows.
      doc_stride: tokens from the start of one window of a context to the start of the next (SQuAD).
      max_query_length: tokens of a question; a longer one is cut (SQuAD).
      max_answer_length: tokens of a predicted answer (SQuAD).
      n_best_size: answers kept for each question (SQuAD).
      kind: of files of your own: 'classification', 'regression' or 'tokens', which labels words.
      text_column: column (TSV, CSV) or field (JSONL) of the text; for 'tokens' a list of words.
      pair_column: of the second text; '' if there is none.
      label_column: of the label, the number, or for 'tokens' the list of labels.
      labels: in the order of the model's outputs; () takes those of the training file, sorted.
      train_file: inside the task's directory, .tsv, .csv or .jsonl; for 'tokens' .jsonl or .conll,
        which has a word and, after the last blank, its label a line, and a blank line between
        sentences.
      dev_file: likewise; '' if there is none.
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
    test_file: str = ""

    def __post_init__(self):
        if self.task and self.task not in GLUE_TASKS + SQUAD_TASKS:
            raise UserError(
                f"TaskConfig.task={self.task!r}: must be one of"
                f" {', '.join(GLUE_TASKS + SQUAD_TASKS)}, or '' for files of your own"
            )
        if self.max_seq_length < _LEAST_SEQ_LENGTH:
            raise UserError(
                f"TaskConfig.max_seq_length={self.max_seq_length}: must be at least"
                f" {_LEAST_SEQ_LENGTH}"
            )
        for name in ("doc_stride", "max_query_length", "max_answer_length", "n_best_size"):
            if getattr(self, name) < 1:
                raise UserError(f"TaskConfig.{name}={getattr(self, name)}: must be at least 1")
        if self.task in SQUAD_TASKS:
            self._check_windows()
        if not self.task:
            self._check_own_files()
        elif given := [name for name in _OWN_FIELDS if getattr(self, name)]:
            raise UserError(
                f"TaskConfig.{given[0]}={getattr(self, given[0])!r} has no effect with"
                f" TaskConfig.task={self.task!r}, whose files are known; remove it"
            )

    def _check_windows(self) -> None:
        # At least one token of context beside the longest question.
        room = self.max_seq_length - self.max_query_length - 3
        if room < 1:
            raise UserError(
                f"TaskConfig.max_query_length={self.max_query_length} leaves no room for the context"
                f" in TaskConfig.max_seq_length={self.max_seq_length} with [CLS] and two [SEP]"
            )
        if self.doc_stride > room:
            raise UserError(
                f"TaskConfig.doc_stride={self.doc_stride} would skip tokens between windows:"
                f" TaskConfig.max_seq_length={self.max_seq_length} less"
                f" TaskConfig.max_query_length={self.max_query_length} leaves {room} for the context"
            )

    def _check_own_files(self) -> None:
        if self.kind not in KINDS:
            raise UserError(
                f"TaskConfig.kind={self.kind!r}: must be {', '.join(map(repr, KINDS))} for files of"
                " your own; or name a known task in TaskConfig.task"
            )
        if not self.train_file:
            raise UserError("TaskConfig.train_file is empty: name the file to train on")
        suffixes = WORD_SUFFIXES if self.kind == "tokens" else TABLE_SUFFIXES
        files = [name for name in ("train_file", "dev_file", "test_file") if getattr(self, name)]
        for name in files:
            if PurePath(getattr(self, name)).suffix not in suffixes:
                raise UserError(
                    f"TaskConfig.{name}={getattr(self, name)!r}: kind {self.kind!r} is read from"
                    f" {', '.join(suffixes)}"
                )
        if any(PurePath(getattr(self, name)).suffix != ".conll" for name in files):
            for name in ("text_column", "label_column"):
                if not getattr(self, name):
                    raise UserError(
                        f"TaskConfig.{name} is empty: name a column of {self.train_file}"
                    )
        if self.pair_column and self.kind == "tokens":
            raise UserError(
                f"TaskConfig.pair_column={self.pair_column!r} has no effect with kind 'tokens'"
            )
        if self.labels and self.kind == "regression":
            raise UserError("TaskConfig.labels has no effect with kind 'regression'")
        if len(set(self.labels)) != len(self.labels) or len(self.labels) == 1:
            raise UserError(
                f"TaskConfig.labels={self.labels!r}: must be two or more, all different"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """What fine-tuning has beside `TrainConfig` and `OptimizerConfig`.

    Attributes:
      epochs: passes over the training split, from which TrainConfig.train_steps follows; 0 leaves
        that setting as it is.
      warmup_fraction: share of the steps in which the learning rate rises, from which
        OptimizerConfig.warmup_steps follows; 0 leaves that setting as it is.
      evaluations: on the dev split, evenly spaced, the last one at the end, from which
        TrainConfig.eval_interval follows; 0 leaves that setting as it is.
      initialize: 'encoder' starts from the encoder's weights; 'random' from fresh ones of the same
        architecture, for comparison.
      pooler: 'imported' starts from the pooler that comes with the encoder, if there is one that was
        trained; 'fresh' from a new one. For labels and numbers; nothing else has a pooler.
      reinitialize_top_blocks: blocks that start anew, from the last one down, and the pooler with
        them (https://arxiv.org/abs/2006.05987, section 5).
      collapse_check_fraction: share of the steps after which a run is given up that has learned
        nothing; 0 never gives up. At the end collapse is reported in any case.
      collapse_margin: a run has learned nothing if its mean training loss, over as many of the last
        steps as half the steps before the check, is not below the loss of always giving the same
        answer by this share of it. At the end, its best checkpoint must also be no better on dev than
        that.
    """

    epochs: float = 3.0
    warmup_fraction: float = 0.1
    evaluations: int = 1
    initialize: str = "encoder"
    pooler: str = "imported"
    reinitialize_top_blocks: int = 0
    collapse_check_fraction: float = 0.3
    collapse_margin: float = 0.02

    def __post_init__(self):
        for name in ("epochs", "evaluations", "reinitialize_top_blocks"):
            if getattr(self, name) < 0:
                raise UserError(f"FinetuneConfig.{name}={getattr(self, name)}: is negative")
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
    """Everything that decides a run of fine-tuning, beside its data and the weights it starts from."""

    train: TrainConfig
    task: TaskConfig
    finetune: FinetuneConfig
    encoder: EncoderConfig
    optimizer: OptimizerConfig
    cluster: ClusterConfig
