"""Serving signature of SQuAD: windows and answers as in `finetune.tasks`, as TensorFlow operations.

Legend: B questions, T tokens of a context, W windows of it, R maximum tokens of a window, S tokens of a
sequence, L lengths of answers.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from finetune.config import TaskConfig
from finetune.export.text_model import TextModel

_STRINGS = tf.TensorSpec([None], tf.string)
_IMPOSSIBLE = -1e30  # a logit far below those of possible answers


def span_signature(
    model: TextModel, config: TaskConfig, null_threshold: float
) -> Callable[..., dict[str, tf.Tensor]]:
    """Return a function from questions and contexts [B] to answers; see finetune/export/saved_model.py.

    Args:
      model: model to call.
      config: settings of the task, for truncation and windows.
      null_threshold: value of null_odds above which the answer is "".
    """

    @tf.function(input_signature=[_STRINGS, _STRINGS])
    def serve(question: tf.Tensor, context: tf.Tensor) -> dict[str, tf.Tensor]:
        query = model.tokenize(question)[:, : config.max_query_length]
        ids, begins, ends = model.tokenize_with_offsets(context)

        def answer_row(row: tuple[tf.Tensor, ...]) -> dict[str, tf.Tensor]:
            query_T, ids_T, begins_T, ends_T, context = row
            return _answer(model, config, query_T, ids_T, begins_T, ends_T, context)

        outputs = tf.map_fn(
            answer_row,
            (query, ids, begins, ends, context),
            fn_output_signature={
                "answer": tf.TensorSpec([], tf.string),
                "start": tf.TensorSpec([], tf.int32),
                "end": tf.TensorSpec([], tf.int32),
                "score": tf.TensorSpec([], tf.float32),
                "null_odds": tf.TensorSpec([], tf.float32),
            },
        )
        has_answer = outputs["null_odds"] <= null_threshold
        return {
            **outputs,
            "answer": tf.where(has_answer, outputs["answer"], ""),
            "start": tf.where(has_answer, outputs["start"], 0),
            "end": tf.where(has_answer, outputs["end"], 0),
        }

    return serve


def _answer(
    model: TextModel,
    config: TaskConfig,
    query_T: tf.Tensor,
    ids_T: tf.Tensor,
    begins_T: tf.Tensor,
    ends_T: tf.Tensor,
    context: tf.Tensor,
) -> dict[str, tf.Tensor]:
    """Return the best answer to one question, ignoring the threshold for no answer."""
    query_length, num_tokens = tf.size(query_T), tf.size(ids_T)
    longest = config.max_seq_length - 3 - query_length
    start_W, length_W = _windows(num_tokens, longest, config.doc_stride)
    token_WR = start_W[:, None] + tf.range(longest)[None]
    is_token_WR = tf.range(longest)[None] < length_W[:, None]
    token_WR = tf.where(is_token_WR, token_WR, 0)
    ids_WR = tf.ragged.boolean_mask(tf.gather(tf.pad(ids_T, [[0, 1]]), token_WR), is_token_WR)
    query_WT = tf.tile(query_T[None], [tf.size(start_W), 1])
    logits_WS2 = model.logits(tf.RaggedTensor.from_tensor(query_WT), ids_WR)
    null_score = tf.reduce_min(tf.reduce_sum(logits_WS2[:, 0], axis=-1))

    offset = query_length + 2
    logits_WR2 = logits_WS2[:, offset:]
    logits_WR2 = tf.pad(logits_WR2, [[0, 0], [0, longest], [0, 0]])[:, :longest]
    is_start_WR = is_token_WR & (
        tf.gather(tf.pad(_max_context_windows(start_W, length_W), [[0, 1]]), token_WR)
        == tf.range(tf.size(start_W))[:, None]
    )
    start_WR = tf.where(is_start_WR, logits_WR2[..., 0], _IMPOSSIBLE)
    end_WR = tf.where(is_token_WR, logits_WR2[..., 1], _IMPOSSIBLE)
    max_length = config.max_answer_length
    end_WR = tf.pad(end_WR, [[0, 0], [0, max_length - 1]], constant_values=_IMPOSSIBLE)
    end_WRL = tf.gather(end_WR, tf.range(longest)[:, None] + tf.range(max_length)[None], axis=1)
    scores = tf.reshape(start_WR[..., None] + end_WRL, [-1])
    best = tf.argmax(scores, output_type=tf.int32)
    score = scores[best]
    window, within = best // (longest * max_length), best % (longest * max_length)
    first = start_W[window] + within // max_length
    last = first + within % max_length
    # A context without tokens has the answer "", with score 0.
    is_possible = score > _IMPOSSIBLE / 2
    score = tf.where(is_possible, score, 0.0)
    start, end = _characters(context, first, last, begins_T, ends_T, is_possible)
    return {
        "answer": tf.strings.substr(context, start, end - start, unit="UTF8_CHAR"),
        "start": start,
        "end": end,
        "score": score,
        "null_odds": null_score - score,
    }


def _windows(
    num_tokens: tf.Tensor, longest: tf.Tensor, doc_stride: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return first token and length of each window, as `finetune.tasks.windows.divide_contexts`."""
    remaining = tf.maximum(num_tokens - longest, 0)
    start_W = tf.range(1 + (remaining + doc_stride - 1) // doc_stride) * doc_stride
    return start_W, tf.minimum(num_tokens - start_W, longest)


def _max_context_windows(start_W: tf.Tensor, length_W: tf.Tensor) -> tf.Tensor:
    """Return the window of each token as `finetune.tasks.windows.max_context_windows`, [T]."""
    token_T = tf.range(start_W[-1] + length_W[-1])
    left_WT = token_T[None] - start_W[:, None]
    context_WT = tf.minimum(left_WT, length_W[:, None] - 1 - left_WT)
    bonus_W = 0.01 * tf.cast(length_W, tf.float32)
    score_WT = tf.where(context_WT >= 0, tf.cast(context_WT, tf.float32) + bonus_W[:, None], -1.0)
    return tf.argmax(score_WT, axis=0, output_type=tf.int32)


def _characters(
    context: tf.Tensor,
    first: tf.Tensor,
    last: tf.Tensor,
    begins_T: tf.Tensor,
    ends_T: tf.Tensor,
    is_possible: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return first character, and character after the last one, of the tokens first to last.

    A token that covers a part of a character counts as the whole character.
    """
    begins_T, ends_T = (tf.cast(tf.pad(x_T, [[0, 1]]), tf.int32) for x_T in (begins_T, ends_T))

    def characters_before(byte: tf.Tensor) -> tf.Tensor:
        return tf.strings.length(tf.strings.substr(context, 0, byte), unit="UTF8_CHAR")

    start = characters_before(begins_T[tf.where(is_possible, first, 0)])
    last = tf.where(is_possible, last, 0)
    end = tf.maximum(characters_before(ends_T[last]), characters_before(begins_T[last]) + 1)
    return tf.where(is_possible, start, 0), tf.where(is_possible, end, 0)
