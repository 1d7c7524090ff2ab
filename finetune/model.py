"""The encoder with the head of a task, and the loss as sums.

A label or number for a whole text is computed from the encoder's output at [CLS] by BERT's pooler and
a dense layer, so the last block is computed at [CLS] only. Labels of words and spans are computed
from the output at all positions by a dense layer alone. Outputs and gradients equal those of
tf-models' `BertClassifier`, `BertTokenClassifier` and `BertSpanLabeler` with the same weights.

Legend: B sequences, S positions, R positions with an output (1 or S), H hidden, C outputs of the
task.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from finetune.config import for_every_kind
from model.config import EncoderConfig
from model.dropout import Dropout, Mask
from model.encoder import Encoder
from model.layers import Dense, Initializer, add_bias, apply_dropout
from model.names import POOLER

Sums = tuple[tf.Tensor, tf.Tensor, tf.Tensor]
OUTPUT = "task/logits"  # the dense layer of every head


class Finetuner(tf.Module):
    """Encoder and head, to be trained by a `pretrain.train.trainer.Trainer`."""

    def __init__(
        self,
        config: EncoderConfig,
        *,
        kind: str,
        num_outputs: int,
        seed: int,
        dtype: tf.DType = tf.float32,
        rematerialize_blocks: bool = False,
        kernels: str | None = None,
    ):
        """Create the variables, float32, whose values depend on the seed only.

        Args:
          config: architecture of the encoder; vocab_size must be set.
          kind: kind of task: "classification", "regression", "tokens" or "spans".
          num_outputs: C.
          seed: seed of the initial weights.
          dtype: compute type, float32 or bfloat16; the last dense layer is always float32.
          rematerialize_blocks: gradient checkpointing: store only the inputs of the blocks, and
            recompute their activations in the backward pass.
          kernels: kind of device whose attention kernels training uses; see `Encoder`.
        """
        super().__init__()
        initializer = Initializer(seed, config.initializer_range)
        hidden = config.hidden_size
        self._config, self._head = config, HEADS[kind]
        self.encoder = Encoder(
            config,
            initializer,
            dtype,
            rematerialize_blocks=rematerialize_blocks,
            kernels=kernels,
        )
        self.pooler = None
        if self._head.is_pooled:
            self.pooler = Dense(hidden, hidden, initializer, POOLER.rstrip("/"), dtype)
        self.output = Dense(hidden, num_outputs, initializer, OUTPUT)

    @property
    def checkpoint_items(self) -> dict[str, tf.Module]:
        """The modules in a checkpoint of the model, by name."""
        items = {"encoder": self.encoder, "pooler": self.pooler, "output": self.output}
        return {name: module for name, module in items.items() if module is not None}

    def logits(
        self, features: dict[str, tf.Tensor], *, dropout: Dropout | None = None
    ) -> tf.Tensor:
        """Compute the outputs, float32: [B, C], or [B, S, C] for "tokens" and "spans".

        Args:
          features: int32 `input_word_ids`, `input_mask`, `input_type_ids` [B, S]; all sizes but B
            must be static.
          dropout: dropout of this batch; None computes without.
        """
        if self.pooler is None:
            x_BRH = self.encoder.encode(features, dropout=dropout)
        else:
            first_B1 = tf.zeros_like(features["input_word_ids"][:, :1])
            x_BRH = self.encoder.encode(features, dropout=dropout, positions_BP=first_B1)
            x_BRH = tf.tanh(add_bias(self.pooler.project(x_BRH), self.pooler.bias))
        if self._head.has_dropout:
            x_BRH = apply_dropout(x_BRH, self._mask(x_BRH.shape[1], dropout))
        logits_BRC = add_bias(self.output.project(tf.cast(x_BRH, tf.float32)), self.output.bias)
        return logits_BRC if self.pooler is None else logits_BRC[:, 0]

    def sums(self, features: dict[str, tf.Tensor], *, dropout: Dropout | None) -> Sums:
        """Compute loss, correct predictions and weights, summed over a batch.

        Args:
          features: inputs as for `logits`, and the targets of the task (finetune/tasks/task.py).
          dropout: dropout of this batch; None computes without.
        """
        return self._head.sums(self.logits(features, dropout=dropout), features)

    def eval_outputs(self, features: dict[str, tf.Tensor]) -> tf.Tensor:
        """Compute `logits` without dropout."""
        return self.logits(features)

    def _mask(self, rows: int, dropout: Dropout | None) -> Mask | None:
        if dropout is None:
            return None
        return dropout.hidden_mask(
            self.encoder.num_sites,
            self._config.hidden_dropout_prob,
            rows_BR=tf.range(rows)[None],
            columns=self._config.hidden_size,
        )


def _classification_sums(logits_BC: tf.Tensor, features: Mapping[str, tf.Tensor]) -> Sums:
    """Sum cross-entropy in nats and correct predictions over sequences."""
    label_B = features["label_ids"]
    return _sums(*_loss_and_correct(logits_BC, label_B), tf.ones(tf.shape(label_B)))


def _regression_sums(values_B1: tf.Tensor, features: Mapping[str, tf.Tensor]) -> Sums:
    """Sum squared errors over sequences; correct predictions are not counted and stay 0."""
    error_B = tf.square(values_B1[:, 0] - features["label_values"])
    return _sums(error_B, tf.zeros_like(error_B), tf.ones_like(error_B))


def _token_sums(logits_BSC: tf.Tensor, features: Mapping[str, tf.Tensor]) -> Sums:
    """Sum cross-entropy in nats and correct predictions over labelled positions."""
    return _sums(*_loss_and_correct(logits_BSC, features["label_ids"]), features["label_weights"])


def _span_sums(logits_BS2: tf.Tensor, features: Mapping[str, tf.Tensor]) -> Sums:
    """Sum the mean cross-entropy in nats of start and end, over sequences; correct if both are."""
    start_loss_B, start_correct_B = _loss_and_correct(
        logits_BS2[..., 0], features["start_positions"]
    )
    end_loss_B, end_correct_B = _loss_and_correct(logits_BS2[..., 1], features["end_positions"])
    loss_B = (start_loss_B + end_loss_B) / 2
    return _sums(loss_B, start_correct_B * end_correct_B, tf.ones_like(loss_B))


def _loss_and_correct(logits: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return cross-entropy in nats, and 1 where the prediction is correct; float32, labels' shape."""
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    prediction = tf.argmax(logits, axis=-1, output_type=labels.dtype)
    return loss, tf.cast(prediction == labels, tf.float32)


def _sums(loss: tf.Tensor, correct: tf.Tensor, weights: tf.Tensor) -> Sums:
    return tf.reduce_sum(loss * weights), tf.reduce_sum(correct * weights), tf.reduce_sum(weights)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Head:
    """Head and loss of a kind of task.

    Attributes:
      is_pooled: whether outputs are computed from the pooled output at [CLS], not at all positions.
      has_dropout: whether there is dropout before the last dense layer.
      sums: function from outputs and features to sums of loss, correct predictions and weights.
    """

    is_pooled: bool
    has_dropout: bool = True
    sums: Callable[[tf.Tensor, Mapping[str, tf.Tensor]], Sums]


HEADS = for_every_kind(
    "finetune.model.HEADS",
    {
        "classification": Head(is_pooled=True, sums=_classification_sums),
        "regression": Head(is_pooled=True, sums=_regression_sums),
        "tokens": Head(is_pooled=False, sums=_token_sums),
        # No dropout, as in BERT and tf-models.
        "spans": Head(is_pooled=False, has_dropout=False, sums=_span_sums),
    },
)


def mean_loss(kind: str, outputs: np.ndarray, features: Mapping[str, np.ndarray]) -> float:
    """Return the training loss of outputs for a whole split.

    Args:
      kind: kind of task.
      outputs: outputs of the model, float32 [N, ...].
      features: arrays of the split, including the targets of the task.
    """
    loss, _, weight = HEADS[kind].sums(tf.constant(outputs), features)
    return float(loss / weight)
