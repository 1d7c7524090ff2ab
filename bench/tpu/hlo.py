"""What a program compiled for a TPU says about itself: the compiler's estimate of its time.

Every fusion of the text carries `"estimated_cycles"` in its `backend_config`, the figure by which the
compiler chose its tiling. Their sum, with the bodies of loops times their trip counts, is the
estimate of a step: it has no noise, and it is no measurement. Copies that run beside the computation
(`copy-start`, `slice-start`) carry no cycles, so their bytes are counted apart.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

_BYTES = {
    "pred": 1,
    "s8": 1,
    "u8": 1,
    "bf16": 2,
    "f16": 2,
    "s16": 2,
    "u16": 2,
    "s32": 4,
    "u32": 4,
    "f32": 4,
}
_HEADER = re.compile(r"^(ENTRY )?%([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%([\w.\-]+) = (.*)$")
_SHAPE = re.compile(r"(\w+)\[([\d,]*)\]")
_CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')
_LIMIT = re.compile(r" compare\(%[\w.\-]+, %([\w.\-]+)\), direction=LT")
_CALLED = re.compile(r"\b(?:condition|body|to_apply)=%([\w.\-]+)")
_BRANCHES = re.compile(r"\bbranch_computations=\{([^}]*)\}")


class UnknownTripCountError(ValueError):
    """A loop whose number of rounds the compiler does not know: its time cannot be estimated."""


@dataclasses.dataclass(frozen=True)
class Cost:
    """Of one run of a program or of a part.

    Attributes:
      cycles: estimated.
      kernels: fusions with an estimate, each as often as it runs.
      copied_bytes: moved by asynchronous copies, which have no estimate.
    """

    cycles: int = 0
    kernels: int = 0
    copied_bytes: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.cycles + other.cycles,
            self.kernels + other.kernels,
            self.copied_bytes + other.copied_bytes,
        )

    def times(self, rounds: int) -> Cost:
        """The cost of that many runs."""
        return Cost(self.cycles * rounds, self.kernels * rounds, self.copied_bytes * rounds)


@dataclasses.dataclass(frozen=True)
class Kernel:
    """An instruction with an estimate, and how often it runs."""

    name: str
    shape: str
    operation: str
    cycles: int
    rounds: int


def cost(text: str) -> Cost:
    """The cost of a whole program.

    Args:
      text: HLO after all passes, as `executable.hlo_modules()[0].to_string()` gives it.

    Raises:
      UnknownTripCountError: it has a loop without a known number of rounds.
    """
    total = Cost()
    for instruction, rounds in _walk(text):
        found = _CYCLES.search(instruction)
        cycles = int(found[1]) if found else 0
        total += Cost(cycles, bool(found), _copied_bytes(instruction)).times(rounds)
    return total


def kernels(text: str) -> list[Kernel]:
    """All instructions with an estimate, in the order in which they run."""
    found = []
    for instruction, rounds in _walk(text):
        if cycles := _CYCLES.search(instruction):
            name, rest = _INSTRUCTION.match(instruction).groups()
            shape = re.sub(r"\{[^}]*\}", "", rest.partition(" fusion(")[0])
            operation = re.search(r'op_name="([^"]*)"', rest)
            operation = operation[1] if operation else ""
            found.append(Kernel(name, shape, operation, int(cycles[1]), rounds))
    return found


def _walk(text: str) -> Iterator[tuple[str, int]]:
    """Instructions of the program and of its loops and calls, with the number of their rounds."""
    entry, computations = _computations(text)

    def walk(name: str, rounds: int) -> Iterator[tuple[str, int]]:
        for instruction in computations[name]:
            yield instruction, rounds
            if " while(" in instruction:
                parts = _CALLED.findall(instruction)
                trips = _trips(computations[parts[0]])
                for part in parts:
                    yield from walk(part, rounds * trips)
            elif " call(" in instruction:
                yield from walk(_CALLED.search(instruction)[1], rounds)
            elif branches := _BRANCHES.search(instruction):
                # The branch that costs most: nobody knows which one is taken.
                parts = [list(walk(b.strip(" %"), rounds)) for b in branches[1].split(",")]
                yield from max(parts, key=_cycles_of)

    return walk(entry, 1)


def _trips(condition: list[str]) -> int:
    """Rounds of a loop that counts from 0 by 1: its condition compares the counter to a constant."""
    limits = [limit[1] for line in condition if (limit := _LIMIT.search(line))]
    for line in condition:
        name, rest = _INSTRUCTION.match(line).groups()
        if [name] == limits and (constant := re.search(r" constant\((\d+)\)", rest)):
            return int(constant[1])
    raise UnknownTripCountError(f"a loop with the condition {' '.join(condition)[:200]}")


def _cycles_of(part: list[tuple[str, int]]) -> int:
    return sum(int(m[1]) * rounds for line, rounds in part if (m := _CYCLES.search(line)))


def _computations(text: str) -> tuple[str, dict[str, list[str]]]:
    """Name of the entry, and the instructions of every computation."""
    entry, current, found = "", None, {}
    for line in text.splitlines():
        if header := _HEADER.match(line):
            current = header[2]
            found[current] = []
            if header[1]:
                entry = current
        elif current and _INSTRUCTION.match(line):
            found[current].append(line)
    if not entry:
        raise ValueError("the text is no HLO module: it has no ENTRY")
    return entry, found


def _copied_bytes(instruction: str) -> int:
    """What a copy that runs beside the computation moves: its destination, the second shape."""
    if not re.search(r" (?:copy|slice)-start\(", instruction):
        return 0
    dtype, dimensions = _SHAPE.findall(instruction.partition("-start(")[0])[1]
    size = _BYTES[dtype]
    for dimension in dimensions.split(","):
        size *= int(dimension or 1)
    return size
