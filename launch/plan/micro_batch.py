"""Ways to compute a device's share of the batch, and which to take."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from launch.accelerators.chips import CPU, GPUS, TPUS
from launch.accelerators.machines import Accelerator
from launch.plan.compiled import find, measured_flops_per_second, rows
from launch.plan.costs import Device, Memory, Step, device, measured_device, memory, update_seconds

COMPILED, FORMULA = "compiled", "formula"
HEADROOM = 0.1  # unless somebody asks for another one
CHUNK = 512  # predictions at a time, where a plan shows what chunks would save
_CPU_ERROR = 0.5
# Of two ways that take as long, but for this share, the one with fewer and larger micro-batches.
_SAME_SPEED = 0.01


@dataclasses.dataclass(frozen=True, kw_only=True)
class Option:
    """One way.

    Attributes:
      step: what a device computes.
      memory: by the formulas, part by part.
      total_bytes: of the compiled step if there is one, else by the formulas.
      seconds: of an update on the device, without exchange and input.
      source: COMPILED or FORMULA.
      room_bytes: what may be used of the device's memory.
    """

    step: Step
    memory: Memory
    total_bytes: int
    seconds: float
    source: str
    room_bytes: int

    @property
    def fits(self) -> bool:
        """Whether there is memory for it."""
        return self.total_bytes <= self.room_bytes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Machine:
    """What options are judged by.

    Attributes:
      accelerator: the machines.
      headroom: share of the memory that stays free: for what the runtime takes, buffers of the
        exchange and evaluation.
      compiled: rows of bench.tpu.
      measured: rows of bench.step.
    """

    accelerator: Accelerator
    headroom: float
    compiled: Sequence[dict] = ()
    measured: Sequence[dict] = ()

    @property
    def room_bytes(self) -> int:
        """Of a device."""
        return int(self.accelerator.memory_bytes * (1 - self.headroom))

    def device(self, precision: str) -> Device:
        """What the seconds of a step come from."""
        if self.accelerator.chip.name == CPU:
            return measured_device(
                measured_flops_per_second(precision, self.measured), error=_CPU_ERROR
            )
        return device(self.accelerator.chip, parts=self.accelerator.chip.devices)


def known_machine(accelerator: Accelerator, *, headroom: float = HEADROOM) -> Machine:
    """With the rows that are installed."""
    return Machine(
        accelerator=accelerator,
        headroom=headroom,
        compiled=rows("tpu"),
        measured=rows("step"),
    )


def evaluated(step: Step, machine: Machine) -> Option:
    """A way with its memory and its seconds."""
    formula = memory(step)
    found = find(step, machine.accelerator, machine.compiled)
    if found:
        total, seconds = found.total_bytes, found.seconds
    else:
        total, seconds = formula.total, update_seconds(step, machine.device(step.precision))
    return Option(
        step=step,
        memory=formula,
        total_bytes=total,
        seconds=seconds,
        source=COMPILED if found else FORMULA,
        room_bytes=machine.room_bytes,
    )


def options(step: Step, machine: Machine) -> list[Option]:
    """All micro-batches that divide the batch of a device, the largest first."""
    sizes = [n for n in range(step.batch, 0, -1) if step.batch % n == 0]
    return [evaluated(dataclasses.replace(step, micro_batch=n), machine) for n in sizes]


def suggested(ways: Sequence[Option]) -> Option | None:
    """The largest micro-batch of those that fit and are as fast as any; None if none fits."""
    fitting = [way for way in ways if way.fits]
    if not fitting:
        return None
    fastest = min(way.seconds for way in fitting)
    good = [way for way in fitting if way.seconds <= fastest * (1 + _SAME_SPEED)]
    return max(good, key=lambda way: way.step.micro_batch)


def savings(step: Step, machine: Machine) -> dict[str, Option | None]:
    """The suggestion with each of the settings that save memory, by what is set."""
    found = {}
    for rematerialize in (False, True):
        for chunk in dict.fromkeys((0, step.logits_chunk_size or CHUNK)):
            changed = dataclasses.replace(
                step, rematerialize_blocks=rematerialize, logits_chunk_size=chunk
            )
            names = [
                *(["rematerialize_blocks=True"] if rematerialize else []),
                *([f"logits_chunk_size={chunk}"] if chunk else []),
            ]
            found[", ".join(names) or "neither"] = suggested(options(changed, machine))
    return found


def remedies(step: Step, machine: Machine) -> list[str]:
    """What would make room, if the step itself or every way of it is too large."""
    ways = savings(step, machine)
    if ways["neither"]:
        return [f"set TrainConfig.micro_batch_size={ways['neither'].step.micro_batch}"]
    found = [name for name, way in ways.items() if way]
    # Not both settings where one is enough.
    alone = [f"set TrainConfig.{name}" for name in found if ", " not in name]
    actions = alone or [f"set TrainConfig.{name.replace(', ', ' and ')}" for name in found]
    chip, one = machine.accelerator.chip, dataclasses.replace(step, batch=1, micro_batch=1)
    more = machine.accelerator.chips * step.batch
    if step.batch > 1 and more <= chip.most_chips and evaluated(one, machine).fits:
        actions.append(f"take {more:,} chips, which need not accumulate")
    smallest = memory(dataclasses.replace(step, micro_batch=1)).total / (1 - machine.headroom)
    roomy = [
        other.name
        for other in (*TPUS.values(), *GPUS.values())
        if smallest <= other.memory_bytes / other.devices
    ]
    if roomy:
        actions.append(f"take {', '.join(roomy)}")
    return actions or ["take a smaller encoder: no device listed here holds this one"]
