"""Attention with hashed dropout for GPUs, as three Pallas kernels that become Triton's.

The scheme is that of FlashAttention-2 (https://arxiv.org/abs/2307.08691): a program has a block of queries
in its registers and walks over the keys, or the other way round for the gradients of keys and values;
scores never reach memory. Queries, keys and values are [B, S, H] as the projections leave them, with heads
of size 64 next to each other.

Legend: B sequences, S queries, T keys (as many), M and N queries and keys of a block, H hidden, A heads,
D = 64 size of a head.
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as triton_backend

SIZE = 64
_SCALE = SIZE**-0.5
# As in model/dropout.py.
_ROW_SALT, _COLUMN_SALT = 0x9E3779B9, 0x85EBCA6B
_FIRST_ROUND, _SECOND_ROUND = 0x7FEB352D, 0x846CA68B
_ROWS_PER_HEAD = 1 << 16


def _xorshift(x: jax.Array, bits: int) -> jax.Array:
    return x ^ (x >> jnp.uint32(bits))


def _mix(x: jax.Array) -> jax.Array:
    x = _xorshift(x, 16) * jnp.uint32(_FIRST_ROUND)
    x = _xorshift(x, 15) * jnp.uint32(_SECOND_ROUND)
    return _xorshift(x, 16)


def _places(first: jax.Array, number: int) -> jax.Array:
    return (first + lax.broadcasted_iota(jnp.int32, (number,), 0)).astype(jnp.uint32)


def column_hashes(key: jax.Array, first: jax.Array, number: int) -> jax.Array:
    """Return the hashes of some keys, uint32 [N]."""
    return _mix(_mix(key ^ jnp.uint32(_COLUMN_SALT)) ^ _places(first, number))


def row_hashes(key: jax.Array, head: jax.Array, first: jax.Array, number: int) -> jax.Array:
    """Return the hashes of some queries of a head, uint32 [M]."""
    return _mix(_mix(key ^ jnp.uint32(_ROW_SALT)) ^ _places(first + head * _ROWS_PER_HEAD, number))


def kept(row: jax.Array, column: jax.Array, threshold: jax.Array) -> jax.Array:
    """Return the mask as bool; `row` and `column` broadcast to its shape."""
    x = (row ^ column) * jnp.uint32(_FIRST_ROUND)
    x = _xorshift(x, 15) * jnp.uint32(_SECOND_ROUND)
    return x >= threshold


def _dot(a: jax.Array, b: jax.Array, axes: tuple[int, int]) -> jax.Array:
    contracted = (((axes[0],), (axes[1],)), ((), ()))
    return lax.dot_general(a, b, contracted, preferred_element_type=jnp.float32)


def _forward(key, threshold, factor, q, k, v, bias, y, lse, *, step):
    block, head = pl.program_id(0), pl.program_id(1)
    q_MD, rows = q[...] * jnp.bfloat16(_SCALE), q.shape[0]
    row_M1 = row_hashes(key[...], head, block * rows, rows)[:, None]

    def walk(i, state):
        y_MD, largest_M, sum_M = state
        at = pl.ds(i * step, step)
        scores_MN = _dot(q_MD, k[at, :], (1, 1)) + bias[at][None, :]
        new_M = jnp.maximum(largest_M, scores_MN.max(1))
        shrink_M, e_MN = jnp.exp(largest_M - new_M), jnp.exp(scores_MN - new_M[:, None])
        sum_M = sum_M * shrink_M + e_MN.sum(1)
        column_1N = column_hashes(key[...], i * step, step)[None, :]
        dropped_MN = jnp.where(kept(row_M1, column_1N, threshold[...]), e_MN, 0.0)
        y_MD = y_MD * shrink_M[:, None] + _dot(dropped_MN.astype(v.dtype), v[at, :], (1, 0))
        return y_MD, new_M, sum_M

    nothing = jnp.zeros((rows,), jnp.float32)
    state = jnp.zeros((rows, SIZE), jnp.float32), nothing - 1e30, nothing
    y_MD, largest_M, sum_M = lax.fori_loop(0, k.shape[0] // step, walk, state)
    y[...] = (y_MD * (factor[...] / sum_M)[:, None]).astype(y.dtype)
    lse[...] = largest_M + jnp.log(sum_M)


def _backward_queries(key, threshold, factor, q, k, v, bias, lse, projection, dy, dq, *, step):
    block, head = pl.program_id(0), pl.program_id(1)
    q_MD, dy_MD, rows = q[...] * jnp.bfloat16(_SCALE), dy[...], q.shape[0]
    lse_M1, projection_M1 = lse[...][:, None], (projection[...] / factor[...])[:, None]
    row_M1 = row_hashes(key[...], head, block * rows, rows)[:, None]

    def walk(i, dq_MD):
        at = pl.ds(i * step, step)
        k_ND = k[at, :]
        weights_MN = jnp.exp(_dot(q_MD, k_ND, (1, 1)) + bias[at][None, :] - lse_M1)
        ddropped_MN = _dot(dy_MD, v[at, :], (1, 1))
        column_1N = column_hashes(key[...], i * step, step)[None, :]
        dweights_MN = jnp.where(kept(row_M1, column_1N, threshold[...]), ddropped_MN, 0.0)
        dscores_MN = (weights_MN * (dweights_MN - projection_M1)).astype(k_ND.dtype)
        return dq_MD + _dot(dscores_MN, k_ND, (1, 0))

    dq_MD = lax.fori_loop(0, k.shape[0] // step, walk, jnp.zeros((rows, SIZE), jnp.float32))
    dq[...] = (dq_MD * (factor[...] * _SCALE)).astype(dq.dtype)


def _backward_keys(key, threshold, factor, q, k, v, bias, lse, projection, dy, dk, dv, *, step):
    block, head = pl.program_id(0), pl.program_id(1)
    k_ND, v_ND, rows = k[...], v[...], k.shape[0]
    bias_N1, scaled_ND = bias[...][:, None], k_ND * jnp.bfloat16(_SCALE)
    column_N1 = column_hashes(key[...], block * rows, rows)[:, None]

    def walk(i, state):
        dk_ND, dv_ND = state
        at = pl.ds(i * step, step)
        q_MD, dy_MD = q[at, :], dy[at, :]
        weights_NM = jnp.exp(_dot(scaled_ND, q_MD, (1, 1)) + bias_N1 - lse[at][None, :])
        row_1M = row_hashes(key[...], head, i * step, step)[None, :]
        kept_NM = kept(row_1M, column_N1, threshold[...])
        dropped_NM = jnp.where(kept_NM, weights_NM, 0.0).astype(dy_MD.dtype)
        dv_ND = dv_ND + _dot(dropped_NM, dy_MD, (1, 0))
        dweights_NM = jnp.where(kept_NM, _dot(v_ND, dy_MD, (1, 1)), 0.0)
        projection_1M = (projection[at] / factor[...])[None, :]
        dscores_NM = (weights_NM * (dweights_NM - projection_1M)).astype(q_MD.dtype)
        return dk_ND + _dot(dscores_NM, q_MD, (1, 0)), dv_ND

    zeros = jnp.zeros((rows, SIZE), jnp.float32)
    dk_ND, dv_ND = lax.fori_loop(0, q.shape[0] // step, walk, (zeros, zeros))
    dk[...] = (dk_ND * (factor[...] * _SCALE)).astype(dk.dtype)
    dv[...] = (dv_ND * factor[...]).astype(dv.dtype)


@dataclasses.dataclass(frozen=True)
class Tiling:
    """Sizes of a kernel.

    Attributes:
      block: queries of a program, or keys.
      step: keys of a step of its walk, or queries.
      warps: warps of a program.
      stages: steps whose operands are loaded ahead.
    """

    block: int
    step: int
    warps: int
    stages: int


# By kernel: the fastest of 33 each on an H200, for 32 sequences of 512 tokens and 16 heads: 0.22, 0.23 and
# 0.29 ms (tune.py, bench/results/gpu_tilings.json).
TILINGS = {
    "forward": Tiling(128, 64, 4, 4),
    "backward_queries": Tiling(64, 64, 4, 3),
    "backward_keys": Tiling(64, 64, 4, 3),
}


def kernels(batch, positions, hidden, *, interpret=False, tilings=TILINGS):
    """Return the kernels by name, and the arguments of each as shapes.

    Arguments: key uint32 [B]; threshold uint32 [1]; 1 / the probability to keep, float32 [1]; queries,
    keys and values bfloat16 [B, S, H]; bias of the scores float32 [B, S]; for the backward kernels also
    the statistics float32 [B, A, S] of the forward pass, the sum of outputs times their gradient for
    each query, float32 [B, A, S], and the gradient of the outputs.
    """
    heads = hidden // SIZE
    x = jax.ShapeDtypeStruct((batch, positions, hidden), jnp.bfloat16)
    statistics = jax.ShapeDtypeStruct((batch, heads, positions), jnp.float32)
    shapes = [
        jax.ShapeDtypeStruct((batch,), jnp.uint32),
        jax.ShapeDtypeStruct((1,), jnp.uint32),
        jax.ShapeDtypeStruct((1,), jnp.float32),
        *[x] * 3,
        jax.ShapeDtypeStruct((batch, positions), jnp.float32),
    ]
    scalars = [
        pl.BlockSpec((None,), lambda i, a, b: (b,)),
        *[pl.BlockSpec((None,), lambda i, a, b: (0,))] * 2,
    ]
    every = pl.BlockSpec((None, positions, SIZE), lambda i, a, b: (b, 0, a))
    every_bias = pl.BlockSpec((None, positions), lambda i, a, b: (b, 0))
    every_row = pl.BlockSpec((None, None, positions), lambda i, a, b: (b, a, 0))

    def build(name, kernel, in_specs, out_specs, out_shape):
        tiling = tilings[name]
        some = pl.BlockSpec((None, tiling.block, SIZE), lambda i, a, b: (b, i, a))
        some_bias = pl.BlockSpec((None, tiling.block), lambda i, a, b: (b, i))
        some_row = pl.BlockSpec((None, None, tiling.block), lambda i, a, b: (b, a, i))
        specs = {"some": some, "some_bias": some_bias, "some_row": some_row}
        specs |= {"every": every, "every_bias": every_bias, "every_row": every_row}
        return pl.pallas_call(
            functools.partial(kernel, step=tiling.step),
            grid=(positions // tiling.block, heads, batch),
            in_specs=[*scalars, *(specs[n] for n in in_specs.split())],
            out_specs=[specs[n] for n in out_specs.split()],
            out_shape=out_shape,
            interpret=interpret,
            compiler_params=triton_backend.TritonCompilerParams(
                num_warps=tiling.warps, num_stages=tiling.stages
            ),
        )

    forward = build(
        *("forward", _forward, "some every every every_bias", "some some_row", [x, statistics])
    )
    more = "some_row some_row some"
    queries = build(
        *("backward_queries", _backward_queries, f"some every every every_bias {more}", "some", [x])
    )
    more = "every_row every_row every"
    keys = build(
        *("backward_keys", _backward_keys, f"every some some some_bias {more}", "some some", [x, x])
    )
    backward = [*shapes, statistics, statistics, x]
    return {
        "forward": (forward, shapes),
        "backward_queries": (queries, backward),
        "backward_keys": (keys, backward),
    }
