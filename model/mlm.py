"""The masked language model: encoder, head, and the sums that training divides once and globally.

Legend: B sequences, S positions, P predictions in a sequence, H hidden, V pieces of the vocabulary.
"""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from model.config import EncoderConfig
from model.dropout import Dropout
from model.encoder import Encoder
from model.layers import Dense, Initializer, LayerNorm, bias_gelu
from model.loss import compute_logits, mlm_sums, mlm_sums_by_chunks, mlm_terms


class MLMHead(tf.Module):
    """Dense, gelu, LayerNorm, and logits against the word embeddings, plus a bias for each piece."""

    def __init__(self, config: EncoderConfig, initializer: Initializer, dtype: tf.DType):
        super().__init__()
        scope, hidden = "bert/cls/predictions", config.hidden_size
        self._activation = config.hidden_activation
        self.dense = Dense(hidden, hidden, initializer, f"{scope}/transform/dense", dtype)
        self.norm = LayerNorm(hidden, f"{scope}/transform/LayerNorm")
        self.output_bias = tf.Variable(
            tf.zeros([config.vocab_size]), name=f"{scope}/output_bias/bias"
        )

    def __call__(self, x_BPH: tf.Tensor, word_embeddings_VH: tf.Tensor) -> tf.Tensor:
        """Logits [B, P, V] in the type of x."""
        x_BPH = self.transform(x_BPH)
        _, predictions, hidden = x_BPH.shape
        logits_NV = compute_logits(
            tf.reshape(x_BPH, [-1, hidden]),
            tf.cast(word_embeddings_VH, x_BPH.dtype),
            self.output_bias,
        )
        return tf.reshape(logits_NV, [-1, predictions, logits_NV.shape[-1]])

    def transform(self, x_BPH: tf.Tensor) -> tf.Tensor:
        """What is compared with the embeddings of the pieces, [B, P, H]."""
        x_BPH = bias_gelu(self.dense.project(x_BPH), self.dense.bias, self._activation)
        return self.norm(x_BPH, x_BPH.dtype)


class Pretrainer(tf.Module):
    """What training trains: all its variables get a gradient from the MLM loss.

    Checkpoints name variables by their attributes: `encoder/blocks/0/query/kernel`.
    """

    def __init__(
        self,
        config: EncoderConfig,
        *,
        seed: int,
        dtype: tf.DType = tf.float32,
        rematerialize_blocks: bool = False,
        logits_chunk_size: int = 0,
    ):
        """Makes the variables, float32, the same ones for a seed.

        Args:
          config: the architecture; vocab_size must be known.
          seed: of the initial weights.
          dtype: compute type, float32 or bfloat16.
          rematerialize_blocks: keep the inputs of blocks alone for the backward pass.
          logits_chunk_size: predictions whose logits training holds at once; 0 means all.
        """
        super().__init__()
        initializer = Initializer(seed, config.initializer_range)
        self._logits_chunk_size = logits_chunk_size
        self.encoder = Encoder(
            config, initializer, dtype, rematerialize_blocks=rematerialize_blocks
        )
        self.masked_lm = MLMHead(config, initializer, dtype)

    @property
    def checkpoint_items(self) -> dict[str, tf.Module]:
        """What a checkpoint of the model holds, by name."""
        return {"encoder": self.encoder, "masked_lm": self.masked_lm}

    def logits(
        self, features: dict[str, tf.Tensor], *, dropout: Dropout | None = None
    ) -> tf.Tensor:
        """Scores of each piece at the predicted positions, [B, P, V] in the compute type.

        Args:
          features: int32 `input_word_ids`, `input_mask`, `input_type_ids` [B, S] and
            `masked_lm_positions` [B, P]; all sizes but B must be static.
          dropout: dropout of this batch; None computes without.
        """
        x_BPH = self.encoder.at_positions(
            features, features["masked_lm_positions"], dropout=dropout
        )
        return self.masked_lm(x_BPH, self.encoder.word_embeddings)

    def sums(
        self, features: dict[str, tf.Tensor], *, dropout: Dropout | None
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """`mlm_sums` of a batch, for training: within the limits on memory.

        Args:
          features: as for `logits`, and `masked_lm_ids`, `masked_lm_weights` [B, P]. All sizes must
            be static if there is a limit.
          dropout: dropout of this batch; None computes without.
        """
        ids_BP, weights_BP = features["masked_lm_ids"], features["masked_lm_weights"]
        chunk_size = self._logits_chunk_size
        if not 0 < chunk_size < (weights_BP.shape.num_elements() or 0):
            return mlm_sums(self.logits(features, dropout=dropout), ids_BP, weights_BP)
        x_BPH = self.encoder.at_positions(
            features, features["masked_lm_positions"], dropout=dropout
        )
        return mlm_sums_by_chunks(
            self.masked_lm.transform(x_BPH),
            self.encoder.word_embeddings,
            self.masked_lm.output_bias,
            ids_BP,
            weights_BP,
            chunk_size=chunk_size,
        )

    def eval_outputs(self, features: dict[str, tf.Tensor]) -> tf.Tensor:
        """Sums over the predictions of each sequence, without dropout.

        Args:
          features: as for `sums`.

        Returns:
          float32 [B, 2, 3]: sums of loss, right guesses and predictions, over all predictions of a
          sequence and over those whose piece the input does not show.
        """
        ids_BP, weights_BP = features["masked_lm_ids"], features["masked_lm_weights"]
        loss_BP, correct_BP = mlm_terms(self.logits(features), ids_BP)
        shown_BP = tf.gather(
            features["input_word_ids"], features["masked_lm_positions"], batch_dims=1
        )
        hidden_BP = tf.cast(tf.not_equal(shown_BP, ids_BP), tf.float32)
        terms_3BP = tf.stack([loss_BP, correct_BP, tf.ones_like(loss_BP)])
        counted_2BP = tf.stack([weights_BP, weights_BP * hidden_BP])
        # A product of matrices would be of bfloat16 on a TPU.
        return tf.transpose(tf.reduce_sum(counted_2BP[:, None] * terms_3BP, axis=-1), [2, 0, 1])


def variable_names(config: EncoderConfig) -> list[str]:
    """Names of the variables, without the memory for their values.

    Names depend on the number of layers only, so a model one unit wide a head has the same.
    """
    thin = dataclasses.replace(
        config, vocab_size=8, hidden_size=config.num_attention_heads, intermediate_size=1
    )
    return [variable.name for variable in Pretrainer(thin, seed=0).trainable_variables]
