"""Kernels of an optimised program for GPUs, and the bytes that they read and write.

A kernel reads each of its operands and writes each of its results once and in full, as if nothing stayed
in the cache. A gather therefore counts its whole table.
"""

from __future__ import annotations

import collections
import dataclasses
import re
from collections.abc import Iterator

from bench.tpu.hlo import shape_bytes, walk

PRODUCTS, CALLS, REST = "products", "calls", "rest"
# Instructions that move nothing, or whose parts are listed themselves.
_NO_KERNELS = {
    *("parameter", "constant", "bitcast", "tuple", "get-tuple-element", "after-all"),
    *("while", "call", "conditional"),
}
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%([\w.\-]+) = (\(.*?\)|\S+) ([\w\-]+)\((.*?)\)(.*)$")
_OPERAND = re.compile(r"%([\w.\-]+)")
_TARGET = re.compile(r'custom_call_target="([^"]+)"')
_FUSION_KIND = re.compile(r'"fusion_backend_config":\{"kind":"(\w+)"')
_PRODUCT = re.compile(r"cublas|gemm|cutlass")


@dataclasses.dataclass(frozen=True)
class Kernel:
    """Instruction that runs on the device.

    Attributes:
      kind: PRODUCTS for matrix products, CALLS for other kernels that XLA did not make itself, such as
        those of cuDNN and Triton, REST for all others.
      shape: its results.
      operands: shapes of the operands.
      num_bytes: bytes of operands and results.
      runs: number of runs in an update.
    """

    kind: str
    shape: str
    operands: tuple[str, ...]
    num_bytes: int
    runs: int


def kernels(text: str) -> Iterator[Kernel]:
    """Yield the kernels of a program in the order in which they run.

    Args:
      text: HLO after all passes, from `executable.hlo_modules()[0].to_string()`.
    """
    shapes: dict[str, str] = {}
    for instruction, runs in walk(text):
        match = _INSTRUCTION.match(instruction)
        assert match is not None, instruction
        name, shape, operation, operands, rest = match.groups()
        kind = _kind(operation, rest)
        if kind == PRODUCTS and shape.startswith("("):
            shape = re.sub(r", s8\[\d+\]\{0\}(?=\)$)", "", shape)  # working memory of the library
        shapes[name] = shape
        if operation in _NO_KERNELS or operation.endswith("-done"):
            continue
        read = tuple(
            shapes.get(operand, "") for operand in dict.fromkeys(_OPERAND.findall(operands))
        )
        num_bytes = sum(sum(shape_bytes(part)) for part in (shape, *read))
        yield Kernel(kind, shape, read, num_bytes, runs)


def _kind(operation: str, rest: str) -> str:
    if operation in ("dot", "convolution"):
        return PRODUCTS
    if operation == "custom-call" and (target := _TARGET.search(rest)):
        return PRODUCTS if _PRODUCT.search(target[1]) else CALLS
    fusion = _FUSION_KIND.search(rest)
    return PRODUCTS if fusion and _PRODUCT.search(fusion[1]) else REST


def totals(text: str) -> dict[str, int]:
    """Return the number of kernels and the bytes of each kind, as in a row of results."""
    number: collections.Counter[str] = collections.Counter()
    num_bytes: collections.Counter[str] = collections.Counter()
    for kernel in kernels(text):
        number[kernel.kind] += kernel.runs
        num_bytes[kernel.kind] += kernel.runs * kernel.num_bytes
    return {
        "kernels": number.total(),
        **{f"{kind}_kernels": number[kind] for kind in (PRODUCTS, CALLS)},
        **{f"{kind}_bytes": num_bytes[kind] for kind in (PRODUCTS, CALLS, REST)},
    }


def largest(text: str, number: int) -> list[str]:
    """Return lines with the kernels that move the most bytes, equal ones as one."""
    num_bytes: collections.Counter[tuple[str, str]] = collections.Counter()
    runs: collections.Counter[tuple[str, str]] = collections.Counter()
    for kernel in kernels(text):
        read = sorted((o for o in kernel.operands if o), key=lambda o: -sum(shape_bytes(o)))
        shapes = " <- ".join([kernel.shape, ", ".join(read)])
        key = (kernel.kind, re.sub(r"\{[^}]*\}|/\*.*?\*/", "", shapes)[:150])
        num_bytes[key] += kernel.runs * kernel.num_bytes
        runs[key] += kernel.runs
    return [
        f"{moved / 1e9:9.3f} GB {runs[kind, shapes]:5} runs  {kind:8}  {shapes}"
        for (kind, shapes), moved in num_bytes.most_common(number)
    ]
