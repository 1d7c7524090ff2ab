"""The masked language model loss as sums, divided once and globally.

Legend: B sequences, P predictions in a sequence, V pieces of the vocabulary.
"""

from __future__ import annotations

import tensorflow as tf


def mlm_sums(
    logits_BPV: tf.Tensor, ids_BP: tf.Tensor, weights_BP: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Sums over the predictions of a batch.

    Args:
      logits_BPV: float scores of each piece.
      ids_BP: int32 ids of the right pieces.
      weights_BP: float32, 1 for a prediction, 0 for an unused slot.

    Returns:
      (loss_sum, correct_sum, weight_sum), float32 scalars: cross-entropy in nats, number of right
      first guesses, number of predictions.
    """
    logits_BPV = tf.cast(logits_BPV, tf.float32)
    loss_BP = tf.nn.sparse_softmax_cross_entropy_with_logits(ids_BP, logits_BPV)
    guess_BP = tf.argmax(logits_BPV, axis=-1, output_type=ids_BP.dtype)
    correct_BP = tf.cast(tf.equal(guess_BP, ids_BP), tf.float32)
    return (
        tf.reduce_sum(loss_BP * weights_BP),
        tf.reduce_sum(correct_BP * weights_BP),
        tf.reduce_sum(weights_BP),
    )
