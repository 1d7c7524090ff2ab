"""Save a fine-tuned model as a SavedModel that takes text and needs no code of ours to load.

The encoder is tf-models', with our weights. Operations of tensorflow-text tokenize as in training.
`serving_default` takes strings [B]; its outputs depend on the kind of task:

    classification   text (and pair) -> label [B], probabilities [B, C]
    regression       text (and pair) -> score [B]
    tokens           text, words separated by spaces -> labels [B, W] of the words, "" after the last
    spans            question, context -> answer [B], start [B] and end [B] in characters, score [B] of the
                     answer, null_odds [B]: score of no answer minus score of the answer

Legend: B texts, W words, C labels.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import tensorflow as tf

from finetune.config import TaskConfig
from finetune.export.sentences import sentence_signature
from finetune.export.spans import span_signature
from finetune.export.text_model import TextModel
from finetune.export.tokens import token_signature


def save(
    path: str | os.PathLike[str],
    model: TextModel,
    config: TaskConfig,
    *,
    kind: str,
    labels: Sequence[str],
    has_pair: bool,
    null_threshold: float,
    vocab_file: str | os.PathLike[str],
) -> None:
    """Write the SavedModel.

    Args:
      path: output directory.
      model: model to save.
      config: settings of the task, for truncation and windows.
      kind: kind of task.
      labels: labels in the order of the outputs; saved as the attribute `labels`, strings [C].
      has_pair: whether the model takes pairs of texts.
      null_threshold: for "spans", value of null_odds above which there is no answer; infinite if every
        question has an answer.
      vocab_file: vocabulary file; saved as an asset.
    """
    match kind:
        case "classification" | "regression":
            serve = sentence_signature(model, config, labels, has_pair=has_pair)
        case "tokens":
            serve = token_signature(model, config, labels)
        case "spans":
            serve = span_signature(model, config, null_threshold)
        case _:
            raise ValueError(f"no serving signature for tasks of kind {kind!r}")
    model.serve = serve
    # A variable, because constants are not restored as attributes.
    model.labels = tf.Variable(list(labels), dtype=tf.string, trainable=False, name="labels")
    model.vocab_file = tf.saved_model.Asset(os.fspath(vocab_file))
    tf.saved_model.save(model, os.fspath(path), signatures={"serving_default": serve})
