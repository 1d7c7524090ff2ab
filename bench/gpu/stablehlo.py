"""Text of an exported program: what it takes and returns, and what a client without TensorFlow can read."""

from __future__ import annotations

import collections
import re

# Where in the source an operation comes from: most of the text. Locations nest parentheses three deep. Other
# texts in quotation marks come first, because the kernel of a custom call may contain locations, too.
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_LOCATION = re.compile(
    rf"(?P<kept>{_QUOTED})"
    rf"| loc\((?:[^()\"]|{_QUOTED}|\([^()]*\)|\((?:[^()]|\([^()]*\))*\))*\)"
    r"|^#loc.*\n",
    re.MULTILINE,
)
_COPY = re.compile(r"mhlo\.copy (%\S+) : (tensor<[^>]*>)")
_FOREIGN = re.compile(r"= \"?((?:mhlo|chlo|tf|vhlo|sdy)\.\w+)|custom_call (@[\w$.]+)")
_ALIAS = re.compile(r"parameter_number = (\d+) : i64\}, output_index = array<i64(?:: (\d+))?>")
_DOT_PRECISION = "precision = [DEFAULT, DEFAULT]"


def without_locations(text: str) -> str:
    """Return a program without the places in the source that its operations come from."""
    return _LOCATION.sub(lambda match: match["kept"] or "", text)


def portable(text: str) -> str:
    """Return a program without what only TensorFlow's own build of MLIR knows.

    TensorFlow copies each variable that is written. A reshape to the same shape is nothing to XLA; a
    barrier, as in bench/tpu/lower.py, would keep the update of a variable apart from what reads it.
    """
    return _COPY.sub(r"stablehlo.reshape \1 : (\2) -> \2", text)


def with_full_precision(text: str) -> str:
    """Return a program whose float32 products are computed in float32; GPUs default to tf32."""
    return text.replace(_DOT_PRECISION, "precision = [HIGHEST, HIGHEST]")


def foreign_operations(text: str) -> dict[str, int]:
    """Return how often other dialects' operations and the targets of custom calls occur."""
    found = (dialect or target for dialect, target in _FOREIGN.findall(text))
    return dict(collections.Counter(found))


def aliases(text: str) -> dict[int, int]:
    """Return which arguments' memory results take over: the number of the result by that of the argument.

    TensorFlow says it in an attribute of the module. Who runs the program must use each such result in
    place of the argument from then on.
    """
    return {int(argument): int(result or 0) for argument, result in _ALIAS.findall(text)}


def argument_types(text: str) -> list[str]:
    """Return the types of the arguments of the main function, such as "2x128xi32"."""
    signature = re.search(r"func\.func (?:public )?@main\((.*)", text)
    if signature is None:
        raise ValueError("the program has no main function")
    return re.findall(r"%arg\d+: tensor<([^>]*)>", signature[1])
