"""The masked language model: encoder, head, and loss sums, which training divides once and globally.

Legend: B sequences, S positions, P predictions per sequence, H hidden, V pieces of the vocabulary.
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
    """Dense, gelu and LayerNorm, then logits from the word embeddings and a bias per piece."""

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
        """Return logits [B, P, V] in the type of x."""
        x_BPH = self.transform(x_BPH)
        _, predictions, hidden = x_BPH.shape
        logits_NV = compute_logits(
            tf.reshape(x_BPH, [-1, hidden]),
            tf.cast(word_embeddings_VH, x_BPH.dtype),
            self.output_bias,
        )
        return tf.reshape(logits_NV, [-1, predictions, logits_NV.shape[-1]])

    def transform(self, x_BPH: tf.Tensor) -> tf.Tensor:
        """Return the vectors that are multiplied with the word embeddings, [B, P, H]."""
        x_BPH = bias_gelu(self.dense.project(x_BPH), self.dense.bias, self._activation)
        return self.norm(x_BPH, x_BPH.dtype)


class Pretrainer(tf.Module):
    """The model of pretraining; all its variables get a gradient from the MLM loss.

    Attribute names are the keys of checkpoints, such as `encoder/blocks/0/query/kernel`.
    """

    def __init__(
        self,
        config: EncoderConfig,
        *,
        seed: int,
        dtype: tf.DType = tf.float32,
        rematerialize_blocks: bool = False,
        logits_chunk_size: int = 0,
        kernels: str | None = None,
    ):
        """Create the float32 variables; their values follow from the seed.

        Args:
          config: architecture; vocab_size must be known.
          seed: seed of the initial weights.
          dtype: compute type, float32 or bfloat16.
          rematerialize_blocks: whether to keep only the inputs of blocks for the backward pass.
          logits_chunk_size: predictions whose logits are in memory at a time in training; 0 means all.
          kernels: kind of device whose attention kernels training uses; see `Encoder`.
        """
        super().__init__()
        initializer = Initializer(seed, config.initializer_range)
        self._logits_chunk_size = logits_chunk_size
        self.encoder = Encoder(
            config,
            initializer,
            dtype,
            rematerialize_blocks=rematerialize_blocks,
            kernels=kernels,
        )
        self.masked_lm = MLMHead(config, initializer, dtype)

    @property
    def checkpoint_items(self) -> dict[str, tf.Module]:
        """Modules to save in checkpoints, by name."""
        return {"encoder": self.encoder, "masked_lm": self.masked_lm}

    def logits(
        self, features: dict[str, tf.Tensor], *, dropout: Dropout | None = None
    ) -> tf.Tensor:
        """Return the logits at the predicted positions, [B, P, V] in the compute type.

        Args:
          features: int32 `input_word_ids`, `input_mask` and `input_type_ids` [B, S], and
            `masked_lm_positions` [B, P]; all sizes but B must be static.
          dropout: dropout masks of this batch; None computes without dropout.
        """
        x_BPH = self._encode(features, dropout)
        return self.masked_lm(x_BPH, self.encoder.word_embeddings)

    def sums(
        self, features: dict[str, tf.Tensor], *, dropout: Dropout | None
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return `mlm_sums` of a batch for training, with the logits in chunks if so configured.

        Args:
          features: features of `logits`, and `masked_lm_ids` and `masked_lm_weights` [B, P]. All sizes
            must be static if the logits are chunked.
          dropout: dropout masks of this batch; None computes without dropout.

        Returns:
          (loss_sum, correct_sum, weight_sum), float32 scalars; see `mlm_sums`.
        """
        ids_BP, weights_BP = features["masked_lm_ids"], features["masked_lm_weights"]
        chunk_size = self._logits_chunk_size
        if not 0 < chunk_size < (weights_BP.shape.num_elements() or 0):
            return mlm_sums(self.logits(features, dropout=dropout), ids_BP, weights_BP)
        x_BPH = self._encode(features, dropout)
        return mlm_sums_by_chunks(
            self.masked_lm.transform(x_BPH),
            self.encoder.word_embeddings,
            self.masked_lm.output_bias,
            ids_BP,
            weights_BP,
            chunk_size=chunk_size,
        )

    def eval_outputs(self, features: dict[str, tf.Tensor]) -> tf.Tensor:
        """Return sums over the predictions of each sequence, without dropout.

        Args:
          features: see `sums`.

        Returns:
          float32 [B, 2, 3]: sums of loss, correct predictions and predictions, first over all
          predictions of a sequence, then over those whose original token the input does not show.
        """
        ids_BP, weights_BP = features["masked_lm_ids"], features["masked_lm_weights"]
        loss_BP, correct_BP = mlm_terms(self.logits(features), ids_BP)
        input_BP = tf.gather(
            features["input_word_ids"], features["masked_lm_positions"], batch_dims=1
        )
        is_replaced_BP = tf.cast(tf.not_equal(input_BP, ids_BP), tf.float32)
        terms_3BP = tf.stack([loss_BP, correct_BP, tf.ones_like(loss_BP)])
        weights_2BP = tf.stack([weights_BP, weights_BP * is_replaced_BP])
        # Not a matrix product, which would be computed in bfloat16 on a TPU.
        return tf.transpose(tf.reduce_sum(weights_2BP[:, None] * terms_3BP, axis=-1), [2, 0, 1])

    def _encode(self, features: dict[str, tf.Tensor], dropout: Dropout | None) -> tf.Tensor:
        """Return the encoder's output at the predicted positions, [B, P, H]."""
        positions_BP = features["masked_lm_positions"]
        return self.encoder.encode(features, dropout=dropout, positions_BP=positions_BP)


def variable_names(config: EncoderConfig) -> list[str]:
    """Return the names of the variables without allocating their values.

    Names depend on the number of layers only, so a model with one unit per head has the same names.
    """
    thin = dataclasses.replace(
        config, vocab_size=8, hidden_size=config.num_attention_heads, intermediate_size=1
    )
    return [variable.name for variable in Pretrainer(thin, seed=0).trainable_variables]
