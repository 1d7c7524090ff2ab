"""Texts of the kernels, and StableHLO that calls one.

A kernel is a file in this folder, in MLIR of Mosaic (TPUs) or Triton (GPUs), for a number of positions;
batch size and width are filled in. `index.json` has its sha256 and how to start it.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import hashlib
import json
import string
from collections.abc import Sequence
from pathlib import Path

from data.checked_json import Record, read_json
from data.errors import UserError

HEAD_SIZE = 64
_FOLDER = Path(__file__).resolve().parent
_REMEDY = "install the package again, or run make kernels in a checkout"
_MLIR_TYPES = {"bfloat16": "bf16", "float32": "f32", "int32": "i32", "uint32": "ui32"}
_LARGEST_INDEX = 2**31 - 1  # kernels for GPUs address elements with 32 bits


@dataclasses.dataclass(frozen=True)
class Array:
    """Shape and type of an argument or a result."""

    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        """Return the type in MLIR."""
        dimensions = "".join(f"{size}x" for size in self.shape)
        return f"tensor<{dimensions}{_MLIR_TYPES[self.dtype]}>"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sizes:
    """Sizes of attention in one call.

    Attributes:
      batch: sequences.
      positions: queries, and keys, of a sequence.
      heads: heads of size HEAD_SIZE.
    """

    batch: int
    positions: int
    heads: int

    @property
    def hidden(self) -> int:
        """Width of queries, keys and values: all heads next to each other."""
        return self.heads * HEAD_SIZE


def lengths(device: str) -> list[int]:
    """Return the numbers of positions for which there are kernels, in order.

    Args:
      device: "tpu" or "gpu".
    """
    return sorted({int(name.split("-")[1]) for name in _index() if name.startswith(device)})


def stablehlo(
    device: str,
    kernel: str,
    sizes: Sizes,
    *,
    arguments: Sequence[Array],
    results: Sequence[Array],
) -> str:
    """Return a module whose function `main` calls a kernel.

    Args:
      device: "tpu" or "gpu".
      kernel: name of the kernel in index.json, without device and number of positions.
      sizes: sizes for which the kernel is called.
      arguments: arguments of the kernel.
      results: results of the kernel.

    Raises:
      UserError: a file is damaged, or the batch is too large.
    """
    name = f"{device}-{sizes.positions}-{kernel}"
    if device == "tpu":
        target, attributes = "tpu_custom_call", _on_tpu(name, sizes)
    else:
        target, attributes = "__gpu$xla.gpu.triton", _on_gpu(name, sizes)
    names = [f"%arg{i}" for i in range(len(arguments))]
    declared = ", ".join(f"{n}: {array}" for n, array in zip(names, arguments, strict=True))
    given, returned = (", ".join(map(str, arrays)) for arrays in (arguments, results))
    values = ", ".join(f"%0#{i}" for i in range(len(results))) if len(results) > 1 else "%0"
    number = f":{len(results)}" if len(results) > 1 else ""
    attributes += f", operand_layouts = {_layouts(arguments)}, result_layouts = {_layouts(results)}"
    call = f"stablehlo.custom_call @{target}({', '.join(names)})"
    return f"""module @{name.replace("-", "_")} {{
  func.func public @main({declared}) -> ({returned}) {{
    %0{number} = {call} {{{attributes}}} : ({given}) -> ({returned})
    return {values} : {returned}
  }}
}}
"""


def _on_tpu(name: str, sizes: Sizes) -> str:
    text = _text(name).substitute(batch=sizes.batch, pairs=sizes.heads // 2)
    config = {
        "body": base64.b64encode(text.encode()).decode(),
        "serialization_format": 1,
        "needs_layout_passes": True,
    }
    quoted = _quoted(json.dumps({"custom_call_config": config}))
    return f'backend_config = "{quoted}", kernel_name = "{name}"'


def _on_gpu(name: str, sizes: Sizes) -> str:
    if sizes.batch * sizes.positions * sizes.hidden > _LARGEST_INDEX:
        raise UserError(
            f"TrainConfig.attention='kernel': a micro-batch of {sizes.batch} sequences is too large;"
            " lower TrainConfig.micro_batch_size"
        )
    text = _text(name).substitute(
        hidden=sizes.hidden,
        sequence=sizes.positions * sizes.hidden,
        statistics=sizes.positions * sizes.heads,
    )
    record = _index()[name]
    grid = record.integer("blocks", minimum=1), sizes.heads, sizes.batch
    axes = ", ".join(f"grid_{axis} = {n} : i32" for axis, n in zip("xyz", grid, strict=True))
    function = record.text("function")
    shape = (
        f"num_stages = {record.integer('stages', minimum=1)} : i32,"
        f" num_warps = {record.integer('warps', minimum=1)} : i32"
    )
    return (
        f'backend_config = "", mhlo.backend_config = {{debug = false, {axes}, ir = "{_quoted(text)}",'
        f' name = "{function}", {shape}}}'
    )


@functools.cache
def _index() -> dict[str, Record]:
    return read_json(_FOLDER / "index.json", remedy=_REMEDY).mappings("kernels")


@functools.cache
def _text(name: str) -> string.Template:
    """Return the text of a kernel, whose sizes are to be filled in."""
    path = _FOLDER / f"{name}.mlir"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; {_REMEDY}") from None
    if hashlib.sha256(content).hexdigest() != _index()[name].sha256("sha256"):
        raise UserError(f"{path} is damaged: its sha256 is not that of index.json; {_REMEDY}")
    return string.Template(content.decode())


def _quoted(text: str) -> str:
    """Return the content of a string in MLIR."""
    return "".join(
        c if c.isascii() and c.isprintable() and c not in '"\\' else f"\\{ord(c):02X}" for c in text
    )


def _layouts(arrays: Sequence[Array]) -> str:
    def layout(rank: int) -> str:
        axes = ", ".join(str(axis) for axis in reversed(range(rank)))
        return f"dense<{axes if rank == 1 else f'[{axes}]'}> : tensor<{rank}xindex>"

    return f"[{', '.join(layout(len(array.shape)) for array in arrays)}]"
