"""MLM loss as sums over predictions, with an explicit gradient of the cross-entropy.

The logits are by far the largest tensor of the head. Automatic differentiation keeps a float32 copy of
them. Here only statistics are float32, and tensors as large as the logits have the compute type.

Legend: B sequences, P predictions per sequence, N = B * P, V pieces of the vocabulary, H hidden,
K chunks of C predictions.
"""

from __future__ import annotations

import tensorflow as tf

from model.layers import sum_rows
from model.tracing import Gradient, compiled


def compute_logits(x_NH: tf.Tensor, table_VH: tf.Tensor, bias_V: tf.Tensor) -> tf.Tensor:
    """Return logits [N, V] in the type of x.

    Args:
      x_NH: outputs of the head's transform, in the compute type.
      table_VH: word embeddings, in the compute type.
      bias_V: bias of each piece, any float type.
    """
    return tf.matmul(x_NH, table_VH, transpose_b=True) + tf.cast(bias_V, x_NH.dtype)


def mlm_sums(
    logits_BPV: tf.Tensor, ids_BP: tf.Tensor, weights_BP: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return sums over the predictions of a batch.

    Args:
      logits_BPV: logits, any float type.
      ids_BP: int32 ids of the original tokens.
      weights_BP: float32, 1 for a prediction, 0 for an unused slot; get no gradient.

    Returns:
      (loss_sum, correct_sum, weight_sum), float32 scalars: cross-entropy in nats, number of correct
      predictions (among equal logits the first counts), number of predictions.
    """
    ids_N, weights_N = tf.reshape(ids_BP, [-1]), tf.reshape(weights_BP, [-1])

    @tf.custom_gradient
    def call(
        logits_NV: tf.Tensor,
    ) -> tuple[tuple[tf.Tensor, tf.Tensor, tf.Tensor], Gradient]:
        loss_N, correct_N, log_sum_N = _statistics(logits_NV, ids_N)

        def gradient(dloss: tf.Tensor, *_: tf.Tensor) -> tf.Tensor:
            return _logits_gradient(logits_NV, ids_N, log_sum_N, weights_N * dloss)

        return _weighted_sums(loss_N, correct_N, weights_N), gradient

    return call(tf.reshape(logits_BPV, [-1, logits_BPV.shape[-1]]))


def mlm_terms(logits_BPV: tf.Tensor, ids_BP: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return loss and correctness of each prediction slot, used or not; they have no gradient.

    Args:
      logits_BPV: see `mlm_sums`.
      ids_BP: see `mlm_sums`.

    Returns:
      (loss_BP, correct_BP), float32: cross-entropy in nats; 1 for a correct prediction, else 0.
    """
    logits_NV = tf.reshape(logits_BPV, [-1, logits_BPV.shape[-1]])
    loss_N, correct_N, _ = _statistics(logits_NV, tf.reshape(ids_BP, [-1]))
    shape = tf.shape(ids_BP)
    return tf.reshape(loss_N, shape), tf.reshape(correct_N, shape)


def mlm_sums_by_chunks(
    x_BPH: tf.Tensor,
    table_VH: tf.Tensor,
    bias_V: tf.Tensor,
    ids_BP: tf.Tensor,
    weights_BP: tf.Tensor,
    *,
    chunk_size: int,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return `mlm_sums` without materializing more than [C, V] logits at a time.

    The backward pass recomputes the logits chunk by chunk and accumulates the gradient of the table in
    float32.

    Args:
      x_BPH: outputs of the head's transform, in the compute type; all sizes are static.
      table_VH: word embeddings, float32.
      bias_V: bias of each piece, float32.
      ids_BP: see `mlm_sums`.
      weights_BP: see `mlm_sums`.
      chunk_size: C, predictions per chunk; it need not divide B * P.
    """
    hidden, num_predictions = x_BPH.shape[-1], weights_BP.shape.num_elements()
    chunks = -(-num_predictions // chunk_size)
    padding = chunks * chunk_size - num_predictions

    def chunked(values: tf.Tensor, inner: list[int]) -> tf.Tensor:
        flat = tf.reshape(values, [num_predictions, *inner])
        padded = tf.pad(flat, [[0, padding]] + [[0, 0]] * len(inner))  # these have weight 0
        return tf.reshape(padded, [chunks, chunk_size, *inner])

    ids_KC, weights_KC = chunked(ids_BP, []), chunked(weights_BP, [])

    @tf.custom_gradient
    def call(
        x_KCH: tf.Tensor, table_VH: tf.Tensor, bias_V: tf.Tensor
    ) -> tuple[tuple[tf.Tensor, tf.Tensor, tf.Tensor], Gradient]:
        compute_VH = tf.cast(table_VH, x_KCH.dtype)  # once, not in every chunk

        def statistics(
            chunk: tuple[tf.Tensor, tf.Tensor],
        ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            x_CH, ids_C = chunk
            return _statistics(compute_logits(x_CH, compute_VH, bias_V), ids_C)

        loss_KC, correct_KC, log_sum_KC = tf.map_fn(
            statistics,
            (x_KCH, ids_KC),
            fn_output_signature=(tf.TensorSpec([chunk_size]),) * 3,
            parallel_iterations=1,
        )

        def gradient(dloss: tf.Tensor, *_: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            dweights_KC = weights_KC * dloss
            return _gradients_by_chunks(x_KCH, compute_VH, bias_V, ids_KC, log_sum_KC, dweights_KC)

        return _weighted_sums(loss_KC, correct_KC, weights_KC), gradient

    return call(
        chunked(x_BPH, [hidden]), tf.convert_to_tensor(table_VH), tf.convert_to_tensor(bias_V)
    )


def _gradients_by_chunks(
    x_KCH: tf.Tensor,
    table_VH: tf.Tensor,
    bias_V: tf.Tensor,
    ids_KC: tf.Tensor,
    log_sum_KC: tf.Tensor,
    weights_KC: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return the gradients of x, in its type, and of table and bias, accumulated in float32."""

    def add(
        k: tf.Tensor, dx_KCH: tf.TensorArray, dtable_VH: tf.Tensor, dbias_V: tf.Tensor
    ) -> tuple[tf.Tensor, tf.TensorArray, tf.Tensor, tf.Tensor]:
        logits_CV = compute_logits(x_KCH[k], table_VH, bias_V)
        dlogits_CV = _logits_gradient(logits_CV, ids_KC[k], log_sum_KC[k], weights_KC[k])
        chunk_VH = tf.matmul(dlogits_CV, x_KCH[k], transpose_a=True)
        return (
            k + 1,
            dx_KCH.write(k, tf.matmul(dlogits_CV, table_VH)),
            dtable_VH + tf.cast(chunk_VH, tf.float32),
            dbias_V + sum_rows(dlogits_CV),
        )

    chunks = x_KCH.shape[0]
    dx_KCH = tf.TensorArray(x_KCH.dtype, chunks, element_shape=x_KCH.shape[1:])
    _, dx_KCH, dtable_VH, dbias_V = tf.while_loop(
        lambda k, *_: k < chunks,
        add,
        (tf.constant(0), dx_KCH, tf.zeros(table_VH.shape), tf.zeros(bias_V.shape)),
        parallel_iterations=1,
        maximum_iterations=chunks,
    )
    return dx_KCH.stack(), dtable_VH, dbias_V


def _weighted_sums(
    loss: tf.Tensor, correct: tf.Tensor, weights: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    return (
        tf.reduce_sum(loss * weights),
        tf.reduce_sum(correct * weights),
        tf.reduce_sum(weights),
    )


@compiled
def _statistics(logits: tf.Tensor, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return (loss, correct, log of the sum of exponentials), float32 [N]."""
    x = tf.cast(logits, tf.float32)
    largest = tf.reduce_max(x, axis=-1)
    log_sum = largest + tf.math.log(tf.reduce_sum(tf.exp(x - largest[:, None]), axis=-1))
    piece = tf.range(x.shape[1])[None]
    target = tf.reduce_sum(tf.where(piece == ids[:, None], x, 0.0), axis=-1)
    # XLA computes all sums of a row in one pass over the logits; an argmax would be another pass.
    is_before = piece < ids[:, None]
    ties_before = tf.reduce_sum(tf.where(is_before & (x == largest[:, None]), 1.0, 0.0), axis=-1)
    is_correct = (target == largest) & (ties_before == 0)
    return log_sum - target, tf.cast(is_correct, tf.float32), log_sum


@compiled
def _logits_gradient(
    logits: tf.Tensor, ids: tf.Tensor, log_sum: tf.Tensor, weights: tf.Tensor
) -> tf.Tensor:
    """Return (softmax - one-hot) * weight, in the type of the logits."""
    softmax = tf.exp(tf.cast(logits, tf.float32) - log_sum[:, None])
    is_target = tf.range(logits.shape[1])[None] == ids[:, None]
    return tf.cast((softmax - tf.cast(is_target, tf.float32)) * weights[:, None], logits.dtype)
