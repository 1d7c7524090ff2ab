"""Write a fine-tuned model in Hugging Face's format; transformers computes the same logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.vocab import Vocab
from finetune.config import for_every_kind
from finetune.model import OUTPUT
from model import huggingface
from model.config import EncoderConfig
from pretrain.export.huggingface_files import write_huggingface

_ARCHITECTURES = for_every_kind(
    "finetune.export.huggingface._ARCHITECTURES",
    {
        "classification": "BertForSequenceClassification",
        "regression": "BertForSequenceClassification",
        "tokens": "BertForTokenClassification",
        "spans": "BertForQuestionAnswering",
    },
)
# Values of config.json by which BertForSequenceClassification chooses its loss.
_PROBLEM_TYPES = {"classification": "single_label_classification", "regression": "regression"}


def write_finetuned(
    folder: Path,
    values: Mapping[str, np.ndarray],
    config: EncoderConfig,
    *,
    kind: str,
    labels: Sequence[str],
    vocab: Vocab,
    lower_case: bool,
) -> None:
    """Write the model.

    Args:
      folder: output folder.
      values: weights of encoder, pooler (if the kind has one) and head, by name.
      config: sizes of the encoder.
      kind: kind of task.
      labels: labels in the order of the outputs.
      vocab: vocabulary of the encoder.
      lower_case: whether text is lower-cased and stripped of accents.
    """
    architecture = _ARCHITECTURES[kind]
    settings: dict[str, Any] = {}
    if kind in _PROBLEM_TYPES:
        settings["problem_type"] = _PROBLEM_TYPES[kind]
    names = labels or {"regression": ("score",)}.get(kind, ())
    if names:  # without them there are two outputs, as of spans
        settings["id2label"] = {str(number): name for number, name in enumerate(names)}
        settings["label2id"] = {name: number for number, name in enumerate(names)}
    tensors = huggingface.to_tensors(
        values,
        config,
        architecture=architecture,
        output=(values[f"{OUTPUT}/kernel"], values[f"{OUTPUT}/bias"]),
    )
    write_huggingface(
        folder,
        tensors,
        config,
        architecture=architecture,
        vocab=vocab,
        lower_case=lower_case,
        settings=settings,
    )
