"""The same run on more and more devices: pure functions from a plan's step to curves.

Nothing overlaps: an update is the time of a device, then the exchange. Only slices that one job can
have are counted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from launch.accelerators.chips import CPU, GPUS, TPUS, Chip
from launch.accelerators.machines import Accelerator
from launch.plan import failures
from launch.plan.allreduce import all_reduce_seconds
from launch.plan.costs import Device, Step, device, memory, num_parameters, update_seconds

_MOST_DEVICES = 4096
MOST_SEQUENCES = 8  # at once, as the compiled steps that are fastest

Point = tuple[float, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Update:
    """One update of all devices.

    Attributes:
      devices: that share the batch.
      batch: sequences of all devices.
      device_seconds: of each device.
      exchange_seconds: after that.
      memory_bytes: of a device.
    """

    devices: int
    batch: int
    device_seconds: float
    exchange_seconds: float
    memory_bytes: int

    @property
    def seconds(self) -> float:
        """From one update to the next."""
        return self.device_seconds + self.exchange_seconds

    @property
    def sequences_per_second(self) -> float:
        """Of all devices."""
        return self.batch / self.seconds


def slices(chip: Chip) -> list[Accelerator]:
    """Numbers of chips that one job can have; where any may be, each twice as many as the one before."""
    if chip.sizes:
        counts = [size // chip.counted for size in chip.sizes]
    else:
        first = 1 if chip.network_bytes_per_second else chip.chips_per_host
        most = min(chip.most_chips, _MOST_DEVICES // chip.devices)
        counts = [first * 2**n for n in range(most.bit_length()) if first * 2**n <= most]
    return [Accelerator(name=f"{n} {chip.name}", chip=chip, chips=n) for n in counts]


def update(step: Step, accelerator: Accelerator, *, batch: int, sharded: bool) -> Update:
    """An update of a batch that is shared by all devices.

    Args:
      step: architecture and settings; its batch and micro-batch do not count.
      accelerator: the machines.
      batch: sequences of all devices; a multiple of their number.
      sharded: whether the devices share moments and update among them.
    """
    devices = accelerator.devices
    share = batch // devices
    step = dataclasses.replace(
        step,
        batch=share,
        micro_batch=max(n for n in range(1, MOST_SEQUENCES + 1) if share % n == 0),
        sharded_by=devices if sharded else 1,
    )
    return Update(
        devices=devices,
        batch=batch,
        device_seconds=update_seconds(step, _device(accelerator)),
        exchange_seconds=all_reduce_seconds(accelerator, 4 * num_parameters(step.encoder)),
        memory_bytes=memory(step).total,
    )


def _device(accelerator: Accelerator) -> Device:
    return device(accelerator.chip, parts=accelerator.chip.devices)


def weak(step: Step, chip: Chip, *, sequences: int, sharded: bool = False) -> list[Update]:
    """The same number of sequences on each device, and so a larger batch on more devices."""
    return [update(step, a, batch=sequences * a.devices, sharded=sharded) for a in slices(chip)]


def strong(step: Step, chip: Chip, *, batch: int, sharded: bool = False) -> list[Update]:
    """The same batch on more devices, as far as each has a sequence."""
    return [
        update(step, a, batch=batch, sharded=sharded)
        for a in slices(chip)
        if batch % a.devices == 0
    ]


def efficiency(updates: Sequence[Update]) -> list[Point]:
    """Of each slice, its sequences a second and device as a share of those of the smallest."""
    first = updates[0].sequences_per_second / updates[0].devices
    return [(u.devices, u.sequences_per_second / u.devices / first) for u in updates]


def lost_shares(
    chips: int, *, save_seconds: float, restart_seconds: float, intervals: Sequence[float]
) -> list[Point]:
    """(minutes between saves, share of the time lost) for a job of so many chips."""
    between = failures.SECONDS_OF_DAY / failures.failures_per_day(chips)
    return [
        (
            seconds / 60,
            failures.lost_share(
                seconds,
                save_seconds=save_seconds,
                between_seconds=between,
                restart_seconds=restart_seconds,
            ),
        )
        for seconds in intervals
    ]


def compared(chip: Chip) -> list[Chip]:
    """The chip of a plan first, then others to compare it with."""
    others = [TPUS[name] for name in ("v5e", "v4", "v5p")] + [GPUS["h100"]]
    first = [] if chip.name == CPU else [chip]
    return first + [other for other in others if other != chip]
