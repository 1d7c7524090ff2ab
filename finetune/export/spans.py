"""Questions to answers inside a SavedModel: the windows and rules of `finetune.tasks.answers`, as operations.

Legend: T tokens of a context, W windows of it, R tokens of context that a window has room for, L
lengths of answers.
"""

from __future__ import annotations

import tensorflow as tf

from finetune.config import TaskConfig

_STRINGS = tf.TensorSpec([None], tf.string)
_NEVER = -1e30  # a score that no answer has


def span_signature(model, config: TaskConfig, null_threshold: float):
    """From questions and contexts, strings [B], to answers; see finetune/export/sentences.py.

    Args:
      model: a ServedModel.
      config: how text is cut.
      null_threshold: "" is the answer where null_odds is above.
    """

    @tf.function(input_signature=[_STRINGS, _STRINGS])
    def serve(question, context):
        query = model.tokens(question)[:, : config.max_query_length]
        ids, begins, ends = model.tokens_with_offsets(context)

        def answer_row(row):
            query_T, ids_T, begins_T, ends_T, context = row
            return _answer(model, config, query_T, ids_T, begins_T, ends_T, context)

        found = tf.map_fn(
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
        has_answer = found["null_odds"] <= null_threshold
        return {
            **found,
            "answer": tf.where(has_answer, found["answer"], ""),
            "start": tf.where(has_answer, found["start"], 0),
            "end": tf.where(has_answer, found["end"], 0),
        }

    return serve


def _answer(model, config: TaskConfig, query_T, ids_T, begins_T, ends_T, context) -> dict:
    """The best answer to one question, whether there is one or not."""
    query_length, num_tokens = tf.size(query_T), tf.size(ids_T)
    room = config.max_seq_length - 3 - query_length
    start_W, length_W = _windows(num_tokens, room, config.doc_stride)
    place_WR = start_W[:, None] + tf.range(room)[None]
    is_token_WR = tf.range(room)[None] < length_W[:, None]
    safe_WR = tf.where(is_token_WR, place_WR, 0)
    ids_WR = tf.ragged.boolean_mask(tf.gather(tf.pad(ids_T, [[0, 1]]), safe_WR), is_token_WR)
    query_WT = tf.tile(query_T[None], [tf.size(start_W), 1])
    logits_WS2 = model.logits(tf.RaggedTensor.from_tensor(query_WT), ids_WR)
    null_score = tf.reduce_min(tf.reduce_sum(logits_WS2[:, 0], axis=-1))

    offset = query_length + 2
    logits_WR2 = logits_WS2[:, offset:]
    logits_WR2 = tf.pad(logits_WR2, [[0, 0], [0, room], [0, 0]])[:, :room]
    is_start_WR = is_token_WR & (
        tf.gather(tf.pad(_widest_view(start_W, length_W), [[0, 1]]), safe_WR)
        == tf.range(tf.size(start_W))[:, None]
    )
    start_WR = tf.where(is_start_WR, logits_WR2[..., 0], _NEVER)
    end_WR = tf.where(is_token_WR, logits_WR2[..., 1], _NEVER)
    longest = config.max_answer_length
    end_WR = tf.pad(end_WR, [[0, 0], [0, longest - 1]], constant_values=_NEVER)
    end_WRL = tf.gather(end_WR, tf.range(room)[:, None] + tf.range(longest)[None], axis=1)
    scores = tf.reshape(start_WR[..., None] + end_WRL, [-1])
    best = tf.argmax(scores, output_type=tf.int32)
    score = scores[best]
    window, within = best // (room * longest), best % (room * longest)
    first = start_W[window] + within // longest
    last = first + within % longest
    # A context without a token has no answer but "", of score 0.
    is_there = score > _NEVER / 2
    score = tf.where(is_there, score, 0.0)
    start, end = _characters(context, first, last, begins_T, ends_T, is_there)
    return {
        "answer": tf.strings.substr(context, start, end - start, unit="UTF8_CHAR"),
        "start": start,
        "end": end,
        "score": score,
        "null_odds": null_score - score,
    }


def _windows(num_tokens, room, doc_stride: int) -> tuple[tf.Tensor, tf.Tensor]:
    """First token and length of each window, as `finetune.tasks.windows.divide` has them."""
    hidden = tf.maximum(num_tokens - room, 0)
    start_W = tf.range(1 + (hidden + doc_stride - 1) // doc_stride) * doc_stride
    return start_W, tf.minimum(num_tokens - start_W, room)


def _widest_view(start_W, length_W) -> tf.Tensor:
    """Window of each token with the most context around it, as `finetune.tasks.windows.widest_view`."""
    token_T = tf.range(start_W[-1] + length_W[-1])
    left_WT = token_T[None] - start_W[:, None]
    least_WT = tf.minimum(left_WT, length_W[:, None] - 1 - left_WT)
    more_W = 0.01 * tf.cast(length_W, tf.float32)
    view_WT = tf.where(least_WT >= 0, tf.cast(least_WT, tf.float32) + more_W[:, None], -1.0)
    return tf.argmax(view_WT, axis=0, output_type=tf.int32)


def _characters(context, first, last, begins_T, ends_T, is_there) -> tuple[tf.Tensor, tf.Tensor]:
    """Range of characters of some tokens; that of one piece of a character is the character's."""
    begins_T, ends_T = (tf.cast(tf.pad(x_T, [[0, 1]]), tf.int32) for x_T in (begins_T, ends_T))

    def before(byte) -> tf.Tensor:
        return tf.strings.length(tf.strings.substr(context, 0, byte), unit="UTF8_CHAR")

    start = before(begins_T[tf.where(is_there, first, 0)])
    last = tf.where(is_there, last, 0)
    end = tf.maximum(before(ends_T[last]), before(begins_T[last]) + 1)
    return tf.where(is_there, start, 0), tf.where(is_there, end, 0)
