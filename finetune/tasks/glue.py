"""The tasks of GLUE (https://arxiv.org/abs/1804.07461): files, columns, labels, metrics, submissions.

Facts about the files that gluebenchmark.com publishes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, kw_only=True)
class GlueTask:
    """Files, columns, labels and metrics of one task.

    Attributes:
      folder: folder of its files in the published archive.
      text: column of the (first) text.
      pair: column of the second text; "" if there is none.
      label: column of the label or score.
      labels: labels in the order of tf-models' processors; empty for scores.
      metrics: names of the official metrics.
      main_metric: the metric that the BERT paper reports (table 1).
      files: possible file names by split, the preferred one first.
      headers: column names by split, for files without a header line.
      index: column of test files that numbers their rows.
      submissions: name of the file of predictions by split.
      bounds: lowest and highest score; predictions are clipped to them.
    """

    folder: str
    text: str = "sentence"
    pair: str = ""
    label: str = "label"
    labels: tuple[str, ...] = ("0", "1")
    metrics: tuple[str, ...] = ("accuracy",)
    main_metric: str = "accuracy"
    files: Mapping[str, tuple[str, ...]] = dataclasses.field(
        default_factory=lambda: {
            "train": ("train.tsv",),
            "dev": ("dev.tsv",),
            "test": ("test.tsv",),
        }
    )
    headers: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    index: str = "index"
    submissions: Mapping[str, str]
    bounds: tuple[float, float] | None = None

    @property
    def kind(self) -> str:
        """Kind of task, see `finetune.config.KINDS`."""
        return "classification" if self.labels else "regression"


_COLA_COLUMNS = ("source", "label", "star", "sentence")
_ENTAILMENT = ("entailment", "not_entailment")

GLUE = {
    "cola": GlueTask(
        folder="CoLA",
        metrics=("matthews",),
        main_metric="matthews",
        headers={"train": _COLA_COLUMNS, "dev": _COLA_COLUMNS},
        submissions={"test": "CoLA.tsv"},
    ),
    "sst2": GlueTask(folder="SST-2", submissions={"test": "SST-2.tsv"}),
    "mrpc": GlueTask(
        folder="MRPC",
        text="#1 String",
        pair="#2 String",
        label="Quality",
        metrics=("accuracy", "f1"),
        main_metric="f1",
        # The second name is that of the undivided corpus, see MRPC_DEV_IDS.
        files={
            "train": ("train.tsv", "msr_paraphrase_train.txt"),
            "dev": ("dev.tsv", "msr_paraphrase_train.txt"),
            "test": ("test.tsv", "msr_paraphrase_test.txt"),
        },
        submissions={"test": "MRPC.tsv"},
    ),
    "qqp": GlueTask(
        folder="QQP",
        text="question1",
        pair="question2",
        label="is_duplicate",
        metrics=("accuracy", "f1"),
        main_metric="f1",
        index="id",
        submissions={"test": "QQP.tsv"},
    ),
    "stsb": GlueTask(
        folder="STS-B",
        text="sentence1",
        pair="sentence2",
        label="score",
        labels=(),
        metrics=("pearson", "spearman"),
        main_metric="spearman",
        submissions={"test": "STS-B.tsv"},
        bounds=(0.0, 5.0),
    ),
    "mnli": GlueTask(
        folder="MNLI",
        text="sentence1",
        pair="sentence2",
        label="gold_label",
        labels=("contradiction", "entailment", "neutral"),
        files={
            "train": ("train.tsv",),
            "dev": ("dev_matched.tsv",),
            "dev_mismatched": ("dev_mismatched.tsv",),
            "test": ("test_matched.tsv",),
            "test_mismatched": ("test_mismatched.tsv",),
            "diagnostic": ("diagnostic.tsv", "../diagnostic/diagnostic.tsv"),
        },
        submissions={
            "test": "MNLI-m.tsv",
            "test_mismatched": "MNLI-mm.tsv",
            "diagnostic": "AX.tsv",
        },
    ),
    "qnli": GlueTask(
        folder="QNLI",
        text="question",
        pair="sentence",
        labels=_ENTAILMENT,
        submissions={"test": "QNLI.tsv"},
    ),
    "rte": GlueTask(
        folder="RTE",
        text="sentence1",
        pair="sentence2",
        labels=_ENTAILMENT,
        submissions={"test": "RTE.tsv"},
    ),
    "wnli": GlueTask(
        folder="WNLI",
        text="sentence1",
        pair="sentence2",
        submissions={"test": "WNLI.tsv"},
    ),
}

# GLUE divides the training file of the MSR Paraphrase Corpus: pairs of ids in dev_ids.tsv are "dev".
MRPC_TRAIN = "msr_paraphrase_train.txt"
MRPC_DEV_IDS = "dev_ids.tsv"
MRPC_IDS = ("#1 ID", "#2 ID")
