"""The fine-tuned model as a SavedModel that takes text and needs nobody's code to load.

Its encoder is tf-models', with our weights; text becomes its inputs by operations of tensorflow-text,
which are those of training. `serving_default` takes strings [B] and gives, by the kind of the task:

    classification   text (and pair) -> label [B], probabilities [B, C]
    regression       text (and pair) -> score [B]
    tokens           text, words parted by blanks -> labels [B, W] of the words, "" after the last
    spans            question, context -> answer [B], start [B] and end [B] in characters, score [B] of the
                     answer, null_odds [B]: by how much the score of no answer is higher

Legend: B texts, T tokens of one, S of a sequence, W words or windows, C labels, L lengths of answers.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_text as tf_text
import tf_keras

from data import schema
from data.vocab import Vocab
from finetune.config import TaskConfig
from finetune.model import OUTPUT
from model.config import EncoderConfig
from model.names import POOLER
from model.weights import assign, build_tf_models

_STRINGS = tf.TensorSpec([None], tf.string)
_FLOOR = tf.float32.min


class ServedModel(tf.Module):
    """Tokenizer, encoder and head; the root of the SavedModel."""

    def __init__(
        self,
        encoder: EncoderConfig,
        values: Mapping[str, np.ndarray],
        *,
        vocab: Vocab,
        lower_case: bool,
    ):
        """Builds tf-models' encoder.

        Args:
          encoder: the architecture.
          values: all weights by name, those of the head included.
          vocab: the vocabulary.
          lower_case: as in training.
        """
        super().__init__()
        tf_keras.mixed_precision.set_global_policy("float32")
        network = build_tf_models(encoder, seed=0).encoder_network
        inner = {name: value for name, value in values.items() if not name.startswith(OUTPUT)}
        assign(network, inner)
        # The variables alone belong to the model: a network of Keras would bring its classes along.
        self.encoder_variables = network.trainable_variables
        self.kernel = tf.Variable(values[f"{OUTPUT}/kernel"], name=f"{OUTPUT}/kernel")
        self.bias = tf.Variable(values[f"{OUTPUT}/bias"], name=f"{OUTPUT}/bias")
        self._output_name = "pooled_output" if f"{POOLER}kernel" in values else "sequence_output"
        self._network = _Hidden(network)
        self._tokenizer = tf_text.FastBertTokenizer(
            list(vocab.pieces),
            token_out_type=tf.int32,
            unknown_token=schema.UNK,
            lower_case_nfd_strip_accents=lower_case,
        )
        self._cls, self._sep, self._pad, self._unk = (
            vocab.ids[name] for name in (schema.CLS, schema.SEP, schema.PAD, schema.UNK)
        )

    def logits(self, *segments: tf.RaggedTensor) -> tf.Tensor:
        """Outputs of the head, float32 [B, C] or [B, S, C], for ids [B, T] of one or two segments.

        They must fit the encoder, [CLS] and every [SEP] included.
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

    def tokens(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Ids [B, T] without special tokens."""
        return self._tokenizer.tokenize(texts)

    def tokens_with_offsets(self, texts: tf.Tensor) -> tuple[tf.RaggedTensor, ...]:
        """Ids, and first byte and byte after the last of each, [B, T]."""
        return self._tokenizer.tokenize_with_offsets(texts)

    @property
    def unknown(self) -> int:
        """Id of what no piece stands for."""
        return self._unk


class _Hidden:
    """Keeps an object from being tracked as part of the model."""

    def __init__(self, call: Any):
        self.call = call


def save(
    path: str | os.PathLike,
    model: ServedModel,
    config: TaskConfig,
    *,
    kind: str,
    labels: Sequence[str],
    has_pair: bool,
    null_threshold: float,
    vocab_file: str | os.PathLike,
) -> None:
    """Writes the SavedModel.

    Args:
      path: directory to write.
      model: built.
      config: of the task: how its text is cut.
      kind: of the task.
      labels: of the outputs; they become the attribute `labels`.
      has_pair: whether two texts belong together.
      null_threshold: of SQuAD 2.0; infinite where every question has an answer.
      vocab_file: becomes an asset.
    """
    if kind == "spans":
        from finetune.export.spans import span_signature

        serve = span_signature(model, config, null_threshold)
    elif kind == "tokens":
        serve = _token_signature(model, config, labels)
    else:
        serve = _sentence_signature(model, config, labels, has_pair=has_pair)
    model.serve = serve
    model.labels = tf.constant(list(labels), tf.string)
    model.vocab_file = tf.saved_model.Asset(os.fspath(vocab_file))
    tf.saved_model.save(model, os.fspath(path), signatures={"serving_default": serve})


def _sentence_signature(
    model: ServedModel, config: TaskConfig, labels: Sequence[str], *, has_pair: bool
):
    def outputs(*texts: tf.Tensor) -> dict[str, tf.Tensor]:
        segments = [model.tokens(text) for text in texts]
        room = config.max_seq_length - 1 - len(segments)
        logits_BC = model.logits(*_trimmed(segments, room))
        if not labels:
            return {"score": logits_BC[:, 0]}
        label_B = tf.gather(tf.constant(list(labels)), tf.argmax(logits_BC, axis=-1))
        return {"label": label_B, "probabilities": tf.nn.softmax(logits_BC)}

    if has_pair:

        @tf.function(input_signature=[_STRINGS, _STRINGS])
        def serve(text, pair):
            return outputs(text, pair)
    else:

        @tf.function(input_signature=[_STRINGS])
        def serve(text):
            return outputs(text)

    return serve


def _trimmed(segments: Sequence[tf.RaggedTensor], room: int) -> list[tf.RaggedTensor]:
    """Segments that fit, cut as `finetune.tasks.sequences.trim_pairs` does."""
    if len(segments) == 1:
        return [segments[0][:, :room]]
    first_B, second_B = (segment.row_lengths() for segment in segments)
    half = room // 2
    lengths = (
        tf.minimum(first_B, tf.maximum(room - second_B, room - half)),
        tf.minimum(second_B, tf.maximum(room - first_B, half)),
    )
    return [_first_of_rows(*pair) for pair in zip(segments, lengths, strict=True)]


def _first_of_rows(ids: tf.RaggedTensor, length_B: tf.Tensor) -> tf.RaggedTensor:
    """So many of the first values of each row."""
    place = tf.ragged.range(ids.row_lengths())
    is_kept = place.values < tf.gather(length_B, place.value_rowids())
    return tf.ragged.boolean_mask(ids, place.with_values(is_kept))


def _token_signature(model: ServedModel, config: TaskConfig, labels: Sequence[str]):
    room = config.max_seq_length - 2

    @tf.function(input_signature=[_STRINGS])
    def serve(text):
        words = tf.strings.split(text)  # [B, W]
        # One word more, in a text of its own: with it there is something to compute in any case.
        all_words = tf.concat([words.values, [schema.UNK]], axis=0)
        text_of_W = tf.concat([words.value_rowids(), [words.nrows()]], axis=0)
        pieces_WT = model.tokens(all_words)[:, :room]
        # A word of invisible characters alone has no piece, and yet gets a label: see TokenTask.
        is_empty_W = pieces_WT.row_lengths() == 0
        unknown_WT = tf.RaggedTensor.from_row_lengths(
            tf.fill([tf.math.count_nonzero(is_empty_W, dtype=tf.int32)], model.unknown),
            tf.cast(is_empty_W, tf.int64),
        )
        pieces_WT = tf.concat([pieces_WT, unknown_WT], axis=1)
        lengths_W = pieces_WT.row_lengths()
        sequence_W, before_W = _fill_sequences(lengths_W, text_of_W, room)
        by_sequence = tf.RaggedTensor.from_value_rowids(pieces_WT, sequence_W)
        logits_NSC = model.logits(by_sequence.merge_dims(1, 2))
        # The first piece of a word speaks for it; [CLS] comes before all.
        places_W2 = tf.stack([sequence_W, before_W + 1], axis=1)[:-1]
        best_W = tf.argmax(tf.gather_nd(logits_NSC, places_W2), axis=-1)
        return {
            "labels": words.with_values(tf.gather(tf.constant(list(labels)), best_W)).to_tensor()
        }

    return serve


def _fill_sequences(
    lengths_W: tf.Tensor, text_of_W: tf.Tensor, room: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Sequence of each word, as `finetune.tasks.token` divides texts, and the pieces before it there."""

    def place(state, word):
        (sequence, before, length, text), (new_length, new_text) = state, word
        filled = before + length
        is_new = (new_text != text) | (filled + new_length > room)
        return (
            sequence + tf.cast(is_new, tf.int64),
            tf.where(is_new, tf.constant(0, tf.int64), filled),
            new_length,
            new_text,
        )

    first = tuple(tf.constant(value, tf.int64) for value in (-1, 0, 0, -1))
    sequence_W, before_W, _, _ = tf.scan(place, (lengths_W, text_of_W), initializer=first)
    return sequence_W, before_W
