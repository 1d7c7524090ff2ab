"""Attention in training, at all positions, by kernels for TPUs and GPUs.

Functions of the arguments of `model.attention.attention`, with the same results except for rounding, and
the same dropout masks to the bit: kernels hash positions as `model/dropout.py` does, from the key that
`Mask` has.

Legend: B sequences, A heads, S queries, T attended positions (as many), D size of a head, H = A * D.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops

from model.dropout import Mask
from model.kernels import cudnn
from model.kernels.texts import Array, Sizes, stablehlo
from model.tracing import Gradient

_PLATFORMS = {"tpu": "TPU", "gpu": "CUDA"}
_HIGHEST_BIT = 1 << 31


def _on_tpu(
    q_BASD: tf.Tensor, k_BATD: tf.Tensor, v_BATD: tf.Tensor, bias_B11T: tf.Tensor, mask: Mask | None
) -> tf.Tensor:
    """Keep the outputs and one number for each query; compute the scores again in the backward pass."""
    sizes = _sizes(q_BASD)
    key_B, threshold, factor = _dropout(mask, sizes)
    # The order of unsigned numbers is that of signed ones with the highest bit flipped.
    threshold -= _HIGHEST_BIT
    leading = [
        tf.bitcast(key_B, tf.int32),
        tf.constant([threshold], tf.int32),
        tf.constant([factor], tf.float32),
    ]
    bias_BT1 = tf.transpose(tf.cast(bias_B11T[:, 0], tf.float32), [0, 2, 1])
    x_BSH = Array((sizes.batch, sizes.positions, sizes.hidden), "bfloat16")
    statistics = Array((sizes.batch, sizes.heads // 2, 2, sizes.positions), "float32")

    @tf.custom_gradient
    def call(q_BSH: tf.Tensor, k_BTH: tf.Tensor, v_BTH: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
        inputs = [*leading, q_BSH, k_BTH, v_BTH, bias_BT1]
        y_BSH, lse = _call("tpu", "forward", sizes, inputs, [x_BSH, statistics])

        def gradient(dy_BSH: tf.Tensor) -> Sequence[tf.Tensor]:
            return _call("tpu", "backward", sizes, [*inputs, y_BSH, lse, dy_BSH], [x_BSH] * 3)

        return y_BSH, gradient

    return _split(call(*(_joined(x) for x in (q_BASD, k_BATD, v_BATD))), sizes)


def _on_gpu(
    q_BASD: tf.Tensor, k_BATD: tf.Tensor, v_BATD: tf.Tensor, bias_B11T: tf.Tensor, mask: Mask | None
) -> tf.Tensor:
    """Do the same with two kernels for the backward pass, for queries and for keys and values."""
    sizes = _sizes(q_BASD)
    key_B, threshold, factor = _dropout(mask, sizes)
    leading = [key_B, tf.constant([threshold], tf.uint32), tf.constant([factor], tf.float32)]
    bias_BT = tf.cast(bias_B11T[:, 0, 0], tf.float32)
    x_BSH = Array((sizes.batch, sizes.positions, sizes.hidden), "bfloat16")
    statistics = Array((sizes.batch, sizes.heads, sizes.positions), "float32")

    @tf.custom_gradient
    def call(q_BSH: tf.Tensor, k_BTH: tf.Tensor, v_BTH: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
        inputs = [*leading, q_BSH, k_BTH, v_BTH, bias_BT]
        y_BSH, lse_BAS = _call("gpu", "forward", sizes, inputs, [x_BSH, statistics])

        def gradient(dy_BSH: tf.Tensor) -> list[tf.Tensor]:
            product_BSH = tf.cast(dy_BSH, tf.float32) * tf.cast(y_BSH, tf.float32)
            projection_BAS = tf.reduce_sum(_split(product_BSH, sizes), -1)
            more = [*inputs, lse_BAS, projection_BAS, dy_BSH]
            (dq_BSH,) = _call("gpu", "backward_queries", sizes, more, [x_BSH])
            dk_BTH, dv_BTH = _call("gpu", "backward_keys", sizes, more, [x_BSH] * 2)
            return [dq_BSH, dk_BTH, dv_BTH]

        return y_BSH, gradient

    return _split(call(*(_joined(x) for x in (q_BASD, k_BATD, v_BATD))), sizes)


def _sizes(q_BASD: tf.Tensor) -> Sizes:
    batch, heads, positions, _ = q_BASD.shape
    return Sizes(batch=batch, positions=positions, heads=heads)


def _dropout(mask: Mask | None, sizes: Sizes) -> tuple[tf.Tensor, int, float]:
    """Return the key of each sequence, the threshold, and 1 / the probability to keep an element."""
    if mask is None:
        return tf.zeros([sizes.batch], tf.uint32), 0, 1.0
    assert mask.key is not None, "a kernel has all positions in order"
    return mask.key, mask.threshold, 1 / mask.keep_probability


def _call(
    device: str,
    kernel: str,
    sizes: Sizes,
    arguments: Sequence[tf.Tensor],
    results: Sequence[Array],
) -> Sequence[tf.Tensor]:
    """Return the results of a kernel."""
    types = [Array(tuple(x.shape), x.dtype.name) for x in arguments]
    return gen_xla_ops.xla_call_module(
        arguments,
        version=9,
        module=stablehlo(device, kernel, sizes, arguments=types, results=results),
        Sout=[result.shape for result in results],
        Tout=[tf.dtypes.as_dtype(result.dtype) for result in results],
        platforms=[_PLATFORMS[device]],
        # The step is also lowered on machines without the device, to hand it to another compiler.
        disabled_checks=["platform", "custom_call"],
    )


def _joined(x_BASD: tf.Tensor) -> tf.Tensor:
    """Return the heads next to each other, [B, S, H]; XLA removes this transposition and its inverse."""
    _, heads, positions, size = x_BASD.shape
    return tf.reshape(tf.transpose(x_BASD, [0, 2, 1, 3]), [-1, positions, heads * size])


def _split(x_BSH: tf.Tensor, sizes: Sizes) -> tf.Tensor:
    """Return the inverse of `_joined`."""
    x_BSAD = tf.reshape(x_BSH, [-1, sizes.positions, sizes.heads, sizes.hidden // sizes.heads])
    return tf.transpose(x_BSAD, [0, 2, 1, 3])


# By name of the kernels: kinds of devices that have some of their own, and cuDNN.
KERNELS = {"tpu": _on_tpu, "gpu": _on_gpu, "cudnn": cudnn.attention}
