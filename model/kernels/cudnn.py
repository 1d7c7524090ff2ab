"""Attention in training by cuDNN, for GPUs: XLA's calls of its fused attention.

Without dropout of the attention weights only: cuDNN's masks come from a counter of the process, and are no
function of step and example.

Source of the calls: jax/_src/cudnn/fused_attention_stablehlo.py of jax 0.10.2.

Legend: B sequences, A heads, S queries, T attended positions (as many), D size of a head.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops

from model.dropout import Mask
from model.kernels.texts import Array
from model.tracing import Gradient

# A product of a call: the (contracted, batch) dimensions of its left and of its right operand.
_Product: TypeAlias = tuple[tuple[int, tuple[int, int]], tuple[int, tuple[int, int]]]
# Queries, keys, values, outputs and their gradients are [B, S, A, D], weights [B, A, S, T].
_INPUTS: _Product = ((3, (0, 2)), (3, (0, 2)))
_FORWARD: dict[str, _Product] = {"bmm1": _INPUTS, "bmm2": ((3, (0, 1)), (1, (0, 2)))}
_BACKWARD: dict[str, _Product] = {
    "bmm1_grad_gemm1": ((2, (0, 1)), (1, (0, 2))),
    "bmm1_grad_gemm2": ((3, (0, 1)), (1, (0, 2))),
    "bmm2_grad_gemm1": ((2, (0, 1)), (1, (0, 2))),
    "bmm2_grad_gemm2": _INPUTS,
}


def attention(
    q_BASD: tf.Tensor, k_BATD: tf.Tensor, v_BATD: tf.Tensor, bias_B11T: tf.Tensor, mask: Mask | None
) -> tf.Tensor:
    """Return what `model.attention.attention` does; padding must be at the end of the sequences.

    Raises:
      ValueError: there is a dropout mask.
    """
    if mask is not None:
        raise ValueError("attention by cuDNN has no dropout")
    batch, heads, positions, size = q_BASD.shape
    sizes = _Sizes(batch, heads, positions, size)
    # The bias of attended positions is 0, of others below -1.
    attended_B = tf.reduce_sum(tf.cast(bias_B11T[:, 0, 0] > -1, tf.int32), -1)
    lengths = [tf.fill([batch], positions), attended_B]

    @tf.custom_gradient
    def call(q: tf.Tensor, k: tf.Tensor, v: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
        # All of them [B, S, A, D].
        y, lse_BAS = _call(sizes, [q, k, v, *lengths], _FORWARD, outputs=1, statistics=True)

        def gradient(dy: tf.Tensor) -> Sequence[tf.Tensor]:
            inputs = [q, k, v, lse_BAS, dy, y, *lengths]
            return _call(sizes, inputs, _BACKWARD, outputs=3, statistics=False)

        return y, gradient

    return _swapped(call(*map(_swapped, (q_BASD, k_BATD, v_BATD))))


@dataclasses.dataclass(frozen=True)
class _Sizes:
    batch: int
    heads: int
    positions: int
    size: int


def _swapped(x: tf.Tensor) -> tf.Tensor:
    """Return [B, S, A, D] for [B, A, S, D], and the other way round."""
    return tf.transpose(x, [0, 2, 1, 3])


def _call(
    sizes: _Sizes,
    inputs: Sequence[tf.Tensor],
    products: Mapping[str, _Product],
    *,
    outputs: int,
    statistics: bool,
) -> Sequence[tf.Tensor]:
    """Return the results of a call: tensors [B, S, A, D], then the float32 statistics [B, A, S]."""
    x = Array((sizes.batch, sizes.positions, sizes.heads, sizes.size), "bfloat16")
    results = [x] * outputs
    if statistics:
        results.append(Array((sizes.batch, sizes.heads, sizes.positions), "float32"))
    arguments = [Array(tuple(each.shape), each.dtype.name) for each in inputs]
    return gen_xla_ops.xla_call_module(
        inputs,
        version=9,
        module=_stablehlo(sizes, arguments, results, products),
        Sout=[result.shape for result in results],
        Tout=[tf.dtypes.as_dtype(result.dtype) for result in results],
        platforms=["CUDA"],
        # The step is also lowered on machines without a GPU, to hand it to another compiler.
        disabled_checks=["platform", "custom_call"],
    )


def _stablehlo(
    sizes: _Sizes,
    arguments: Sequence[Array],
    results: Sequence[Array],
    products: Mapping[str, _Product],
) -> str:
    """Return a module that calls cuDNN, and returns its results without its work space."""
    # A call has its results as [B, A, S, D], in memory as [B, S, A, D].
    x = Array((sizes.batch, sizes.heads, sizes.positions, sizes.size), "bfloat16")
    called = [str(x if len(each.shape) == 4 else each) for each in results]
    layouts = [
        _layout(3, 1, 2, 0) if len(each.shape) == 4 else _layout(2, 1, 0) for each in results
    ]
    operands = [_layout(*reversed(range(len(each.shape)))) for each in arguments]
    config = json.dumps(_backend_config(sizes, products)).replace('"', '\\"')
    target = "__cudnn$fmhaSoftmax" + ("Backward" if products is _BACKWARD else "")
    names = ", ".join(f"%arg{i}" for i in range(len(arguments)))
    typed = ", ".join(f"%arg{i}: {each}" for i, each in enumerate(arguments))
    lines, returned = [], []
    for i, each in enumerate(results):
        if len(each.shape) == 4:
            lines.append(
                f"    %r{i} = stablehlo.transpose %all#{i}, dims = [0, 2, 1, 3] : ({x}) -> {each}"
            )
        returned.append(f"%r{i}" if len(each.shape) == 4 else f"%all#{i}")
    swapped = "\n".join(lines)
    types = ", ".join(map(str, results))
    return f"""module @cudnn {{
  func.func public @main({typed}) -> ({types}) {{
    %all:{len(results) + 1} = stablehlo.custom_call @{target}({names}) {{
      api_version = 2 : i32,
      backend_config = "{config}",
      operand_layouts = [{", ".join(operands)}],
      result_layouts = [{", ".join(layouts)}, {_layout(0)}]
    }} : ({", ".join(map(str, arguments))}) -> ({", ".join(called)}, tensor<0xui8>)
{swapped}
    return {", ".join(returned)} : {types}
  }}
}}"""


def _layout(*minor_to_major: int) -> str:
    return f"dense<[{', '.join(map(str, minor_to_major))}]> : tensor<{len(minor_to_major)}xindex>"


def _backend_config(sizes: _Sizes, products: Mapping[str, _Product]) -> dict[str, Any]:
    """Return XLA's CudnnfMHABackendConfig in its JSON form."""
    weights = (sizes.batch, sizes.heads, sizes.positions, sizes.positions)
    config: dict[str, Any] = {
        "algorithm": {
            "algo_id": "0",
            "math_type": "TENSOR_OP_MATH",
            "tuning_knobs": {"17": "1", "24": "0"},
            "is_cudnn_frontend": True,
            "workspace_size": "0",
        },
        "fmha_scale": sizes.size**-0.5,
        "dropout_rate": 0.0,
        "seed": 0,
        "intermediate_tensor_shape": {
            "element_type": "BF16",
            "dimensions": [str(each) for each in weights],
            "layout": {"minor_to_major": ["3", "2", "1", "0"]},
            "is_dynamic_dimension": [False] * 4,
        },
        "is_flash_attention": True,
        "mask_type": "PADDING",
        "sliding_window_length": 0,
    }
    for name, ((left, left_batch), (right, right_batch)) in products.items():
        config[f"{name}_dot_dimension_numbers"] = {
            "lhs_contracting_dimensions": [str(left)],
            "rhs_contracting_dimensions": [str(right)],
            "lhs_batch_dimensions": [str(each) for each in left_batch],
            "rhs_batch_dimensions": [str(each) for each in right_batch],
        }
    return {"operation_queue_id": "0", "cudnn_fmha_backend_config": config}
