"""The model of an export: tokenizer, tf-models' encoder with our weights, and the head of a task.

Legend: B texts, T tokens of a segment, S tokens of a sequence, C labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from data import schema
from data.vocab import Vocab
from data.vocab.graph_tokenizer import GraphTokenizer
from finetune.model import OUTPUT
from model.config import EncoderConfig
from model.names import POOLER
from model.weights import assign, build_tf_models


class TextModel(tf.Module):
    """Tokenizer, encoder and head; the root object of the SavedModel."""

    def __init__(
        self,
        encoder: EncoderConfig,
        values: Mapping[str, np.ndarray],
        *,
        vocab: Vocab,
        lower_case: bool,
    ):
        """Build tf-models' encoder.

        Args:
          encoder: architecture of the encoder.
          values: weights of encoder and head, by name.
          vocab: vocabulary of the encoder.
          lower_case: whether text is lower-cased and stripped of accents.
        """
        super().__init__()
        tf_keras.mixed_precision.set_global_policy("float32")
        network = build_tf_models(encoder, seed=0).encoder_network
        assign(network, {n: value for n, value in values.items() if not n.startswith(OUTPUT)})
        # Only the variables are saved: a Keras network would need its classes to be loaded.
        self.encoder_variables = network.trainable_variables
        self.kernel = tf.Variable(values[f"{OUTPUT}/kernel"], name=f"{OUTPUT}/kernel")
        self.bias = tf.Variable(values[f"{OUTPUT}/bias"], name=f"{OUTPUT}/bias")
        self._output_name = "pooled_output" if f"{POOLER}kernel" in values else "sequence_output"
        self._network = _Untracked(network)
        self._tokenizer = GraphTokenizer(vocab.pieces, lower_case=lower_case)
        self._cls, self._sep, self._pad, self._unk = (
            vocab.ids[name] for name in (schema.CLS, schema.SEP, schema.PAD, schema.UNK)
        )

    def logits(self, *segments: tf.RaggedTensor) -> tf.Tensor:
        """Compute outputs of the head, float32 [B, C], or [B, S, C] without a pooler.

        Args:
          segments: token ids [B, T] of one or two segments. They must fit into a sequence of the
            encoder with [CLS] and one [SEP] each.
        """
        num_rows = segments[0].nrows()
        cls_B1, sep_B1 = (tf.fill([num_rows, 1], token) for token in (self._cls, self._sep))
        first = tf.concat([cls_B1, segments[0], sep_B1], axis=1)
        parts = [first, *(tf.concat([ids, sep_B1], axis=1) for ids in segments[1:])]
        types = [tf.ones_like(ids) * number for number, ids in enumerate(parts)]
        ids = tf.concat(parts, axis=1)
        features = {
            "input_word_ids": ids.to_tensor(self._pad),
            "input_mask": tf.ones_like(ids).to_tensor(),
            "input_type_ids": tf.concat(types, axis=1).to_tensor(),
        }
        hidden = self._network.call(features, training=False)[self._output_name]
        return tf.tensordot(hidden, self.kernel, axes=1) + self.bias

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Return token ids [B, T], without special tokens."""
        return self._tokenizer.tokenize(texts)

    def tokenize_with_offsets(self, texts: tf.Tensor) -> tuple[tf.RaggedTensor, ...]:
        """Return ids, first byte, and byte after the last one of each token, [B, T] each."""
        return self._tokenizer.tokenize_with_offsets(texts)

    @property
    def unknown_id(self) -> int:
        """Id of [UNK]."""
        return self._unk


class _Untracked:
    """Holds an object that TensorFlow must not track as part of the model."""

    def __init__(self, call: Any):
        self.call = call
