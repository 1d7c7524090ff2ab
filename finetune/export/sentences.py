"""Serving signature of tasks with one label or number for each text or pair of texts.

Legend: B texts, C labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from finetune.config import TaskConfig
from finetune.export.text_model import TextModel

_STRINGS = tf.TensorSpec([None], tf.string)


def sentence_signature(
    model: TextModel, config: TaskConfig, labels: Sequence[str], *, has_pair: bool
) -> Callable[..., dict[str, tf.Tensor]]:
    """Return a function from texts [B] to labels or scores; see finetune/export/saved_model.py.

    Args:
      model: model to call.
      config: settings of the task; max_seq_length truncates texts.
      labels: labels in the order of the outputs; empty for regression.
      has_pair: whether the function takes pairs of texts.
    """

    def outputs(*texts: tf.Tensor) -> dict[str, tf.Tensor]:
        segments = [model.tokenize(text) for text in texts]
        max_tokens = config.max_seq_length - 1 - len(segments)
        logits_BC = model.logits(*_truncate(segments, max_tokens))
        if not labels:
            return {"score": logits_BC[:, 0]}
        label_B = tf.gather(tf.constant(list(labels)), tf.argmax(logits_BC, axis=-1))
        return {"label": label_B, "probabilities": tf.nn.softmax(logits_BC)}

    if has_pair:

        @tf.function(input_signature=[_STRINGS, _STRINGS])
        def serve(text: tf.Tensor, pair: tf.Tensor) -> dict[str, tf.Tensor]:
            return outputs(text, pair)
    else:

        @tf.function(input_signature=[_STRINGS])
        def serve(text: tf.Tensor) -> dict[str, tf.Tensor]:
            return outputs(text)

    return serve


def _truncate(segments: Sequence[tf.RaggedTensor], max_tokens: int) -> list[tf.RaggedTensor]:
    """Truncate segments as `finetune.tasks.sequences.truncate_pairs` does."""
    if len(segments) == 1:
        return [segments[0][:, :max_tokens]]
    first_B, second_B = (segment.row_lengths() for segment in segments)
    half = max_tokens // 2
    lengths = (
        tf.minimum(first_B, tf.maximum(max_tokens - second_B, max_tokens - half)),
        tf.minimum(second_B, tf.maximum(max_tokens - first_B, half)),
    )
    return [_truncate_rows(*pair) for pair in zip(segments, lengths, strict=True)]


def _truncate_rows(ids: tf.RaggedTensor, length_B: tf.Tensor) -> tf.RaggedTensor:
    """Return the first `length_B` values of each row."""
    position = tf.ragged.range(ids.row_lengths())
    is_kept = position.values < tf.gather(length_B, position.value_rowids())
    return tf.ragged.boolean_mask(ids, position.with_values(is_kept))
