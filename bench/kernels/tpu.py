"""Attention with hashed dropout for TPUs, as two Pallas kernels.

Two heads of size 64 fill the 128 lanes of a register, so a kernel reads queries, keys and values [B, S, H]
as the projections leave them. Scores never leave the chip: the backward pass computes them again from the
logarithms of the sums of the softmax.

Scores are [T, S], keys by queries. Then sums and maxima over keys add registers instead of lanes, a
statistic of a query is one lane of a row, and the products that sum over S or T have the [T, S] matrix as
the stationary operand and use the whole matrix unit; the other way round they use half of it.

Legend: B sequences, S queries, T keys (as many), R queries of a round, C queries of a chunk, H hidden,
D = 64 size of a head.
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

SIZE = 64
PAIR = 2 * SIZE
_SCALE = SIZE**-0.5  # a power of two: exact in bfloat16
# As in model/dropout.py.
_ROW_SALT, _COLUMN_SALT = 0x9E3779B9, 0x85EBCA6B
_FIRST_ROUND, _SECOND_ROUND = 0x7FEB352D, 0x846CA68B
_ROWS_PER_HEAD = 1 << 16


def _int32(value: int) -> jax.Array:
    return jnp.int32(value - (1 << 32) if value >= 1 << 31 else value)


def _xorshift(x: jax.Array, bits: int) -> jax.Array:
    return x ^ lax.shift_right_logical(x, jnp.int32(bits))


def _mix(x: jax.Array) -> jax.Array:
    x = _xorshift(x, 16) * _int32(_FIRST_ROUND)
    x = _xorshift(x, 15) * _int32(_SECOND_ROUND)
    return _xorshift(x, 16)


def column_hashes(key: jax.Array, columns: int) -> jax.Array:
    """Return the hashes of the keys, int32 [T, 1]."""
    places_T1 = lax.broadcasted_iota(jnp.int32, (columns, 1), 0)
    return _mix(_mix(key ^ _int32(_COLUMN_SALT)) ^ places_T1)


def row_hashes(key: jax.Array, head: jax.Array, first: jax.Array, rows: int) -> jax.Array:
    """Return the hashes of some queries of a head, int32 [1, C]."""
    places_1C = lax.broadcasted_iota(jnp.int32, (1, rows), 1) + (head * _ROWS_PER_HEAD + first)
    return _mix(_mix(key ^ _int32(_ROW_SALT)) ^ places_1C)


def kept(row_1C: jax.Array, column_T1: jax.Array, threshold: jax.Array) -> jax.Array:
    """Return the mask as bool [T, C].

    Args:
      row_1C: hashes of queries.
      column_T1: hashes of keys.
      threshold: bound below which a hash drops an element, with its highest bit flipped: as unsigned numbers
        compare, so do signed ones after this flip.
    """
    x = (row_1C ^ column_T1) * _int32(_FIRST_ROUND)
    x = _xorshift(x, 15) * _int32(_SECOND_ROUND)
    return (x ^ _int32(1 << 31)) >= threshold


def _dot(a: jax.Array, b: jax.Array, axes: tuple[int, int]) -> jax.Array:
    contracted = (((axes[0],), (axes[1],)), ((), ()))
    return lax.dot_general(a, b, contracted, preferred_element_type=jnp.float32)


def _transposed(x: jax.Array) -> jax.Array:
    return x.astype(jnp.float32).T


def _forward(key, threshold, factor, q, k, v, bias, y, lse, *, chunk):
    b, pair, part = (pl.program_id(axis) for axis in range(3))
    rows, columns = q.shape[1], k.shape[1]
    column_T1 = column_hashes(key[b], columns)
    v_PT = _transposed(v[0]).astype(jnp.bfloat16)
    for start in range(0, rows, chunk):
        at = slice(start, start + chunk)
        outputs = []
        for head in range(2):
            lanes = slice(head * SIZE, (head + 1) * SIZE)
            q_CD = q[0, at, lanes] * jnp.bfloat16(_SCALE)
            scores_TC = _dot(k[0, :, lanes], q_CD, (1, 1)) + bias[0]
            largest_1C = jnp.max(scores_TC, 0, keepdims=True)
            e_TC = jnp.exp(scores_TC - largest_1C)
            sum_1C = jnp.sum(e_TC, 0, keepdims=True)
            row_1C = row_hashes(key[b], pair * 2 + head, part * rows + start, chunk)
            dropped_TC = jnp.where(kept(row_1C, column_T1, threshold[0]), e_TC, 0.0)
            y_DC = _dot(v_PT[lanes], dropped_TC.astype(jnp.bfloat16), (1, 0))
            outputs.append(y_DC * (factor[0] / sum_1C))
            lse[0, 0, head : head + 1, at] = largest_1C + jnp.log(sum_1C)
        y[0, at] = jnp.concatenate(outputs, 0).T.astype(y.dtype)


def _backward(key, threshold, factor, q, k, v, bias, y, lse, dy, dq, dk, dv, *sums, chunk):
    b, pair, part = (pl.program_id(axis) for axis in range(3))
    rows, columns = q.shape[1], k.shape[1]
    column_T1 = column_hashes(key[b], columns)
    k_PT = _transposed(k[0]).astype(jnp.bfloat16)
    keep = 1 / factor[0]
    dk_PT = dv_PT = jnp.zeros((PAIR, columns), jnp.float32)
    for start in range(0, rows, chunk):
        at = slice(start, start + chunk)
        dy_PC = _transposed(dy[0, at])
        product_PC = dy_PC * _transposed(y[0, at])
        dy_PC, q_PC = dy_PC.astype(jnp.bfloat16), _transposed(q[0, at]).astype(jnp.bfloat16)
        dqs, dks, dvs = [], [], []
        for head in range(2):
            lanes = slice(head * SIZE, (head + 1) * SIZE)
            q_CD = q[0, at, lanes] * jnp.bfloat16(_SCALE)
            scores_TC = _dot(k[0, :, lanes], q_CD, (1, 1)) + bias[0]
            weights_TC = jnp.exp(scores_TC - lse[0, 0, head : head + 1, at])
            projection_1C = jnp.sum(product_PC[lanes], 0, keepdims=True) * keep
            ddropped_TC = _dot(v[0, :, lanes], dy[0, at, lanes], (1, 1))
            row_1C = row_hashes(key[b], pair * 2 + head, part * rows + start, chunk)
            kept_TC = kept(row_1C, column_T1, threshold[0])
            dropped_TC = jnp.where(kept_TC, weights_TC, 0.0).astype(jnp.bfloat16)
            dweights_TC = jnp.where(kept_TC, ddropped_TC, 0.0)
            dscores_TC = (weights_TC * (dweights_TC - projection_1C)).astype(jnp.bfloat16)
            dqs.append(_dot(k_PT[lanes], dscores_TC, (1, 0)))
            dks.append(_dot(q_PC[lanes], dscores_TC, (1, 1)))
            dvs.append(_dot(dy_PC[lanes], dropped_TC, (1, 1)))
        dq_PC = jnp.concatenate(dqs, 0) * (factor[0] * _SCALE)
        dq[0, at] = dq_PC.T.astype(dq.dtype)
        dk_PT += jnp.concatenate(dks, 0)
        dv_PT += jnp.concatenate(dvs, 0)

    def write(dk_PT, dv_PT):
        dk[0] = (dk_PT * (factor[0] * _SCALE)).T.astype(dk.dtype)
        dv[0] = (dv_PT * factor[0]).T.astype(dv.dtype)

    if not sums:
        write(dk_PT, dv_PT)
        return
    dk_sum, dv_sum = sums

    @pl.when(part == 0)
    def _():
        dk_sum[...], dv_sum[...] = dk_PT, dv_PT

    @pl.when(part > 0)
    def _():
        dk_sum[...] += dk_PT
        dv_sum[...] += dv_PT

    @pl.when(part == pl.num_programs(2) - 1)
    def _():
        write(dk_sum[...], dv_sum[...])


@dataclasses.dataclass(frozen=True)
class Tiling:
    """Queries that a kernel treats together.

    Attributes:
      rows: queries of a round of the grid.
      forward_chunk: queries whose scores exist at a time.
      backward_chunk: the same for the backward pass.
    """

    rows: int
    forward_chunk: int
    backward_chunk: int


# By positions: the whole [T, S] fits on chip up to 512. Chosen by the number of bundles on v5e.
TILINGS = {
    512: Tiling(512, 512, 256),
    1024: Tiling(512, 256, 256),
    2048: Tiling(256, 128, 128),
}


def kernels(batch: int, positions: int, hidden: int, *, interpret: bool = False, tiling=None):
    """Return the forward and the backward kernel, and the arguments of each as shapes.

    Arguments: key int32 [B]; threshold int32 [1] (see `kept`); 1 / the probability to keep, float32 [1];
    queries, keys and values bfloat16 [B, S, H]; bias of the scores float32 [B, S, 1]; for the backward
    pass also the outputs, their statistics float32 [B, H/128, 2, S] and the gradient of the outputs.
    """
    tiling = tiling or TILINGS[positions]
    parts = positions // tiling.rows
    scalar = pl.BlockSpec(memory_space=pltpu.SMEM)
    some = pl.BlockSpec((1, tiling.rows, PAIR), lambda b, pair, part: (b, part, pair))
    every = pl.BlockSpec((1, positions, PAIR), lambda b, pair, part: (b, 0, pair))
    bias = pl.BlockSpec((1, positions, 1), lambda b, pair, part: (b, 0, 0))
    statistics = pl.BlockSpec((1, 1, 2, tiling.rows), lambda b, pair, part: (b, pair, 0, part))
    x = jax.ShapeDtypeStruct((batch, positions, hidden), jnp.bfloat16)
    shapes = [
        jax.ShapeDtypeStruct((batch,), jnp.int32),
        jax.ShapeDtypeStruct((1,), jnp.int32),
        jax.ShapeDtypeStruct((1,), jnp.float32),
        *[x] * 3,
        jax.ShapeDtypeStruct((batch, positions, 1), jnp.float32),
    ]
    lse = jax.ShapeDtypeStruct((batch, hidden // PAIR, 2, positions), jnp.float32)
    grid = (batch, hidden // PAIR, parts)
    inputs = [scalar] * 3 + [some, every, every, bias]
    sums = [pltpu.VMEM((PAIR, positions), jnp.float32)] * 2 if parts > 1 else []
    forward = pl.pallas_call(
        functools.partial(_forward, chunk=tiling.forward_chunk),
        grid=grid,
        in_specs=inputs,
        out_specs=[some, statistics],
        out_shape=[x, lse],
        interpret=interpret,
    )
    backward = pl.pallas_call(
        functools.partial(_backward, chunk=tiling.backward_chunk),
        grid=grid,
        in_specs=[*inputs, some, statistics, some],
        out_specs=[some, every, every],
        out_shape=[x] * 3,
        scratch_shapes=sums,
        interpret=interpret,
    )
    return {"forward": (forward, shapes), "backward": (backward, [*shapes, x, lse, x])}
