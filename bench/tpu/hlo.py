"""Parser of optimised HLO: the TPU compiler's estimates of a program's time.

Every fusion has `"estimated_cycles"` in its `backend_config`, the figure by which the compiler chose
its tiling. Their sum, with the bodies of loops multiplied by their trip counts, estimates a step; it has
no noise, but is not a measurement. Asynchronous copies (`copy-start`, `slice-start`) have no estimate,
so their bytes are counted separately.
"""

from __future__ import annotations

import dataclasses
import math
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
    "s64": 8,
    "u64": 8,
    "f64": 8,
}
_HEADER = re.compile(r"^(ENTRY )?%([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%([\w.\-]+) = (.*)$")
_SHAPE = re.compile(r"(\w+)\[([\d,]*)\]")
_CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')
_KNOWN_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_KERNEL_BODY = re.compile(r'"body":"([A-Za-z0-9+/=]*)"')
_EXCHANGE = re.compile(
    r" = (?P<shape>.*?) (?P<kind>all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)"
    r"(?P<start>-start)?\("
)
_LIMIT = re.compile(r" compare\(%[\w.\-]+, %([\w.\-]+)\), direction=LT")
_CALLED = re.compile(r"\b(?:condition|body|to_apply)=%([\w.\-]+)")
_BRANCHES = re.compile(r"\bbranch_computations=\{([^}]*)\}")


class UnknownTripCountError(ValueError):
    """Raised for a loop whose trip count is unknown, so that its time cannot be estimated."""


@dataclasses.dataclass(frozen=True)
class Cost:
    """Cost of one run of a program or a part of it.

    Attributes:
      cycles: estimated cycles.
      kernels: runs of fusions with an estimate.
      copied_bytes: bytes moved by asynchronous copies, which have no estimate.
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

    def times(self, runs: int) -> Cost:
        """Return the cost of several runs."""
        return Cost(self.cycles * runs, self.kernels * runs, self.copied_bytes * runs)


@dataclasses.dataclass(frozen=True)
class Kernel:
    """Instruction with an estimate, and its number of runs."""

    name: str
    shape: str
    operation: str
    cycles: int
    runs: int


def cost(text: str) -> Cost:
    """Return the cost of a program.

    Args:
      text: HLO after all passes, from `executable.hlo_modules()[0].to_string()`.

    Raises:
      UnknownTripCountError: a loop has no known trip count.
    """
    total = Cost()
    for instruction, runs in walk(text):
        match = _CYCLES.search(instruction)
        cycles = int(match[1]) if match else 0
        total += Cost(cycles, bool(match), _copied_bytes(instruction)).times(runs)
    return total


def custom_calls(text: str) -> dict[str, int]:
    """Return the number of runs of our own kernels, by their body in base64; see bench/tpu/kernels.py."""
    runs_of: dict[str, int] = {}
    for instruction, runs in walk(text):
        if 'custom_call_target="tpu_custom_call"' in instruction:
            body = _KERNEL_BODY.search(instruction)[1]
            runs_of[body] = runs_of.get(body, 0) + runs
    return runs_of


def exchanges(text: str) -> dict[str, dict[str, int]]:
    """Return the number and the bytes of the results of the exchanges between replicas, by their kind.

    Kinds are "all-reduce", "all-gather", "reduce-scatter" and so on. An asynchronous exchange counts once.
    """
    found: dict[str, dict[str, int]] = {}
    for instruction, runs in walk(text):
        if match := _EXCHANGE.search(instruction):
            sizes = shape_bytes(match["shape"])
            if match["start"] and match["kind"] != "all-reduce":
                sizes = sizes[len(sizes) // 2 :]  # operands come first
            kind = found.setdefault(match["kind"], {"count": 0, "bytes": 0})
            kind["count"] += runs
            kind["bytes"] += runs * sum(sizes)
    return found


def kernels(text: str) -> list[Kernel]:
    """Return all instructions with an estimate, in the order in which they run."""
    result = []
    for instruction, runs in walk(text):
        if cycles := _CYCLES.search(instruction):
            name, rest = _INSTRUCTION.match(instruction).groups()
            shape = re.sub(r"\{[^}]*\}", "", rest.partition(" fusion(")[0])
            operation = re.search(r'op_name="([^"]*)"', rest)
            operation = operation[1] if operation else ""
            result.append(Kernel(name, shape, operation, int(cycles[1]), runs))
    return result


def walk(text: str) -> Iterator[tuple[str, int]]:
    """Yield the instructions of the program, its loops and calls, with their number of runs."""
    entry, computations = _computations(text)

    def walk_part(name: str, runs: int) -> Iterator[tuple[str, int]]:
        for instruction in computations[name]:
            yield instruction, runs
            if " while(" in instruction:
                parts = _CALLED.findall(instruction)
                known = _KNOWN_TRIPS.search(instruction)
                trips = int(known[1]) if known else _trip_count(computations[parts[0]])
                for part in parts:
                    yield from walk_part(part, runs * trips)
            elif " call(" in instruction:
                yield from walk_part(_CALLED.search(instruction)[1], runs)
            elif branches := _BRANCHES.search(instruction):
                # The costliest branch: which one is taken is not known.
                parts = [list(walk_part(b.strip(" %"), runs)) for b in branches[1].split(",")]
                yield from max(parts, key=_cycles_of)

    return walk_part(entry, 1)


def _trip_count(condition: list[str]) -> int:
    """Return the trip count of a loop from 0 in steps of 1, whose condition has the limit."""
    limits = [limit[1] for line in condition if (limit := _LIMIT.search(line))]
    for line in condition:
        name, rest = _INSTRUCTION.match(line).groups()
        if [name] == limits and (constant := re.search(r" constant\((\d+)\)", rest)):
            return int(constant[1])
    raise UnknownTripCountError(f"a loop with the condition {' '.join(condition)[:200]}")


def _cycles_of(part: list[tuple[str, int]]) -> int:
    return sum(int(m[1]) * runs for line, runs in part if (m := _CYCLES.search(line)))


def _computations(text: str) -> tuple[str, dict[str, list[str]]]:
    """Return the name of the entry, and the instructions of every computation."""
    entry, current, computations = "", None, {}
    for line in text.splitlines():
        if header := _HEADER.match(line):
            current = header[2]
            computations[current] = []
            if header[1]:
                entry = current
        elif current and _INSTRUCTION.match(line):
            computations[current].append(line)
    if not entry:
        raise ValueError("the text is not an HLO module: it has no ENTRY")
    return entry, computations


def _copied_bytes(instruction: str) -> int:
    """Return the bytes that an asynchronous copy moves: the size of its second shape."""
    if not re.search(r" (?:copy|slice)-start\(", instruction):
        return 0
    return shape_bytes(instruction.partition("-start(")[0])[1]


def shape_bytes(text: str) -> list[int]:
    """Return the sizes of the arrays in a shape, such as "(f32[2,3]{1,0}, s8[4])", in bytes."""
    return [
        _BYTES[dtype] * math.prod(int(n) for n in dimensions.split(",") if n)
        for dtype, dimensions in _SHAPE.findall(text)
        if dtype in _BYTES
    ]
