"""The masked language model: encoder, head, and the loss as sums, divided once and globally.

Legend: B sequences, S positions, P predictions in a sequence, H hidden, V pieces of the vocabulary.
"""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from model.config import EncoderConfig
from model.dropout import Dropout
from model.encoder import Encoder
from model.layers import Dense, Initializer, LayerNorm, biased_gelu, matmul


class MLMHead(tf.Module):
    """Dense, gelu, LayerNorm, and logits against the word embeddings, plus a bias for each piece."""

    def __init__(self, config: EncoderConfig, initializer: Initializer):
        super().__init__()
        scope, hidden = "bert/cls/predictions", config.hidden_size
        self._activation = config.hidden_activation
        self.dense = Dense(hidden, hidden, initializer, f"{scope}/transform/dense")
        self.norm = LayerNorm(hidden, f"{scope}/transform/LayerNorm")
        self.output_bias = tf.Variable(
            tf.zeros([config.vocab_size]), name=f"{scope}/output_bias/bias"
        )

    def __call__(self, x_BPH: tf.Tensor, word_embeddings_VH: tf.Tensor) -> tf.Tensor:
        """Logits [B, P, V] in the type of x."""
        x_BPH = biased_gelu(self.dense.project(x_BPH), self.dense.bias, self._activation)
        x_BPH = self.norm(x_BPH, x_BPH.dtype)
        table_HV = tf.transpose(tf.cast(word_embeddings_VH, x_BPH.dtype))
        return matmul(x_BPH, table_HV) + tf.cast(self.output_bias, x_BPH.dtype)


class Pretrainer(tf.Module):
    """What training trains: all its variables get a gradient from the MLM loss.

    Checkpoints name variables by their attributes: `encoder/blocks/0/query/kernel`.
    """

    def __init__(self, config: EncoderConfig, *, seed: int, dtype: tf.DType = tf.float32):
        """Makes the variables, float32, the same ones for a seed.

        Args:
          config: the architecture; vocab_size must be known.
          seed: of the initial weights.
          dtype: compute type, float32 or bfloat16.
        """
        super().__init__()
        initializer = Initializer(seed, config.initializer_range)
        self.encoder = Encoder(config, initializer, dtype)
        self.masked_lm = MLMHead(config, initializer)

    @property
    def checkpoint_items(self) -> dict[str, tf.Module]:
        """What a checkpoint of the model holds, by name."""
        return {"encoder": self.encoder, "masked_lm": self.masked_lm}

    def logits(self, features: dict[str, tf.Tensor], *, masks: Dropout | None = None) -> tf.Tensor:
        """Scores of each piece at the predicted positions, [B, P, V] in the compute type.

        Args:
          features: int32 `input_word_ids`, `input_mask`, `input_type_ids` [B, S] and
            `masked_lm_positions` [B, P]; all sizes but B must be static.
          masks: dropout of this batch; None computes without.
        """
        x_BPH = self.encoder.at_positions(features, features["masked_lm_positions"], masks=masks)
        return self.masked_lm(x_BPH, self.encoder.word_embeddings)


def variable_names(config: EncoderConfig) -> list[str]:
    """Names of the variables, without the memory for their values.

    Names depend on the number of layers only, so a model one unit wide a head has the same.
    """
    thin = dataclasses.replace(
        config, vocab_size=8, hidden_size=config.num_attention_heads, intermediate_size=1
    )
    return [variable.name for variable in Pretrainer(thin, seed=0).trainable_variables]


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
