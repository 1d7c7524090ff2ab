"""The encoder: BERT's post-LN Transformer (https://arxiv.org/abs/1810.04805).

Outputs equal those of tf-models' `BertEncoderV2` with the same weights, and the variables have its names
(model/weights.py copies them). There are three differences: dropout is a pure function
(model/dropout.py); training computes the last block at predicted positions only, since no other outputs
are used; and there is no pooler, since the MLM loss does not train it.

Legend: B sequences, S positions, P predictions, R output positions of a block (S, or P in the last
block), H hidden, A heads, D = H / A, F feed-forward, T attended positions, K segment types.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from model.attention import attention, attention_weights
from model.config import EncoderConfig, lookup
from model.dropout import Dropout, Mask
from model.layers import (
    Dense,
    Initializer,
    LayerNorm,
    add_bias,
    apply_dropout,
    bias_dropout_add,
    bias_gelu,
    matmul,
)
from model.rematerialize import rematerialize

# Dropout sites: one after the embeddings, then three per block.
_EMBEDDINGS, _WEIGHTS, _ATTENTION, _FEED_FORWARD = 0, 1, 2, 3
_SITES_PER_BLOCK = 3
_MASKED = -1e9  # added to the scores of padding, as in tf-models


class Block(tf.Module):
    """Self-attention and feed-forward, each followed by dropout, residual and LayerNorm."""

    def __init__(
        self,
        config: EncoderConfig,
        index: int,
        initializer: Initializer,
        name: str,
        dtype: tf.DType,
        kernels: str | None = None,
    ):
        super().__init__()
        self._kernels = kernels
        hidden, inner = config.hidden_size, config.intermediate_size
        self._config, self._first_site = config, index * _SITES_PER_BLOCK
        attention_name = f"{name}/self_attention"
        dense = functools.partial(Dense, initializer=initializer, dtype=dtype)
        self.query = dense(hidden, hidden, name=f"{attention_name}/query")
        self.key = dense(hidden, hidden, name=f"{attention_name}/key")
        self.value = dense(hidden, hidden, name=f"{attention_name}/value")
        self.attention_output = dense(hidden, hidden, name=f"{attention_name}/attention_output")
        self.attention_norm = LayerNorm(hidden, f"{name}/self_attention_layer_norm")
        self.intermediate = dense(hidden, inner, name=f"{name}/intermediate")
        self.output = dense(inner, hidden, name=f"{name}/output")
        self.output_norm = LayerNorm(hidden, f"{name}/output_layer_norm")

    def __call__(
        self,
        x_BSH: tf.Tensor,
        bias_B11T: tf.Tensor,
        *,
        dropout: Dropout | None,
        positions_BP: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Return the block's output at all positions, or at the given ones.

        Args:
          x_BSH: input, in the compute type.
          bias_B11T: bias of the attention scores, in the compute type.
          dropout: dropout masks of this batch; None computes without dropout.
          positions_BP: output positions, int32; None means all. Keys and values are always computed at
            all positions.

        Returns:
          Output in the compute type, [B, S, H] or [B, P, H].
        """
        residual_BRH, rows_BR = x_BSH, tf.range(x_BSH.shape[1])[None]
        if positions_BP is not None:
            residual_BRH, rows_BR = gather_rows(x_BSH, positions_BP), positions_BP
        attended_BRH = self._attend(residual_BRH, x_BSH, bias_B11T, positions_BP, dropout)
        y_BRH = bias_dropout_add(
            residual_BRH,
            self.attention_output.project(attended_BRH),
            self.attention_output.bias,
            self._mask(_ATTENTION, rows_BR, dropout),
        )
        y_BRH = self.attention_norm(y_BRH, x_BSH.dtype)
        inner_BRF = bias_gelu(
            self.intermediate.project(y_BRH),
            self.intermediate.bias,
            self._config.hidden_activation,
        )
        z_BRH = bias_dropout_add(
            y_BRH,
            self.output.project(inner_BRF),
            self.output.bias,
            self._mask(_FEED_FORWARD, rows_BR, dropout),
        )
        return self.output_norm(z_BRH, x_BSH.dtype)

    def attention_weights(self, x_BSH: tf.Tensor, bias_B11T: tf.Tensor) -> tf.Tensor:
        """Return the attention weights of all heads, float32 [B, A, S, T]; see `__call__`."""
        q_BASD, k_BATD = self._heads(self.query, x_BSH), self._heads(self.key, x_BSH)
        return attention_weights(q_BASD, k_BATD, bias_B11T)

    def _attend(
        self,
        x_BRH: tf.Tensor,
        x_BSH: tf.Tensor,
        bias_B11T: tf.Tensor,
        positions_BP: tf.Tensor | None,
        dropout: Dropout | None,
    ) -> tf.Tensor:
        """Return the concatenated outputs of the heads, [B, R, H]."""
        mask = kernels = None
        if dropout is not None:
            mask = dropout.attention_probs_mask(
                self._first_site + _WEIGHTS,
                self._config.attention_probs_dropout_prob,
                rows_BR=positions_BP,
                columns=x_BSH.shape[1],
                heads=self._config.num_attention_heads,
            )
            if positions_BP is None:
                kernels = self._kernels
        q_BARD = self._heads(self.query, x_BRH)
        k_BATD, v_BATD = self._heads(self.key, x_BSH), self._heads(self.value, x_BSH)
        y_BARD = attention(q_BARD, k_BATD, v_BATD, bias_B11T, mask, kernels=kernels)
        _, heads, rows, size = y_BARD.shape
        return tf.reshape(tf.transpose(y_BARD, [0, 2, 1, 3]), [-1, rows, heads * size])

    def _heads(self, dense: Dense, x_BRH: tf.Tensor) -> tf.Tensor:
        """Project and split into heads, [B, A, R, D]."""
        y_BRH = add_bias(dense.project(x_BRH), dense.bias)
        heads = self._config.num_attention_heads
        _, rows, hidden = y_BRH.shape
        y_BRAD = tf.reshape(y_BRH, [-1, rows, heads, hidden // heads])
        return tf.transpose(y_BRAD, [0, 2, 1, 3])

    def _mask(self, site: int, rows_BR: tf.Tensor, dropout: Dropout | None) -> Mask | None:
        if dropout is None:
            return None
        return dropout.hidden_mask(
            self._first_site + site,
            self._config.hidden_dropout_prob,
            rows_BR=rows_BR,
            columns=self._config.hidden_size,
        )


class Encoder(tf.Module):
    """Embeddings and blocks, with float32 variables. All sizes but B must be static."""

    def __init__(
        self,
        config: EncoderConfig,
        initializer: Initializer,
        dtype: tf.DType,
        *,
        rematerialize_blocks: bool = False,
        kernels: str | None = None,
    ):
        """Create the variables.

        Args:
          config: architecture; vocab_size must be known.
          initializer: initializer of kernels and embedding tables.
          dtype: compute type, float32 or bfloat16.
          rematerialize_blocks: whether `encode` keeps only the inputs of blocks for the backward pass,
            and recomputes the rest.
          kernels: kind of device whose attention kernels training uses, in blocks at all positions; None
            leaves attention to XLA or a library. See `model.attention.attention`.

        Raises:
          ValueError: unknown position encoding.
        """
        super().__init__()
        self._config, self._dtype = config, dtype
        self._rematerialize_blocks = rematerialize_blocks
        self._positions = lookup(
            POSITION_ENCODINGS, config.position_encoding, "EncoderConfig.position_encoding"
        )
        hidden = config.hidden_size

        def table(rows: int, name: str) -> tf.Variable:
            return tf.Variable(initializer([rows, hidden]), name=f"encoder/{name}/embeddings")

        self.word_embeddings = table(config.vocab_size, "word_embeddings")
        if self._positions.has_table:
            self.position_embeddings = table(config.max_position_embeddings, "position_embedding")
        self.type_embeddings = table(config.type_vocab_size, "type_embeddings")
        self.embeddings_norm = LayerNorm(hidden, "encoder/embeddings/layer_norm")
        self.blocks = [
            Block(config, i, initializer, f"encoder/transformer/layer_{i}", dtype, kernels)
            for i in range(config.num_hidden_layers)
        ]

    def __call__(self, features: dict[str, tf.Tensor]) -> dict[str, Any]:
        """Compute the outputs of all blocks at all positions, without dropout.

        Args:
          features: int32 `input_word_ids`, `input_mask` and `input_type_ids`, [B, S].

        Returns:
          `encoder_outputs`, one [B, S, H] in the compute type per block, and the last of them as
          `sequence_output`.
        """
        x_BSH, bias_B11T = self._embed(features, dropout=None), self._attention_bias(features)
        outputs = []
        for block in self.blocks:
            x_BSH = block(x_BSH, bias_B11T, dropout=None)
            outputs.append(x_BSH)
        return {"sequence_output": x_BSH, "encoder_outputs": outputs}

    def encode(
        self,
        features: dict[str, tf.Tensor],
        *,
        dropout: Dropout | None,
        positions_BP: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Return the output of the last block at all positions, or at the given ones.

        Args:
          features: see `__call__`.
          dropout: dropout masks of this batch; None computes without dropout.
          positions_BP: output positions, int32; None means all.

        Returns:
          Output in the compute type, [B, S, H] or [B, P, H].
        """
        x_BSH, bias_B11T = self._embed(features, dropout=dropout), self._attention_bias(features)
        for block in self.blocks:
            positions = positions_BP if block is self.blocks[-1] else None
            compute: Callable[[tf.Tensor], tf.Tensor] = functools.partial(
                block, bias_B11T=bias_B11T, dropout=dropout, positions_BP=positions
            )
            if self._rematerialize_blocks:
                compute = rematerialize(compute)
            x_BSH = compute(x_BSH)
        return x_BSH

    def attention_weights(self, features: dict[str, tf.Tensor]) -> list[tf.Tensor]:
        """Return the attention weights of each block, without dropout.

        Args:
          features: see `__call__`.

        Returns:
          One float32 [B, A, S, T] per block: how much position s of head a attends to position t; the sum
          over t is 1.
        """
        x_BSH, bias_B11T = self._embed(features, dropout=None), self._attention_bias(features)
        weights = []
        for block in self.blocks:
            weights.append(block.attention_weights(x_BSH, bias_B11T))
            x_BSH = block(x_BSH, bias_B11T, dropout=None)
        return weights

    @property
    def num_sites(self) -> int:
        """Number of dropout sites of the encoder; a head's own sites start at this number."""
        return 1 + len(self.blocks) * _SITES_PER_BLOCK

    def _embed(self, features: dict[str, tf.Tensor], *, dropout: Dropout | None) -> tf.Tensor:
        word_ids_BS = features["input_word_ids"]
        length = word_ids_BS.shape[1]
        x_BSH = self._positions.add(self, tf.gather(self.word_embeddings, word_ids_BS))
        # A product: the gradient of a gather from so few rows would be added up row by row.
        types_BSK = tf.one_hot(features["input_type_ids"], self._config.type_vocab_size)
        x_BSH += matmul(types_BSK, tf.convert_to_tensor(self.type_embeddings))
        x_BSH = self.embeddings_norm(x_BSH, self._dtype)
        rate, columns = self._config.hidden_dropout_prob, self._config.hidden_size
        rows_1S = tf.range(length)[None]
        mask = None
        if dropout is not None:
            mask = dropout.hidden_mask(_EMBEDDINGS, rate, rows_BR=rows_1S, columns=columns)
        return apply_dropout(x_BSH, mask)

    def _attention_bias(self, features: dict[str, tf.Tensor]) -> tf.Tensor:
        is_padding_BS = 1 - tf.cast(features["input_mask"], self._dtype)
        return is_padding_BS[:, None, None, :] * _MASKED


def gather_rows(x_BSH: tf.Tensor, positions_BP: tf.Tensor) -> tf.Tensor:
    """Return x[b, positions[b]] [B, P, H], as a product: exact, and its gradient needs no scatter."""
    one_hot_BPS = tf.one_hot(positions_BP, x_BSH.shape[1], dtype=x_BSH.dtype)
    return tf.matmul(one_hot_BPS, x_BSH)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PositionEncoding:
    """How the order of the input enters the encoder.

    Attributes:
      add: function of (encoder, x_BSH): the Encoder and the word embeddings, float32; it returns the sum of
        both.
      has_table: whether `encoder.position_embeddings`, a trained table [longest sequence, H], exists.
        Every trained variable needs a gradient: a table that `add` does not use is an error.
    """

    add: Callable[[Encoder, tf.Tensor], tf.Tensor]
    has_table: bool


def _add_absolute_positions(encoder: Encoder, x_BSH: tf.Tensor) -> tf.Tensor:
    """Add learned embeddings of absolute positions, as BERT does."""
    return x_BSH + encoder.position_embeddings[: x_BSH.shape[1]]


POSITION_ENCODINGS = {"absolute": PositionEncoding(add=_add_absolute_positions, has_table=True)}
