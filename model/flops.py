"""Arithmetic of a training step: the matrix products that the model computes.

A product of [m, k] and [k, n] is 2 m k n operations. Everything else is left out, and so are products
with one-hot rows, which only select. The backward pass computes two products for each. For a sequence of
S positions and P prediction slots, with hidden size H, feed-forward size F and V pieces:

    a block                 8 S H^2 + 4 S^2 H + 4 S H F
    the last block          4 S H^2 + 4 P H^2 + 4 P S H + 4 P H F     at predicted positions only
    the head                2 P H^2 + 2 P H V
    training                3 times the sum

Padding positions and unused slots count, because they are computed.
"""

from __future__ import annotations

from model.config import EncoderConfig


def training_flops(config: EncoderConfig, *, seq_length: int, max_predictions: int) -> int:
    """Return the floating-point operations of a training step per sequence of the batch.

    Args:
      config: architecture; vocab_size must be known.
      seq_length: S.
      max_predictions: P.
    """
    s, p, h = seq_length, max_predictions, config.hidden_size
    f, v = config.intermediate_size, config.vocab_size
    block = 8 * s * h * h + 4 * s * s * h + 4 * s * h * f
    last_block = 4 * s * h * h + 4 * p * h * h + 4 * p * s * h + 4 * p * h * f
    head = 2 * p * h * h + 2 * p * h * v
    return 3 * ((config.num_hidden_layers - 1) * block + last_block + head)
