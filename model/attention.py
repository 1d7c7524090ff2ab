"""Scaled dot-product attention with dropout, from queries, keys and values to the heads' outputs.

There are two implementations of the same function in TensorFlow. Where XLA compiles the whole step, it
fuses elementwise operations into the matrix products, and memory traffic decides: "compiler" saves passes
over [S, T]. Where products and the softmax are calls into a library (oneDNN, cuDNN), "library" leaves as
much as possible to those calls. In training, kernels written for it (model/kernels) can take the place of
"compiler": they never write [S, T] to memory.

Legend: B sequences, A heads, S query positions, T attended positions, D size of a head.
"""

from __future__ import annotations

import tensorflow as tf

from model.config import lookup
from model.dropout import Mask
from model.kernels.forms import KERNELS
from model.tracing import Gradient, compiled, in_compiled_step, recomputation_inputs


def attention(
    q_BASD: tf.Tensor,
    k_BATD: tf.Tensor,
    v_BATD: tf.Tensor,
    bias_B11T: tf.Tensor,
    mask: Mask | None,
    *,
    implementation: str | None = None,
    kernels: str | None = None,
) -> tf.Tensor:
    """Return dropout(softmax(q k' / sqrt(D) + bias)) v (https://arxiv.org/abs/1706.03762).

    The softmax gradient needs the sum over T of weights times their gradient. It equals the sum over D of
    the result times its gradient, which saves a pass over [S, T]. The backward pass recomputes the dropout
    mask.

    Args:
      q_BASD: queries, in the compute type.
      k_BATD: keys, in the compute type.
      v_BATD: values, in the compute type.
      bias_B11T: 0 for positions to attend to, very negative for others; in the compute type.
      mask: dropout mask of the weights [B, A, S, T]; None computes without dropout.
      implementation: key of IMPLEMENTATIONS; None takes `default_implementation`.
      kernels: kind of device, a key of KERNELS, whose kernels are to be used instead. They need a compiled
        step, as many queries as keys, and sizes without a `model.kernels.texts.problem`.

    Returns:
      Outputs of the heads [B, A, S, D], in the compute type.

    Raises:
      ValueError: unknown implementation or kind of device.
    """
    if kernels is not None:
        return lookup(KERNELS, kernels, "kernels")(q_BASD, k_BATD, v_BATD, bias_B11T, mask)
    name = implementation or default_implementation()
    compute = lookup(IMPLEMENTATIONS, name, "implementation")
    return compute(q_BASD, k_BATD, v_BATD, bias_B11T, mask)


def attention_weights(q_BASD: tf.Tensor, k_BATD: tf.Tensor, bias_B11T: tf.Tensor) -> tf.Tensor:
    """Return softmax(q k' / sqrt(D) + bias), float32 [B, A, S, T], to look at; see `attention`."""
    q_BASD, k_BATD, bias_B11T = (tf.cast(x, tf.float32) for x in (q_BASD, k_BATD, bias_B11T))
    scores_BAST = tf.matmul(q_BASD, k_BATD, transpose_b=True) * q_BASD.shape[-1] ** -0.5
    return tf.nn.softmax(scores_BAST + bias_B11T)


def default_implementation() -> str:
    """Return the faster implementation, by whether XLA compiles the whole step."""
    return "compiler" if in_compiled_step() else "library"


def _for_compiler(
    q_BASD: tf.Tensor,
    k_BATD: tf.Tensor,
    v_BATD: tf.Tensor,
    bias_B11T: tf.Tensor,
    mask: Mask | None,
) -> tf.Tensor:
    """Divide by the sums of the softmax after the last product: [S, D] is smaller than [S, T].

    The maximum is subtracted in the compute type, so that no float32 scores have to be kept.
    """
    dtype = q_BASD.dtype
    keep_probability = 1.0 if mask is None else mask.keep_probability

    def drop(x_BAST: tf.Tensor, mask: Mask | None) -> tf.Tensor:
        return x_BAST if mask is None else mask.apply(x_BAST)

    @tf.custom_gradient
    def call(q_BASD: tf.Tensor, k_BATD: tf.Tensor, v_BATD: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
        scores_BAST = tf.einsum("BASD,BATD->BAST", q_BASD, k_BATD) + bias_B11T
        shifted_BAST = scores_BAST - tf.reduce_max(scores_BAST, -1, keepdims=True)
        e_BAST = tf.exp(tf.cast(shifted_BAST, tf.float32))
        sum_BAS1 = tf.reduce_sum(e_BAST, -1, keepdims=True)
        y_BASD = tf.einsum("BAST,BATD->BASD", drop(tf.cast(e_BAST, dtype), mask), v_BATD)
        y_BASD = tf.cast(tf.cast(y_BASD, tf.float32) / (sum_BAS1 * keep_probability), dtype)

        def gradient(dy_BASD: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            same_mask = mask
            if mask is not None:
                row, dy_BASD = recomputation_inputs(mask.row, dy_BASD)
                same_mask = mask._replace(row=row)
            projection_BAS1 = tf.reduce_sum(
                tf.cast(dy_BASD, tf.float32) * tf.cast(y_BASD, tf.float32), -1, keepdims=True
            )
            weights_BAST = e_BAST * (1 / sum_BAS1)
            dropped_BAST = drop(tf.cast(weights_BAST, dtype), same_mask)
            ddropped_BAST = tf.einsum("BASD,BATD->BAST", dy_BASD, v_BATD)
            dweights_BAST = drop(tf.cast(ddropped_BAST, tf.float32), same_mask)
            dweights_BAST /= keep_probability
            dscores_BAST = tf.cast(weights_BAST * (dweights_BAST - projection_BAS1), dtype)
            # Not in bfloat16, where 0.9 is 0.8984: all gradients of values would be too large.
            scaled_dy_BASD = tf.cast(tf.cast(dy_BASD, tf.float32) / keep_probability, dtype)
            return (
                tf.einsum("BAST,BATD->BASD", dscores_BAST, k_BATD),
                tf.einsum("BAST,BASD->BATD", dscores_BAST, q_BASD),
                tf.einsum("BAST,BASD->BATD", dropped_BAST, scaled_dy_BASD),
            )

        return y_BASD, gradient

    scale = tf.constant(q_BASD.shape[-1] ** -0.5, dtype)
    return call(q_BASD * scale, k_BATD, v_BATD)


def _for_library(
    q_BASD: tf.Tensor,
    k_BATD: tf.Tensor,
    v_BATD: tf.Tensor,
    bias_B11T: tf.Tensor,
    mask: Mask | None,
) -> tf.Tensor:
    """Keep the weights before dropout for the backward pass."""
    scale = tf.constant(q_BASD.shape[-1] ** -0.5, q_BASD.dtype)

    @tf.custom_gradient
    def call(q_BASD: tf.Tensor, k_BATD: tf.Tensor, v_BATD: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
        # In this form oneDNN scales and adds inside the product.
        scores_BAST = tf.matmul(q_BASD, k_BATD, transpose_b=True) * scale + bias_B11T
        weights_BAST = tf.nn.softmax(scores_BAST)
        dropped_BAST = weights_BAST if mask is None else _drop(weights_BAST, mask)
        y_BASD = tf.matmul(dropped_BAST, v_BATD)

        def gradient(dy_BASD: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            projection_BAS1 = _row_dot(dy_BASD, y_BASD)
            ddropped_BAST = tf.matmul(dy_BASD, v_BATD, transpose_b=True)
            dscores_BAST, dropped_BAST = _softmax_gradient(
                ddropped_BAST, weights_BAST, projection_BAS1, mask
            )
            return (
                tf.matmul(dscores_BAST, k_BATD) * scale,
                tf.matmul(dscores_BAST, q_BASD, transpose_a=True) * scale,
                tf.matmul(dropped_BAST, dy_BASD, transpose_a=True),
            )

        return y_BASD, gradient

    return call(q_BASD, k_BATD, v_BATD)


@compiled
def _drop(weights: tf.Tensor, mask: Mask) -> tf.Tensor:
    return tf.cast(mask.apply(tf.cast(weights, tf.float32)) / mask.keep_probability, weights.dtype)


@compiled
def _row_dot(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(a, tf.float32) * tf.cast(b, tf.float32), -1, keepdims=True)


@compiled
def _softmax_gradient(
    ddropped: tf.Tensor, weights: tf.Tensor, projection: tf.Tensor, mask: Mask | None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the gradient of the scores, and the weights after dropout."""
    dweights, dropped = tf.cast(ddropped, tf.float32), tf.cast(weights, tf.float32)
    if mask is not None:
        scale = tf.where(mask.keep(), 1 / mask.keep_probability, 0.0)
        dweights, dropped = dweights * scale, dropped * scale
    dscores = tf.cast(weights, tf.float32) * (dweights - projection)
    return tf.cast(dscores, weights.dtype), tf.cast(dropped, weights.dtype)


# Functions of the arguments of `attention`, with the same results except for rounding.
IMPLEMENTATIONS = {"compiler": _for_compiler, "library": _for_library}
