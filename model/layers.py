"""The parts of a block: variables, and functions with gradients written out.

On a TPU the whole step is one program and XLA fuses all of this. Elsewhere matrix products and the
softmax run in oneDNN or cuDNN, and what lies between them is compiled into single loops
(model/tracing.py): dropout so made costs an eighth of `tf.nn.dropout` on a CPU.

Activations have the compute type (float32 or bfloat16); statistics are float32.

Legend: B sequences, S rows (positions), H hidden, I inputs and O outputs of a dense layer.
"""

from __future__ import annotations

import math

import tensorflow as tf

from model.compute_weights import ComputeWeight
from model.dropout import Mask
from model.tracing import compiled, in_compiled_step

_EPSILON = 1e-12  # of LayerNorm, as BERT
_GELU_SCALE, _GELU_CUBIC = math.sqrt(2 / math.pi), 0.044715


class Initializer:
    """Truncated normals from a seed: the n-th variable of a model starts the same in every run."""

    def __init__(self, seed: int, stddev: float):
        self._seed, self._stddev, self._count = seed, stddev, 0

    def __call__(self, shape: list[int]) -> tf.Tensor:
        """float32, cut at two standard deviations."""
        self._count += 1
        seed = [self._seed, self._count]
        return tf.random.stateless_truncated_normal(shape, seed, stddev=self._stddev)


class Dense(tf.Module):
    """Variables `kernel` [I, O] and `bias` [O], float32; a `copy` of the kernel if `dtype` is another."""

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
        """The product with the kernel, in the compute type; the next function adds the bias."""
        return matmul(
            x_BSI,
            self.compute_kernel.value()
            if self.compute_kernel
            else tf.convert_to_tensor(self.kernel),
        )


class LayerNorm(tf.Module):
    """Variables `gamma` and `beta` [H]."""

    def __init__(self, size: int, name: str):
        super().__init__()
        self.gamma = tf.Variable(tf.ones([size]), name=f"{name}/gamma")
        self.beta = tf.Variable(tf.zeros([size]), name=f"{name}/beta")

    def __call__(self, x_BSH: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
        """Normalises in float32; the result has type `dtype`."""
        return layer_norm(x_BSH, self.gamma, self.beta, dtype)


def matmul(x_BSI: tf.Tensor, kernel_IO: tf.Tensor) -> tf.Tensor:
    """The product of x and a kernel.

    Libraries get one flat product: a batched one makes the gradient of the kernel transpose its
    inputs. XLA chooses layouts itself, and reshaping would only bind it.
    """
    if in_compiled_step():
        return tf.einsum("BSI,IO->BSO", x_BSI, kernel_IO)
    flat = tf.matmul(tf.reshape(x_BSI, [-1, kernel_IO.shape[0]]), kernel_IO)
    return tf.reshape(flat, [-1, *x_BSI.shape[1:-1], kernel_IO.shape[1]])


def layer_norm(
    x_BSH: tf.Tensor, gamma_H: tf.Tensor, beta_H: tf.Tensor, dtype: tf.DType
) -> tf.Tensor:
    """LayerNorm (https://arxiv.org/abs/1607.06450) over the last axis.

    Args:
      x_BSH: any float type.
      gamma_H: float32.
      beta_H: float32.
      dtype: of the result.
    """

    @tf.custom_gradient
    def call(x_BSH, gamma_H, beta_H):
        y_BSH, mean_BS1, scale_BS1 = _normalise(x_BSH, gamma_H, beta_H, dtype)

        def gradient(dy_BSH):
            dx_BSH, dgamma_BSH, dbeta_BSH = _normalise_gradient(
                dy_BSH, x_BSH, mean_BS1, scale_BS1, gamma_H
            )
            return dx_BSH, sum_rows(dgamma_BSH), sum_rows(dbeta_BSH)

        return y_BSH, gradient

    return call(x_BSH, tf.convert_to_tensor(gamma_H), tf.convert_to_tensor(beta_H))


@compiled
def _normalise(x, gamma, beta, dtype):
    x = tf.cast(x, tf.float32)
    mean = tf.reduce_mean(x, -1, keepdims=True)
    # In one pass over x. Not below 0, which rounding could bring about where all x are equal.
    variance = tf.reduce_mean(tf.square(x), -1, keepdims=True) - tf.square(mean)
    scale = tf.math.rsqrt(tf.maximum(variance, 0.0) + _EPSILON)
    return tf.cast((x - mean) * scale * gamma + beta, dtype), mean, scale


@compiled
def _normalise_gradient(dy, x, mean, scale, gamma):
    dy = tf.cast(dy, tf.float32)
    unit = (tf.cast(x, tf.float32) - mean) * scale
    g = dy * gamma
    along = tf.reduce_mean(g * unit, -1, keepdims=True)
    dx = scale * (g - tf.reduce_mean(g, -1, keepdims=True) - unit * along)
    return tf.cast(dx, x.dtype), dy * unit, dy


def add_bias(x_BSO: tf.Tensor, bias_O: tf.Tensor) -> tf.Tensor:
    """Computes x + bias, in the type of x."""

    @tf.custom_gradient
    def call(x_BSO, bias_O):
        def gradient(dy_BSO):
            return dy_BSO, sum_rows(dy_BSO)

        return x_BSO + tf.cast(bias_O, x_BSO.dtype), gradient

    return call(x_BSO, tf.convert_to_tensor(bias_O))


def apply_dropout(x_BSH: tf.Tensor, mask: Mask | None) -> tf.Tensor:
    """Inverted dropout: what is kept is scaled up."""
    if mask is None:
        return x_BSH

    @tf.custom_gradient
    def call(x_BSH):
        return _drop(x_BSH, mask), lambda dy_BSH: _drop(dy_BSH, mask)

    return call(x_BSH)


def bias_dropout_add(
    residual_BSH: tf.Tensor, x_BSH: tf.Tensor, bias_H: tf.Tensor, mask: Mask | None
) -> tf.Tensor:
    """Computes residual + dropout(x + bias), in the type of x."""

    @tf.custom_gradient
    def call(residual_BSH, x_BSH, bias_H):
        def gradient(dy_BSH):
            dx_BSH = dy_BSH if mask is None else _drop(dy_BSH, mask)
            return dy_BSH, dx_BSH, sum_rows(dx_BSH)

        return _bias_dropout_add(residual_BSH, x_BSH, bias_H, mask), gradient

    return call(residual_BSH, x_BSH, tf.convert_to_tensor(bias_H))


@compiled
def _drop(x, mask):
    return tf.cast(mask.apply(tf.cast(x, tf.float32)) / mask.keep_probability, x.dtype)


@compiled
def _bias_dropout_add(residual, x, bias, mask):
    y = tf.cast(x, tf.float32) + bias
    if mask is not None:
        y = mask.apply(y) / mask.keep_probability
    return tf.cast(tf.cast(residual, tf.float32) + y, x.dtype)


def bias_gelu(x_BSO: tf.Tensor, bias_O: tf.Tensor, activation: str) -> tf.Tensor:
    """gelu(x + bias) (https://arxiv.org/abs/1606.08415).

    Args:
      x_BSO: in the compute type.
      bias_O: float32.
      activation: "gelu" is u * Phi(u), with Phi the normal distribution function; "gelu_tanh" the
        approximation of section 2, which differs from it by less than 0.0005.
    """

    @tf.custom_gradient
    def call(x_BSO, bias_O):
        def gradient(dy_BSO):
            dx_BSO = _gelu_gradient(dy_BSO, x_BSO, bias_O, activation)
            return dx_BSO, sum_rows(dx_BSO)

        return _gelu(x_BSO, bias_O, activation), gradient

    return call(x_BSO, tf.convert_to_tensor(bias_O))


@compiled
def _gelu(x, bias, activation):
    u = tf.cast(x, tf.float32) + bias
    share, _ = _gelu_share(u, activation)
    return tf.cast(u * share, x.dtype)


@compiled
def _gelu_gradient(dy, x, bias, activation):
    u = tf.cast(x, tf.float32) + bias
    share, slope = _gelu_share(u, activation)
    return tf.cast(tf.cast(dy, tf.float32) * (share + u * slope), x.dtype)


def _gelu_share(u, activation):
    """The part of u that gelu lets through, from 0 to 1, and its derivative."""
    if activation == "gelu":
        density = tf.exp(-0.5 * u * u) / math.sqrt(2 * math.pi)
        return 0.5 * (1 + tf.math.erf(u * math.sqrt(0.5))), density
    t = tf.tanh(_GELU_SCALE * (u + _GELU_CUBIC * u * u * u))
    inner = _GELU_SCALE * (1 + 3 * _GELU_CUBIC * u * u)
    return 0.5 * (1 + t), 0.5 * (1 - t * t) * inner


def sum_rows(x_BSH: tf.Tensor) -> tf.Tensor:
    """[H], float32: the sum over all axes but the last, accumulated in float32."""
    if in_compiled_step():
        return tf.reduce_sum(tf.cast(x_BSH, tf.float32), range(x_BSH.shape.rank - 1))
    if x_BSH.dtype == tf.float32:
        return tf.raw_ops.BiasAddGrad(out_backprop=x_BSH)  # fastest on CPUs
    # That operation accumulates in bfloat16 on a CPU: a sum of ones ends at 256. A product does not,
    # and takes two thirds of the time.
    x_NH = tf.reshape(x_BSH, [-1, x_BSH.shape[-1]])
    ones_1N = tf.ones([1, tf.shape(x_NH)[0]], x_NH.dtype)
    return tf.cast(tf.matmul(ones_1N, x_NH)[0], tf.float32)
