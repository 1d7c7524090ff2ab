"""Choose the micro-batch of a device: candidates with their memory and speed, and the best of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from launch.accelerators.chips import CPU
from launch.accelerators.costs import (
    Device,
    Memory,
    Step,
    device_of_chip,
    measured_device,
    memory_on,
    update_seconds,
)
from launch.accelerators.cpu_speed import matmul_flops_per_second
from launch.accelerators.gpus import GPUS
from launch.accelerators.machines import Accelerator
from launch.accelerators.tpus import TPUS
from launch.plan.bench_results import (
    COMPILED_FILES,
    find_compiled,
    load_rows,
    share_of_matmul,
)

# Origins of memory and seconds. COMPILED_MEMORY has its seconds by the formulas.
COMPILED, COMPILED_MEMORY, FORMULA = "compiled", "compiled memory", "formula"
DEFAULT_HEADROOM = 0.1
DEFAULT_LOGITS_CHUNK = 512  # predictions of a chunk, where a plan shows what chunks would save
NO_SAVING = "neither"
_CPU_ERROR = 0.5
# Candidates count as equally fast within this share; then fewer and larger micro-batches are better.
_SAME_SPEED = 0.01


@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidate:
    """A step with one size of its micro-batch.

    Attributes:
      step: what a device computes.
      memory: memory by the formulas.
      total_bytes: memory of the compiled step if there is one, otherwise by the formulas.
      seconds: seconds of an update on the device, without all-reduce and input.
      source: origin of `total_bytes` and `seconds`, COMPILED, COMPILED_MEMORY or FORMULA.
      budget_bytes: memory of the device that may be used.
    """

    step: Step
    memory: Memory
    total_bytes: int
    seconds: float
    source: str
    budget_bytes: int

    @property
    def fits(self) -> bool:
        """Whether it stays within the memory budget."""
        return self.total_bytes <= self.budget_bytes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Machine:
    """Machine for which candidates are evaluated.

    Attributes:
      accelerator: machines of the job.
      headroom: share of the memory that stays free, for the runtime, buffers of the all-reduce, and
        evaluation.
      compiled: rows of COMPILED_FILES.
      measured: rows of bench.step.
    """

    accelerator: Accelerator
    headroom: float
    compiled: Sequence[dict[str, Any]] = ()
    measured: Sequence[dict[str, Any]] = ()

    @property
    def budget_bytes(self) -> int:
        """Memory of a device that may be used."""
        return int(self.accelerator.memory_bytes * (1 - self.headroom))

    def device(self, step: Step) -> Device:
        """Return the device whose figures give the seconds of a step."""
        if self.accelerator.chip.name == CPU:
            share = share_of_matmul(step.precision, step.encoder.hidden_size, self.measured)
            return measured_device(
                share * matmul_flops_per_second(step.precision), error=_CPU_ERROR
            )
        return device_of_chip(self.accelerator.chip, parts=self.accelerator.chip.devices)


def load_machine(accelerator: Accelerator, *, headroom: float = DEFAULT_HEADROOM) -> Machine:
    """Return the machine with the benchmark rows that are installed."""
    return Machine(
        accelerator=accelerator,
        headroom=headroom,
        compiled=[row for name in COMPILED_FILES for row in load_rows(name)],
        measured=load_rows("step"),
    )


def evaluate(step: Step, machine: Machine) -> Candidate:
    """Return a step with its memory and its seconds."""
    formula, source = memory_on(machine.accelerator.chip, step), FORMULA
    compiled = find_compiled(step, machine.accelerator, machine.compiled)
    seconds = compiled.seconds if compiled else None
    if compiled:
        source = COMPILED_MEMORY if seconds is None else COMPILED
    if seconds is None:
        seconds = update_seconds(step, machine.device(step))
    return Candidate(
        step=step,
        memory=formula,
        total_bytes=compiled.total_bytes if compiled else formula.total,
        seconds=seconds,
        source=source,
        budget_bytes=machine.budget_bytes,
    )


def all_candidates(step: Step, machine: Machine) -> list[Candidate]:
    """Return a candidate for each divisor of the device's batch, the largest micro-batch first."""
    sizes = [n for n in range(step.batch, 0, -1) if step.batch % n == 0]
    return [evaluate(dataclasses.replace(step, micro_batch=n), machine) for n in sizes]


def best(candidates: Sequence[Candidate]) -> Candidate | None:
    """Return the largest micro-batch of the fastest candidates that fit, or None if none fits."""
    fitting = [candidate for candidate in candidates if candidate.fits]
    if not fitting:
        return None
    fastest = min(candidate.seconds for candidate in fitting)
    fast = [c for c in fitting if c.seconds <= fastest * (1 + _SAME_SPEED)]
    return max(fast, key=lambda candidate: candidate.step.micro_batch)


def with_memory_savings(step: Step, machine: Machine) -> dict[str, Candidate | None]:
    """Return the best candidate for each combination of the settings that save memory.

    Returns:
      Candidates by the settings, such as "rematerialize_blocks=True"; NO_SAVING for none of them.
    """
    candidates = {}
    for rematerialize in (False, True):
        for chunk in dict.fromkeys((0, step.logits_chunk_size or DEFAULT_LOGITS_CHUNK)):
            changed = dataclasses.replace(
                step, rematerialize_blocks=rematerialize, logits_chunk_size=chunk
            )
            names = [
                *(["rematerialize_blocks=True"] if rematerialize else []),
                *([f"logits_chunk_size={chunk}"] if chunk else []),
            ]
            candidates[", ".join(names) or NO_SAVING] = best(all_candidates(changed, machine))
    return candidates


def suggest_changes(step: Step, machine: Machine) -> list[str]:
    """Return changes by which a step that is too large would fit."""
    candidates = with_memory_savings(step, machine)
    if candidate := candidates[NO_SAVING]:
        return [f"set TrainConfig.micro_batch_size={candidate.step.micro_batch}"]
    fitting = [names for names, candidate in candidates.items() if candidate]
    # Both settings only where one is not enough.
    single = [f"set TrainConfig.{names}" for names in fitting if ", " not in names]
    changes = single or [f"set TrainConfig.{names.replace(', ', ' and ')}" for names in fitting]
    chip, one = machine.accelerator.chip, dataclasses.replace(step, batch=1, micro_batch=1)
    chips = machine.accelerator.chips * step.batch
    if step.batch > 1 and chips <= chip.most_chips and evaluate(one, machine).fits:
        changes.append(f"take {chips:,} chips, which need not accumulate")
    smallest = dataclasses.replace(step, micro_batch=1)
    large_enough = [
        other.name
        for other in (*TPUS.values(), *GPUS.values())
        if memory_on(other, smallest).total
        <= (1 - machine.headroom) * other.memory_bytes / other.devices
    ]
    if large_enough:
        changes.append(f"take {', '.join(large_enough)}")
    return changes or ["take a smaller encoder: no device listed here holds this one"]
