"""What fine-tuning trains: the encoder with a head, and its loss as sums.

A label or number for a whole text is read off the output at [CLS], so the last block is computed
there only: first BERT's pooler, then a dense layer. Words and spans are read off all positions by a
dense layer alone. Numbers and gradients are those of tf-models' `BertClassifier`,
`BertTokenClassifier` and `BertSpanLabeler` with the same weights.

Legend: B sequences, S positions, H hidden, C outputs of the task.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from model.config import EncoderConfig
from model.dropout import Dropout
from model.encoder import Encoder
from model.layers import Dense, Initializer, add_bias, apply_dropout
from model.names import POOLER

Sums = tuple[tf.Tensor, tf.Tensor, tf.Tensor]
OUTPUT = "task/logits"  # the dense layer of every head


class Finetuner(tf.Module):
    """Encoder and head; what a `pretrain.train.trainer.Trainer` trains."""

    def __init__(
        self,
        config: EncoderConfig,
        *,
        kind: str,
        num_outputs: int,
        seed: int,
        dtype: tf.DType = tf.float32,
        rematerialize_blocks: bool = False,
    ):
        """Makes the variables, float32, the same ones for a seed.

        Args:
          config: the architecture; vocab_size must be known.
          kind: of the task: "classification", "regression", "tokens" or "spans".
          num_outputs: C.
          seed: of the initial weights.
          dtype: compute type, float32 or bfloat16; the last dense layer is float32 in any case.
          rematerialize_blocks: keep the inputs of blocks alone for the backward pass.
        """
        super().__init__()
        initializer = Initializer(seed, config.initializer_range)
        hidden = config.hidden_size
        self._config, self._kind = config, kind
        self.encoder = Encoder(
            config, initializer, dtype, rematerialize_blocks=rematerialize_blocks
        )
        self.pooler = None
        if kind in ("classification", "regression"):
            self.pooler = Dense(hidden, hidden, initializer, POOLER.rstrip("/"), dtype)
        self.output = Dense(hidden, num_outputs, initializer, OUTPUT)

    @property
    def checkpoint_items(self) -> dict[str, tf.Module]:
        """What a checkpoint of the model holds, by name."""
        items = {"encoder": self.encoder, "pooler": self.pooler, "output": self.output}
        return {name: module for name, module in items.items() if module is not None}

    def logits(
        self, features: dict[str, tf.Tensor], *, dropout: Dropout | None = None
    ) -> tf.Tensor:
        """Outputs, float32: [B, C], or [B, S, C] for "tokens" and "spans".

        Args:
          features: int32 `input_word_ids`, `input_mask`, `input_type_ids` [B, S]; all sizes but B
            must be static.
          dropout: dropout of this batch; None computes without.
        """
        if self.pooler is None:
            x_BRH = self.encoder.at_all_positions(features, dropout=dropout)
        else:
            first_B1 = tf.zeros_like(features["input_word_ids"][:, :1])
            x_BRH = self.encoder.at_positions(features, first_B1, dropout=dropout)
            x_BRH = tf.tanh(add_bias(self.pooler.project(x_BRH), self.pooler.bias))
        if self._kind != "spans":  # whose head has no dropout, in BERT as in tf-models
            x_BRH = apply_dropout(x_BRH, self._mask(x_BRH.shape[1], dropout))
        logits_BRC = add_bias(self.output.project(tf.cast(x_BRH, tf.float32)), self.output.bias)
        return logits_BRC if self.pooler is None else logits_BRC[:, 0]

    def sums(self, features: dict[str, tf.Tensor], *, dropout: Dropout | None) -> Sums:
        """Loss, right answers and their number, summed over a batch: see `LOSSES`.

        Args:
          features: as for `logits`, and the targets of the task (finetune/tasks/task.py).
          dropout: dropout of this batch; None computes without.
        """
        return LOSSES[self._kind](self.logits(features, dropout=dropout), features)

    def eval_outputs(self, features: dict[str, tf.Tensor]) -> tf.Tensor:
        """`logits` without dropout."""
        return self.logits(features)

    def _mask(self, rows: int, dropout: Dropout | None):
        return dropout and dropout.hidden_mask(
            self.encoder.num_sites,
            self._config.hidden_dropout_prob,
            rows_BR=tf.range(rows)[None],
            columns=self._config.hidden_size,
        )


def _classification_sums(logits_BC: tf.Tensor, features: dict[str, tf.Tensor]) -> Sums:
    """Cross-entropy in nats and right first guesses, of each sequence."""
    label_B = features["label_ids"]
    return _sums(*_answers(logits_BC, label_B), tf.ones(tf.shape(label_B)))


def _regression_sums(values_B1: tf.Tensor, features: dict[str, tf.Tensor]) -> Sums:
    """Squared error of each sequence; no answer is simply right."""
    error_B = tf.square(values_B1[:, 0] - features["label_values"])
    return _sums(error_B, tf.zeros_like(error_B), tf.ones_like(error_B))


def _token_sums(logits_BSC: tf.Tensor, features: dict[str, tf.Tensor]) -> Sums:
    """Cross-entropy in nats and right first guesses, of each labelled position."""
    return _sums(*_answers(logits_BSC, features["label_ids"]), features["label_weights"])


def _span_sums(logits_BS2: tf.Tensor, features: dict[str, tf.Tensor]) -> Sums:
    """Mean cross-entropy in nats of start and end over all positions; right if both are."""
    start_loss_B, start_right_B = _answers(logits_BS2[..., 0], features["start_positions"])
    end_loss_B, end_right_B = _answers(logits_BS2[..., 1], features["end_positions"])
    loss_B = (start_loss_B + end_loss_B) / 2
    return _sums(loss_B, start_right_B * end_right_B, tf.ones_like(loss_B))


def _answers(logits: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Cross-entropy in nats, and 1 for a right first guess; float32 of the labels' shape."""
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    guess = tf.argmax(logits, axis=-1, output_type=labels.dtype)
    return loss, tf.cast(guess == labels, tf.float32)


def _sums(loss: tf.Tensor, correct: tf.Tensor, weights: tf.Tensor) -> Sums:
    return tf.reduce_sum(loss * weights), tf.reduce_sum(correct * weights), tf.reduce_sum(weights)


# By the kind of the task: outputs and features to sums of loss, right answers and weights.
LOSSES = {
    "classification": _classification_sums,
    "regression": _regression_sums,
    "tokens": _token_sums,
    "spans": _span_sums,
}


def mean_loss(kind: str, outputs: np.ndarray, features: Mapping[str, np.ndarray]) -> float:
    """The loss of outputs for a whole split, as training has it.

    Args:
      kind: of the task.
      outputs: of the model, float32 [N, ...].
      features: of the split, with the targets of the task.
    """
    loss, _, weight = LOSSES[kind](tf.constant(outputs), features)
    return float(loss / weight)
