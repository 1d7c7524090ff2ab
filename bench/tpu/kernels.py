"""Calls of our own kernels in a step, and what they cost.

The compiler has no estimate for a kernel of Mosaic. But it can print the instructions of one: VLIW
bundles, one of which starts in each cycle. A kernel runs once per round of its grid, and its copies add
a round before and after. So its cycles are at least bundles x (rounds + 2); waits for memory are not in
this. For a matrix product written both ways, bundles were 10% less than XLA's estimate.
"""

from __future__ import annotations

import base64
import dataclasses
import math
import re

_CALL = re.compile(
    r"stablehlo\.custom_call @tpu_custom_call\([^)]*\) \{(?P<attributes>.*)\}"
    r" : \((?P<arguments>[^()]*)\) -> (?:\((?P<several>[^()]*)\)|tuple<(?P<tuple>.*)>|(?P<one>tensor<[^>]*>))"
)
_BODY = re.compile(r"\\22body\\22: \\22([A-Za-z0-9+/=]*)\\22")
_BOUNDS = re.compile(r"iteration_bounds = array<i64: ([\d, ]+)>")
_TENSOR = re.compile(r"tensor<[^>]*>")
# Matrix products [S, D] x [D, T] of attention; the scores that the backward pass computes again do not count.
_PRODUCTS = {"forward": 2, "backward": 4}


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A kernel, for one set of sizes.

    Attributes:
      body: its text, base64, which also identifies its calls in optimized HLO.
      module: StableHLO that consists of one call.
    """

    body: str
    module: str

    @property
    def rounds(self) -> int:
        """Rounds of the grid."""
        return math.prod(int(n) for n in _BOUNDS.search(self._text)[1].split(","))

    @property
    def flops(self) -> int:
        """Operations of the matrix products of a call."""
        name = re.match(r"module @_(\w+)", self._text)[1]
        shape = re.search(r"tensor<(\d+)x(\d+)x(\d+)xbf16>", self.module)
        batch, positions, hidden = (int(n) for n in shape.groups())
        return _PRODUCTS[name] * 2 * batch * positions**2 * hidden

    @property
    def _text(self) -> str:
        return base64.b64decode(self.body).decode()


def kernels(stablehlo: str) -> list[Kernel]:
    """Return the different kernels that a program calls."""
    found = {}
    for call in _CALL.finditer(stablehlo):
        body = _BODY.search(call["attributes"])[1]
        if body not in found:
            arguments = _TENSOR.findall(call["arguments"])
            results = _TENSOR.findall(call["several"] or call["tuple"] or call["one"])
            # What TensorFlow adds for tuples.
            attributes = re.sub(r', xla_shape = "[^"]*"', "", call["attributes"])
            found[body] = Kernel(body, _module(attributes, arguments, results))
    return list(found.values())


def _module(attributes: str, arguments: list[str], results: list[str]) -> str:
    names = [f"%arg{i}" for i in range(len(arguments))]
    declared = ", ".join(f"{name}: {kind}" for name, kind in zip(names, arguments, strict=True))
    given, returned = ", ".join(arguments), ", ".join(results)
    values = ", ".join(f"%0#{i}" for i in range(len(results))) if len(results) > 1 else "%0"
    number = f":{len(results)}" if len(results) > 1 else ""
    call = f"stablehlo.custom_call @tpu_custom_call({', '.join(names)})"
    return f"""module @kernel {{
  func.func public @main({declared}) -> ({returned}) {{
    %0{number} = {call} {{{attributes}}} : ({given}) -> ({returned})
    return {values} : {returned}
  }}
}}
"""
