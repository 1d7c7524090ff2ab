"""Layers of a block: variables, and functions with explicit gradients.

On a TPU the whole step is one program, and XLA fuses all of this. Elsewhere matrix products and the
softmax run in oneDNN or cuDNN, and the elementwise operations between them are compiled into single
loops (model/tracing.py). Dropout implemented this way costs an eighth of `tf.nn.dropout` on a CPU.

Activations have the compute type (float32 or bfloat16); statistics are float32.

Legend: B sequences, S positions, H hidden, I inputs and O outputs of a dense layer, N = B * S.
"""

from __future__ import annotations

import math

import tensorflow as tf

from model.compute_weights import ComputeWeight
from model.config import ACTIVATIONS, lookup
from model.dropout import Mask
from model.tracing import Gradient, compiled, in_compiled_step, recomputation_inputs

_EPSILON = 1e-12  # of LayerNorm, as in BERT
_GELU_SCALE, _GELU_CUBIC = math.sqrt(2 / math.pi), 0.044715


class Initializer:
    """Truncated normals from a seed: the n-th variable of a model is the same in every run."""

    def __init__(self, seed: int, stddev: float):
        self._seed, self._stddev, self._count = seed, stddev, 0

    def __call__(self, shape: list[int]) -> tf.Tensor:
        """Return float32 initial values, truncated at two standard deviations."""
        self._count += 1
        seed = [self._seed, self._count]
        return tf.random.stateless_truncated_normal(shape, seed, stddev=self._stddev)


class Dense(tf.Module):
    """A dense layer.

    Attributes:
      kernel: float32 variable [I, O].
      bias: float32 variable [O].
      compute_kernel: the kernel in the compute type; None if that is float32.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        initializer: Initializer,
        name: str,
        dtype: tf.DType = tf.float32,
    ):
        super().__init__()
        self.kernel = tf.Variable(initializer([inputs, outputs]), name=f"{name}/kernel")
        self.bias = tf.Variable(tf.zeros([outputs]), name=f"{name}/bias")
        self.compute_kernel = (
            None if dtype == self.kernel.dtype else ComputeWeight(self.kernel, dtype)
        )

    def project(self, x_BSI: tf.Tensor) -> tf.Tensor:
        """Return the product with the kernel [B, S, O], in the compute type and without the bias.

        The function that follows adds the bias: `add_bias`, `bias_gelu` or `bias_dropout_add`.
        """
        if self.compute_kernel is None:
            return matmul(x_BSI, tf.convert_to_tensor(self.kernel))
        return matmul(x_BSI, self.compute_kernel.value())


class LayerNorm(tf.Module):
    """LayerNorm with float32 variables `gamma` and `beta` [H]."""

    def __init__(self, size: int, name: str):
        super().__init__()
        self.gamma = tf.Variable(tf.ones([size]), name=f"{name}/gamma")
        self.beta = tf.Variable(tf.zeros([size]), name=f"{name}/beta")

    def __call__(self, x_BSH: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
        """Normalize in float32 and return [B, S, H] in type `dtype`."""
        return layer_norm(x_BSH, self.gamma, self.beta, dtype)


def matmul(x_BSI: tf.Tensor, kernel_IO: tf.Tensor) -> tf.Tensor:
    """Return the product of x and a kernel, [B, S, O].

    Libraries get one flat product: with a batched one, the gradient of the kernel would transpose its
    inputs. XLA chooses layouts itself, and a reshape would only constrain it.
    """
    if in_compiled_step():
        return tf.einsum("BSI,IO->BSO", x_BSI, kernel_IO)
    flat = tf.matmul(tf.reshape(x_BSI, [-1, kernel_IO.shape[0]]), kernel_IO)
    return tf.reshape(flat, [-1, *x_BSI.shape[1:-1], kernel_IO.shape[1]])


def layer_norm(
    x_BSH: tf.Tensor, gamma_H: tf.Tensor, beta_H: tf.Tensor, dtype: tf.DType
) -> tf.Tensor:
    """Return LayerNorm (https://arxiv.org/abs/1607.06450) over the last axis, [B, S, H].

    Args:
      x_BSH: input, any float type.
      gamma_H: scale, float32.
      beta_H: offset, float32.
      dtype: type of the result.
    """

    @tf.custom_gradient
    def call(x_BSH: tf.Tensor, gamma_H: tf.Tensor, beta_H: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
        y_BSH, mean_BS1, scale_BS1 = _normalize(x_BSH, gamma_H, beta_H, dtype)

        def gradient(dy_BSH: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            dx_BSH, dgamma_BSH, dbeta_BSH = _normalize_gradient(
                dy_BSH, x_BSH, mean_BS1, scale_BS1, gamma_H
            )
            return dx_BSH, sum_rows(dgamma_BSH), sum_rows(dbeta_BSH)

        return y_BSH, gradient

    return call(x_BSH, tf.convert_to_tensor(gamma_H), tf.convert_to_tensor(beta_H))


@compiled
def _normalize(
    x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, dtype: tf.DType
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    x = tf.cast(x, tf.float32)
    mean = tf.reduce_mean(x, -1, keepdims=True)
    # One pass over x. Rounding can make the difference negative where all x are equal.
    variance = tf.reduce_mean(tf.square(x), -1, keepdims=True) - tf.square(mean)
    scale = tf.math.rsqrt(tf.maximum(variance, 0.0) + _EPSILON)
    return tf.cast((x - mean) * scale * gamma + beta, dtype), mean, scale


@compiled
def _normalize_gradient(
    dy: tf.Tensor, x: tf.Tensor, mean: tf.Tensor, scale: tf.Tensor, gamma: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    dy = tf.cast(dy, tf.float32)
    unit = (tf.cast(x, tf.float32) - mean) * scale
    g = dy * gamma
    projection = tf.reduce_mean(g * unit, -1, keepdims=True)
    dx = scale * (g - tf.reduce_mean(g, -1, keepdims=True) - unit * projection)
    return tf.cast(dx, x.dtype), dy * unit, dy


def add_bias(x_BSO: tf.Tensor, bias_O: tf.Tensor) -> tf.Tensor:
    """Return x + bias [B, S, O], in the type of x."""

    @tf.custom_gradient
    def call(x_BSO: tf.Tensor, bias_O: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
        def gradient(dy_BSO: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return dy_BSO, sum_rows(dy_BSO)

        return x_BSO + tf.cast(bias_O, x_BSO.dtype), gradient

    return call(x_BSO, tf.convert_to_tensor(bias_O))


def apply_dropout(x_BSH: tf.Tensor, mask: Mask | None) -> tf.Tensor:
    """Return x [B, S, H] with inverted dropout: kept elements are scaled up. None keeps x as it is."""
    if mask is None:
        return x_BSH

    @tf.custom_gradient
    def call(x_BSH: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
        return _drop(x_BSH, mask), lambda dy_BSH: _drop(dy_BSH, mask.for_backward())

    return call(x_BSH)


def bias_dropout_add(
    residual_BSH: tf.Tensor, x_BSH: tf.Tensor, bias_H: tf.Tensor, mask: Mask | None
) -> tf.Tensor:
    """Return residual + dropout(x + bias) [B, S, H], in the type of x; no dropout if mask is None."""

    @tf.custom_gradient
    def call(
        residual_BSH: tf.Tensor, x_BSH: tf.Tensor, bias_H: tf.Tensor
    ) -> tuple[tf.Tensor, Gradient]:
        def gradient(dy_BSH: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            dx_BSH = dy_BSH if mask is None else _drop(dy_BSH, mask.for_backward())
            return dy_BSH, dx_BSH, sum_rows(dx_BSH)

        return _bias_dropout_add(residual_BSH, x_BSH, bias_H, mask), gradient

    return call(residual_BSH, x_BSH, tf.convert_to_tensor(bias_H))


@compiled
def _drop(x: tf.Tensor, mask: Mask) -> tf.Tensor:
    return tf.cast(mask.apply(tf.cast(x, tf.float32)) / mask.keep_probability, x.dtype)


@compiled
def _bias_dropout_add(
    residual: tf.Tensor, x: tf.Tensor, bias: tf.Tensor, mask: Mask | None
) -> tf.Tensor:
    y = tf.cast(x, tf.float32) + bias
    if mask is not None:
        y = mask.apply(y) / mask.keep_probability
    return tf.cast(tf.cast(residual, tf.float32) + y, x.dtype)


def bias_gelu(x_BSO: tf.Tensor, bias_O: tf.Tensor, activation: str) -> tf.Tensor:
    """Return gelu(x + bias) [B, S, O] (https://arxiv.org/abs/1606.08415), in the type of x.

    Args:
      x_BSO: input, in the compute type.
      bias_O: bias, float32.
      activation: "gelu" is u * Phi(u), with Phi the normal distribution function; "gelu_tanh" is the
        approximation of section 2 with tanh, which differs by less than 0.0005.
    """

    @tf.custom_gradient
    def call(x_BSO: tf.Tensor, bias_O: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
        def gradient(dy_BSO: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            (same_x_BSO,) = recomputation_inputs(x_BSO)
            dx_BSO = _gelu_gradient(dy_BSO, same_x_BSO, bias_O, activation)
            return dx_BSO, sum_rows(dx_BSO)

        return _gelu(x_BSO, bias_O, activation), gradient

    return call(x_BSO, tf.convert_to_tensor(bias_O))


@compiled
def _gelu(x: tf.Tensor, bias: tf.Tensor, activation: str) -> tf.Tensor:
    u = tf.cast(x, tf.float32) + bias
    factor, _ = lookup(_GELU_FACTORS, activation, "activation")(u)
    return tf.cast(u * factor, x.dtype)


@compiled
def _gelu_gradient(dy: tf.Tensor, x: tf.Tensor, bias: tf.Tensor, activation: str) -> tf.Tensor:
    u = tf.cast(x, tf.float32) + bias
    factor, slope = lookup(_GELU_FACTORS, activation, "activation")(u)
    return tf.cast(tf.cast(dy, tf.float32) * (factor + u * slope), x.dtype)


def _exact_gelu_factor(u: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return Phi(u) and its derivative."""
    density = tf.exp(-0.5 * u * u) / math.sqrt(2 * math.pi)
    return 0.5 * (1 + tf.math.erf(u * math.sqrt(0.5))), density


def _tanh_gelu_factor(u: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the approximation of Phi(u) with tanh and its derivative."""
    t = tf.tanh(_GELU_SCALE * (u + _GELU_CUBIC * u * u * u))
    inner = _GELU_SCALE * (1 + 3 * _GELU_CUBIC * u * u)
    return 0.5 * (1 + t), 0.5 * (1 - t * t) * inner


# The factor of u in gelu(u), from 0 to 1, by EncoderConfig.hidden_activation.
_GELU_FACTORS = {"gelu_tanh": _tanh_gelu_factor, "gelu": _exact_gelu_factor}
assert set(_GELU_FACTORS) == set(ACTIVATIONS), "model.config.ACTIVATIONS differs from the functions"


def sum_rows(x_BSH: tf.Tensor) -> tf.Tensor:
    """Return the sum over all axes but the last, float32 [H], accumulated in float32."""
    if in_compiled_step():
        return tf.reduce_sum(tf.cast(x_BSH, tf.float32), range(x_BSH.shape.rank - 1))
    if x_BSH.dtype == tf.float32:
        return tf.raw_ops.BiasAddGrad(out_backprop=x_BSH)  # fastest on CPUs
    # BiasAddGrad accumulates in bfloat16 on a CPU, where a sum of ones stops at 256. A matrix product
    # does not, and takes two thirds of the time.
    x_NH = tf.reshape(x_BSH, [-1, x_BSH.shape[-1]])
    ones_1N = tf.ones([1, tf.shape(x_NH)[0]], x_NH.dtype)
    return tf.cast(tf.matmul(ones_1N, x_NH)[0], tf.float32)
