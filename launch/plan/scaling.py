"""Scaling curves: the step of a plan on more and more devices.

Computation and all-reduce do not overlap here. Slices are those that one job can have.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from launch.accelerators.chips import CPU, Chip
from launch.accelerators.costs import (
    Device,
    Step,
    device_of_chip,
    exchanged_weight_bytes,
    memory_on,
    num_parameters,
    update_seconds,
)
from launch.accelerators.gpus import GPUS
from launch.accelerators.machines import Accelerator
from launch.accelerators.tpus import TPUS
from launch.plan import failures
from launch.plan.allreduce import allreduce_seconds

_MAX_DEVICES = 4096
MAX_MICRO_BATCH = 8  # as in the fastest compiled steps

Point = tuple[float, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Update:
    """An update of all devices.

    Attributes:
      devices: devices that share the batch.
      batch: sequences of all devices.
      device_seconds: seconds of computation on each device.
      allreduce_seconds: seconds of the all-reduce that follows.
      memory_bytes: memory of a device.
    """

    devices: int
    batch: int
    device_seconds: float
    allreduce_seconds: float
    memory_bytes: int

    @property
    def seconds(self) -> float:
        """Seconds from one update to the next."""
        return self.device_seconds + self.allreduce_seconds

    @property
    def sequences_per_second(self) -> float:
        """Sequences per second of all devices."""
        return self.batch / self.seconds


def slices(chip: Chip) -> list[Accelerator]:
    """Return the slices that one job can have; where any number of chips may be, powers of two."""
    if chip.sizes:
        counts = [size // chip.counted for size in chip.sizes]
    else:
        first = 1 if chip.network_bytes_per_second else chip.chips_per_host
        most = min(chip.most_chips, _MAX_DEVICES // chip.devices)
        counts = [first * 2**n for n in range(most.bit_length()) if first * 2**n <= most]
    return [Accelerator(name=f"{n} {chip.name}", chip=chip, chips=n) for n in counts]


def update(step: Step, accelerator: Accelerator, *, batch: int, sharded: bool) -> Update:
    """Return an update of a batch that is divided among all devices.

    Args:
      step: architecture and settings; its batch and micro-batch are ignored.
      accelerator: machines of the job.
      batch: sequences of all devices; a multiple of their number.
      sharded: whether moments and update are divided among the devices.
    """
    devices = accelerator.devices
    device_batch = batch // devices
    step = dataclasses.replace(
        step,
        batch=device_batch,
        micro_batch=max(n for n in range(1, MAX_MICRO_BATCH + 1) if device_batch % n == 0),
        optimizer_shards=devices if sharded else 1,
    )
    return Update(
        devices=devices,
        batch=batch,
        device_seconds=update_seconds(step, _device(accelerator)),
        allreduce_seconds=allreduce_seconds(
            accelerator,
            4 * num_parameters(step.encoder),
            weight_bytes=exchanged_weight_bytes(step),
        ),
        memory_bytes=memory_on(accelerator.chip, step).total,
    )


def _device(accelerator: Accelerator) -> Device:
    return device_of_chip(accelerator.chip, parts=accelerator.chip.devices)


def weak_scaling(step: Step, chip: Chip, *, sequences: int, sharded: bool = False) -> list[Update]:
    """Return an update for each slice, with the same number of sequences on each device."""
    return [update(step, a, batch=sequences * a.devices, sharded=sharded) for a in slices(chip)]


def strong_scaling(step: Step, chip: Chip, *, batch: int, sharded: bool = False) -> list[Update]:
    """Return an update for each slice, with the same global batch, as far as it divides evenly."""
    return [
        update(step, a, batch=batch, sharded=sharded)
        for a in slices(chip)
        if batch % a.devices == 0
    ]


def efficiency(updates: Sequence[Update]) -> list[Point]:
    """Return the sequences per second and device of each slice, relative to the smallest slice."""
    first = updates[0].sequences_per_second / updates[0].devices
    return [(u.devices, u.sequences_per_second / u.devices / first) for u in updates]


def lost_shares(
    chips: int, *, save_seconds: float, restart_seconds: float, intervals: Sequence[float]
) -> list[Point]:
    """Return points of minutes between checkpoints and the share of the time lost, for a number of chips."""
    mtbf = failures.SECONDS_PER_DAY / failures.failures_per_day(chips)
    return [
        (
            seconds / 60,
            failures.lost_share(
                seconds,
                save_seconds=save_seconds,
                mtbf_seconds=mtbf,
                restart_seconds=restart_seconds,
            ),
        )
        for seconds in intervals
    ]


def chips_to_compare(chip: Chip) -> list[Chip]:
    """Return the chip of a plan, unless it is a CPU, then others to compare it with."""
    others = [TPUS[name] for name in ("v5e", "v4", "v5p")] + [GPUS["h100"]]
    first = [] if chip.name == CPU else [chip]
    return first + [other for other in others if other != chip]
