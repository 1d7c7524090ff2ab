"""Time tilings of the kernels for GPUs on this machine's GPU.

    python3 tune.py forward backward_queries backward_keys --output_file tilings.jsonl

Needs this folder's gpu.py, jax with CUDA and numpy. Writes a row for each kernel and tiling; the winners
go into TILINGS of gpu.py. `difference` is the largest one to the outputs of the first tiling, relative to
the largest output.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import itertools
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gpu
import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.pallas import triton as triton_backend

# Its name in jax since 0.7.
if not hasattr(triton_backend, "TritonCompilerParams"):
    triton_backend.TritonCompilerParams = triton_backend.CompilerParams

_CALLS, _REPEATS = 20, 4


def tilings() -> list[gpu.Tiling]:
    """Return the tilings that fit into the registers of a multiprocessor."""
    choices = itertools.product((64, 128), (32, 64, 128), (4, 8), (1, 2, 3, 4))
    return [gpu.Tiling(*c) for c in choices if c[:3] != (64, 128, 8)]


def random_arguments(shapes: Sequence[jax.ShapeDtypeStruct]) -> list[jax.Array]:
    """Return arguments of a kernel: 10% dropout, and otherwise noise."""
    threshold, factor = round(0.1 * 2**32), 1 / 0.9
    values: list[Any] = []
    for index, shape in enumerate(shapes):
        random = np.random.RandomState(index)
        if shape.dtype == jnp.uint32:
            bits = random.randint(0, 2**31, shape.shape)
            values.append(jnp.asarray([threshold] if shape.shape == (1,) else bits, jnp.uint32))
        elif shape.shape == (1,):
            values.append(jnp.asarray([factor], jnp.float32))
        else:
            # Statistics of the forward pass are large, so that weights stay below 1.
            offset = 8.0 if len(shape.shape) == 3 and shape.dtype == jnp.float32 else 0.0
            values.append(jnp.asarray(random.standard_normal(shape.shape) + offset, shape.dtype))
    return jax.block_until_ready(values)


def time_call(compiled: Any, arguments: Sequence[jax.Array]) -> tuple[float, list[jax.Array]]:
    """Return seconds of a call, the best mean of several repeats, and its outputs."""
    outputs = jax.block_until_ready(compiled(*arguments))
    means = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        for _ in range(_CALLS):
            outputs = compiled(*arguments)
        jax.block_until_ready(outputs)
        means.append((time.perf_counter() - started) / _CALLS)
    return min(means), outputs


def time_tilings(name: str, *, batch: int, positions: int, hidden: int) -> list[dict[str, Any]]:
    """Return the rows of a kernel, fastest first; tilings that do not compile have an error."""

    def compile_with(tiling: gpu.Tiling) -> Any:
        table = {**gpu.TILINGS, name: tiling}
        kernel, shapes = gpu.kernels(batch, positions, hidden, tilings=table)[name]
        return jax.jit(lambda *a: kernel(*a)).lower(*shapes).compile()

    _, shapes = gpu.kernels(batch, positions, hidden)[name]
    arguments = random_arguments(shapes)
    rows, reference = [], None
    with concurrent.futures.ThreadPoolExecutor() as pool:
        futures = {tiling: pool.submit(compile_with, tiling) for tiling in tilings()}
    for tiling, future in futures.items():
        row = {"kernel": name, "tiling": [getattr(tiling, f) for f in tiling.__dataclass_fields__]}
        if error := future.exception():
            rows.append({**row, "error": str(error)[:200]})
            continue
        seconds, outputs = time_call(future.result(), arguments)
        found = np.asarray(outputs[0].astype(jnp.float32))
        reference = found if reference is None else reference
        difference = float(np.abs(found - reference).max() / np.abs(reference).max())
        rows.append({**row, "ms": round(1e3 * seconds, 4), "difference": difference})
    return sorted(rows, key=lambda row: row.get("ms", float("inf")))


def main() -> None:
    """Time the kernels that the command line names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kernels", nargs="+", choices=sorted(gpu.TILINGS))
    parser.add_argument("--batch", type=int, default=32, help="sequences")
    parser.add_argument("--positions", type=int, default=512)
    parser.add_argument("--hidden", type=int, default=1024)
    parser.add_argument("--output_file", type=Path, required=True)
    args = parser.parse_args()
    sizes = {"batch": args.batch, "positions": args.positions, "hidden": args.hidden}
    with args.output_file.open("a") as file:
        for name in args.kernels:
            for row in time_tilings(name, **sizes):
                print(
                    json.dumps({**row, **sizes, "device": jax.devices()[0].device_kind}), file=file
                )


if __name__ == "__main__":
    main()
