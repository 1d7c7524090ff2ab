"""Serving signature of token classification.

Legend: B texts, W words of all texts, T pieces of a word, N sequences, S tokens of a sequence, C labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from data import schema
from finetune.config import TaskConfig
from finetune.export.text_model import TextModel

_STRINGS = tf.TensorSpec([None], tf.string)


def token_signature(
    model: TextModel, config: TaskConfig, labels: Sequence[str]
) -> Callable[..., dict[str, tf.Tensor]]:
    """Return a function from texts [B] to labels of their words; see finetune/export/saved_model.py.

    Args:
      model: model to call.
      config: settings of the task; max_seq_length divides long texts.
      labels: labels in the order of the outputs.
    """
    max_pieces = config.max_seq_length - 2

    @tf.function(input_signature=[_STRINGS])
    def serve(text: tf.Tensor) -> dict[str, tf.Tensor]:
        words = tf.strings.split(text)  # [B, W]
        # An additional word, in a text of its own, so that tensors are not empty without any words.
        all_words = tf.concat([words.values, [schema.UNK]], axis=0)
        text_of_W = tf.concat([words.value_rowids(), [words.nrows()]], axis=0)
        pieces_WT = model.tokenize(all_words)[:, :max_pieces]
        # A word of invisible characters has no pieces, but gets a label, as in TokenTask.
        is_empty_W = pieces_WT.row_lengths() == 0
        unknown_WT = tf.RaggedTensor.from_row_lengths(
            tf.fill([tf.math.count_nonzero(is_empty_W, dtype=tf.int32)], model.unknown_id),
            tf.cast(is_empty_W, tf.int64),
        )
        pieces_WT = tf.concat([pieces_WT, unknown_WT], axis=1)
        lengths_W = pieces_WT.row_lengths()
        sequence_W, before_W = _fill_sequences(lengths_W, text_of_W, max_pieces)
        by_sequence = tf.RaggedTensor.from_value_rowids(pieces_WT, sequence_W)
        logits_NSC = model.logits(by_sequence.merge_dims(1, 2))
        # The label of a word is that of its first piece, after [CLS] and the pieces before it.
        positions_W2 = tf.stack([sequence_W, before_W + 1], axis=1)[:-1]
        best_W = tf.argmax(tf.gather_nd(logits_NSC, positions_W2), axis=-1)
        return {
            "labels": words.with_values(tf.gather(tf.constant(list(labels)), best_W)).to_tensor()
        }

    return serve


def _fill_sequences(
    lengths_W: tf.Tensor, text_of_W: tf.Tensor, max_pieces: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return each word's sequence, divided as in `finetune.tasks.token`, and the pieces before it."""

    def step(
        state: tuple[tf.Tensor, ...], word: tuple[tf.Tensor, tf.Tensor]
    ) -> tuple[tf.Tensor, ...]:
        (sequence, before, length, text), (new_length, new_text) = state, word
        filled = before + length
        is_new = (new_text != text) | (filled + new_length > max_pieces)
        return (
            sequence + tf.cast(is_new, tf.int64),
            tf.where(is_new, tf.constant(0, tf.int64), filled),
            new_length,
            new_text,
        )

    initial = tuple(tf.constant(value, tf.int64) for value in (-1, 0, 0, -1))
    sequence_W, before_W, _, _ = tf.scan(step, (lengths_W, text_of_W), initializer=initial)
    return sequence_W, before_W
