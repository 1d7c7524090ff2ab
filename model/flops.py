"""How much arithmetic a training step is: the matrix products that ours really computes.

A product of [m, k] and [k, n] is 2 m k n operations; everything else is left out, and so are
products with one-hot rows, which only choose. The backward pass makes two products of each. In a
sequence of S positions and P slots for predictions, with H hidden, F feed-forward, V pieces:

    a block                 8 S H^2 + 4 S^2 H + 4 S H F
    the last block          4 S H^2 + 4 P H^2 + 4 P S H + 4 P H F     the predicted positions only
    the head                2 P H^2 + 2 P H V
    training                3 times the sum

Slots and positions count whether they are used or padding: they are computed.
"""

from __future__ import annotations

from model.config import EncoderConfig


def training_flops(config: EncoderConfig, *, seq_length: int, max_predictions: int) -> int:
    """Floating-point operations of a training step, for each sequence of the batch.

    Args:
      config: the architecture; vocab_size must be known.
      seq_length: S.
      max_predictions: P.
    """
    s, p, h = seq_length, max_predictions, config.hidden_size
    f, v = config.intermediate_size, config.vocab_size
    block = 8 * s * h * h + 4 * s * s * h + 4 * s * h * f
    last_block = 4 * s * h * h + 4 * p * h * h + 4 * p * s * h + 4 * p * h * f
    head = 2 * p * h * h + 2 * p * h * v
    return 3 * ((config.num_hidden_layers - 1) * block + last_block + head)
