"""Interpreter, in numpy, of kernels for TPUs in the text form of Mosaic, without loops and branches."""

import re
from collections.abc import Callable

import numpy as np
import tensorflow as tf

BFLOAT16 = tf.bfloat16.as_numpy_dtype
_TYPES = {
    "i32": np.dtype(np.int32),
    "index": np.dtype(np.int64),
    "i1": np.dtype(bool),
    "f32": np.dtype(np.float32),
    "bf16": np.dtype(BFLOAT16),
}
_OPERATION = re.compile(
    r"\s*(?:(?P<result>%\w+) = )?\"stable_mosaic\.(?P<name>[\w.]+)\"\((?P<operands>[^()]*)\)"
    r"(?: \{(?P<attributes>.*)\})? : \(.*\) -> (?P<type>.*)$"
)
_ARGUMENT = re.compile(r"(%arg\d+): ")
_SIGNED_AT_LEAST = 5  # the predicate of arith.cmpi


def run(text: str, rounds: tuple[int, ...], blocks: list[np.ndarray]) -> list[np.ndarray]:
    """Run one round of a kernel's grid.

    Args:
      text: the kernel; its first function is the round.
      rounds: numbers of the round, one for each axis of the grid.
      blocks: what each argument refers to; results are written into them.

    Returns:
      What the comparisons of the kernel found, in their order.
    """
    lines = text.splitlines()
    names = _ARGUMENT.findall(lines[2])
    numbers = [np.int32(n) for n in rounds]
    values: dict[str, np.ndarray] = dict(zip(names, [*numbers, *blocks], strict=True))
    comparisons = []
    for line in lines[3:]:
        operation = _OPERATION.match(line)
        name = operation["name"]
        if name == "func.return":
            return comparisons
        operands = [values[operand] for operand in re.findall(r"%\w+", operation["operands"])]
        result = _evaluate(name, operands, operation["attributes"] or "", operation["type"])
        if name == "arith.cmpi":
            comparisons.append(result)
        if operation["result"]:
            values[operation["result"]] = result
    raise ValueError("the function does not return")


def _evaluate(name: str, operands: list, attributes: str, type_text: str) -> np.ndarray | None:
    if name == "tpu.vector_store":
        value, block, *start = operands
        block[_window(start, value.shape)] = value
        return None
    shape, dtype = _parse_type(type_text)
    if name in _ELEMENTWISE:
        return _elementwise(name, operands, dtype)
    result = _OTHERS[name](operands, attributes, shape, dtype)
    assert result.shape == shape, (name, result.shape, shape)
    return result.astype(dtype)


def _parse_type(text: str) -> tuple[tuple[int, ...], np.dtype]:
    """Return shape and type of "vector<512x64xbf16>" or "i32"."""
    vector = re.match(r"vector<((?:\d+x)+)(\w+)>", text)
    if vector is None:
        return (), _TYPES[text]
    return tuple(int(n) for n in vector[1].split("x")[:-1]), _TYPES[vector[2]]


def _elementwise(name: str, operands: list, dtype: np.dtype) -> np.ndarray:
    """Compute integers modulo 2**32, and bfloat16 by rounding results in float32."""
    function: Callable = _ELEMENTWISE[name]
    with np.errstate(over="ignore"):
        if dtype == np.int32:
            unsigned = [np.asarray(x).view(np.uint32) for x in operands]
            return np.asarray(function(*unsigned), np.uint32).view(np.int32)
        floats = [np.asarray(x, np.float32) for x in operands]
        return function(*floats).astype(dtype)


_ELEMENTWISE = {
    "arith.xori": np.bitwise_xor,
    "arith.shrui": np.right_shift,
    "arith.muli": np.multiply,
    "arith.addi": np.add,
    "arith.mulf": np.multiply,
    "arith.addf": np.add,
    "arith.subf": np.subtract,
    "arith.divf": np.divide,
    "math.exp": np.exp,
    "math.log": np.log,
    "arith.extf": np.asarray,
    "arith.truncf": np.asarray,
}


def _window(start: list, shape: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(int(s), int(s) + size) for s, size in zip(start, shape, strict=True))


def _integers(name: str, attributes: str) -> list[int]:
    found = re.search(rf"{name} = (?:array<i64: ([^>]*)>|\[([^\]]*)\]|(\d+))", attributes)
    return [int(n) for n in next(filter(None, found.groups())).split(",")]


def _constant(operands, attributes, shape, dtype):
    text = re.match(r"value = (?:dense<)?([^> ]+)", attributes)[1]
    if text.startswith("0x"):
        value = np.array(int(text, 16), np.uint32).view(np.float32)
    else:
        value = np.array(float(text) if dtype.kind != "i" else int(text))
    return np.broadcast_to(value.astype(dtype), shape)


def _load(operands, attributes, shape, dtype):
    block, *start = operands
    return block[_window(start, shape)] if shape else block[tuple(int(s) for s in start)]


def _slice(operands, attributes, shape, dtype):
    return operands[0][_window(_integers("offsets", attributes), shape)]


def _product(operands, attributes, shape, dtype):
    left, right, added = operands
    axes = re.search(r"dot_dimension_numbers<\[(\d)\], \[(\d)\]", attributes)
    a, b = (np.asarray(x, np.float32) for x in (left, right))
    return np.tensordot(a, b, axes=([int(axes[1])], [int(axes[2])])) + added


def _reduction(operands, attributes, shape, dtype):
    (axis,) = _integers("reduction_dims", attributes)
    source, start = operands
    if "maximumf" in attributes:
        return np.maximum(source.max(axis), start)
    assert "add" in attributes, attributes
    return source.sum(axis) + start


def _compare(operands, attributes, shape, dtype):
    assert _integers("predicate", attributes) == [_SIGNED_AT_LEAST]
    return operands[0] >= operands[1]


def _iota(operands, attributes, shape, dtype):
    (axis,) = _integers("dimension", attributes)
    places = np.arange(shape[axis]).reshape([-1 if i == axis else 1 for i in range(len(shape))])
    return np.broadcast_to(places, shape)


_OTHERS = {
    "arith.constant": _constant,
    "arith.index_cast": lambda operands, *_: np.asarray(operands[0]),
    "arith.cmpi": _compare,
    "arith.select": lambda operands, *_: np.where(*operands),
    "memref.load": _load,
    "vector.load": _load,
    "vector.broadcast": lambda operands, _, shape, dtype: np.broadcast_to(operands[0], shape),
    "vector.shape_cast": lambda operands, _, shape, dtype: np.reshape(operands[0], shape),
    "vector.transpose": lambda operands, attributes, *_: np.transpose(
        operands[0], _integers("permutation", attributes)
    ),
    "vector.extract_strided_slice": _slice,
    "vector.multi_reduction": _reduction,
    "tpu.concatenate": lambda operands, attributes, *_: np.concatenate(
        operands, *_integers("dimension", attributes)
    ),
    "tpu.iota": _iota,
    "tpu.matmul": _product,
}
