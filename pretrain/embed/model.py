"""From strings to vectors in one graph: tokenizer, encoder, pooling.

Legend: N texts, T tokens of a text, S tokens of the longest one with [CLS] and [SEP], H hidden.
"""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import tensorflow as tf
import tf_keras

from data import schema
from data.vocab.graph_tokenizer import GraphTokenizer
from model.names import weights
from model.weights import assign, build_tf_models
from pretrain.convert.common import ImportedBert
from pretrain.embed.source import EmbeddingSettings, check_length

_SMALLEST_NORM = 1e-12  # as in PyTorch's `normalize`


class Embedder(tf.Module):
    """Embeds texts; the root object of the SavedModel."""

    def __init__(self, imported: ImportedBert, settings: EmbeddingSettings):
        """Build tf-models' encoder, which takes sequences of any length, with the weights.

        Args:
          imported: weights, vocabulary and case of the encoder; its head and pooler are not used.
          settings: how its outputs become vectors.

        Raises:
          UserError: the encoder does not take texts of settings.max_length tokens.
        """
        super().__init__()
        encoder, vocab = imported.encoder, imported.vocab
        self.max_length = check_length(settings.max_length, encoder.max_position_embeddings)
        self.hidden_size, self._settings = encoder.hidden_size, settings
        tf_keras.mixed_precision.set_global_policy("float32")
        network = build_tf_models(encoder, seed=0).encoder_network
        names = [weight.name for weight in weights(encoder, "encoder")]
        assign(network, {name: imported.values[name] for name in names})
        # Only the variables are saved: a Keras network would need its classes to be loaded.
        self.encoder_variables = network.trainable_variables
        self._encode = _Untracked(network)
        self._tokenizer = GraphTokenizer(vocab.pieces, lower_case=imported.lower_case)
        self._cls, self._sep, self._pad = (
            vocab.ids[name] for name in (schema.CLS, schema.SEP, schema.PAD)
        )

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def embed(self, texts: tf.Tensor) -> dict[str, tf.Tensor]:
        """Embed strings [N]; an empty one is [CLS] [SEP].

        Returns:
          `embedding`, float32 [N, H], and `tokens`, int32 [N]: the length of each text before it was
          truncated, [CLS] and [SEP] included.
        """
        tokens_NT = self._tokenizer.tokenize(texts)
        lengths_N = tf.cast(tokens_NT.row_lengths(), tf.int32) + 2
        ones_N1 = tf.ones([tf.shape(texts)[0], 1], tf.int32)
        ids_NS = tf.concat(
            [self._cls * ones_N1, tokens_NT[:, : self.max_length - 2], self._sep * ones_N1], axis=1
        )
        mask_NS = tf.ones_like(ids_NS).to_tensor()
        features = {
            "input_word_ids": ids_NS.to_tensor(self._pad),
            "input_mask": mask_NS,
            "input_type_ids": tf.zeros_like(mask_NS),
        }
        hidden_NSH = self._encode.call(features, training=False)["sequence_output"]
        return {"embedding": pool(hidden_NSH, mask_NS, self._settings), "tokens": lengths_N}


def pool(hidden_NSH: tf.Tensor, mask_NS: tf.Tensor, settings: EmbeddingSettings) -> tf.Tensor:
    """Return one vector for each sequence, float32 [N, H].

    Args:
      hidden_NSH: outputs of the encoder.
      mask_NS: 1 for tokens, 0 for padding, which has no part in the vectors.
      settings: pooling and normalization.
    """
    if settings.pooling == "cls":
        vectors_NH = hidden_NSH[:, 0]
    else:
        mask_NS1 = tf.cast(mask_NS, tf.float32)[..., None]
        sums_NH = tf.reduce_sum(hidden_NSH * mask_NS1, axis=1)
        vectors_NH = sums_NH / tf.reduce_sum(mask_NS1, axis=1)
    if settings.normalize:
        vectors_NH /= tf.maximum(tf.norm(vectors_NH, axis=1, keepdims=True), _SMALLEST_NORM)
    return vectors_NH


def save(path: str | os.PathLike[str], embedder: Embedder, *, vocab_file: str) -> None:
    """Write a SavedModel that needs no code of ours to load.

    Its signature `serving_default` takes strings [N] as `text` and returns `embedding`, float32 [N, H].

    Args:
      path: output directory.
      embedder: model to save.
      vocab_file: vocabulary file; saved as an asset.
    """

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def serve(text: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"embedding": embedder.embed(text)["embedding"]}

    embedder.vocab_file = tf.saved_model.Asset(os.fspath(vocab_file))
    tf.saved_model.save(embedder, os.fspath(path), signatures={"serving_default": serve})


@dataclasses.dataclass
class _Untracked:
    """Holds an object that TensorFlow must not track as part of the model."""

    call: Any
