"""Kinds of accelerators, as plans, jobs and metrics know them; see tpus.py and gpus.py for the tables.

Standard library only.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import TypeVar

CPU = "cpu"


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepTimeFit:
    """Constants of the formulas in launch/accelerators/costs.py.

    Attributes:
      matmul_share: share of the peak that forward and backward pass reach.
      on_chip_bytes: memory on the chip in which attention scores stay between products; 0 for none.
      error: relative error of the seconds of an update.
    """

    matmul_share: float
    on_chip_bytes: int
    error: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chip:
    """A kind of accelerator; figures are those of one chip.

    Attributes:
      name: our name, as in --accelerator.
      aliases: other names, of Google, GKE or in common use.
      peak_flops_per_second: dense bfloat16 peak.
      memory_bytes: size of the HBM.
      memory_bytes_per_second: bandwidth of the HBM.
      link_bytes_per_second: bandwidth to neighbouring chips, over all links together, one way.
      network_bytes_per_second: bandwidth to other hosts; 0 if the links lead there too.
      device_kind: what `launch.strategy.device_kind` returns on it.
      devices: number of replicas as which tf.distribute shows a chip. The two cores of a v3 are two
        devices; those of a v4 and a v5p are one ("megacore").
      counted: how many of the units that the number in an accelerator's name counts are in a chip: 2 cores
        of TPUs up to v4 and v5p, otherwise 1 chip.
      sizes: possible numbers in an accelerator's name; empty if any multiple of `counted` times
        `chips_per_host`.
      most_chips: largest number of chips of one job.
      chips_per_host: chips of each host, for jobs with several hosts.
      most_chips_of_one_host: largest number of chips of a job with one host.
      torus_chips: smallest slice whose links are closed to rings in every direction.
      step_time: fitted constants of a plan; None where the speed is measured instead.
    """

    name: str
    aliases: tuple[str, ...]
    peak_flops_per_second: float
    memory_bytes: int
    memory_bytes_per_second: float
    link_bytes_per_second: float
    network_bytes_per_second: float
    device_kind: str
    devices: int
    counted: int
    sizes: tuple[int, ...]
    most_chips: int
    chips_per_host: int
    most_chips_of_one_host: int
    torus_chips: int
    step_time: StepTimeFit | None


AnyChip = TypeVar("AnyChip", bound=Chip)


def find_chip(kind: str, table: Mapping[str, AnyChip]) -> AnyChip | None:
    """Return the chip of a table with this name or alias."""
    return next((chip for chip in table.values() if kind in (chip.name, *chip.aliases)), None)


def this_cpu() -> Chip:
    """Return this machine as a chip of unknown speed."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Chip(
        name=CPU,
        aliases=(),
        peak_flops_per_second=0.0,
        memory_bytes=memory,
        memory_bytes_per_second=0.0,
        link_bytes_per_second=0.0,
        network_bytes_per_second=0.0,
        device_kind=CPU,
        devices=1,
        counted=1,
        sizes=(),
        most_chips=1,
        chips_per_host=1,
        most_chips_of_one_host=1,
        torus_chips=1,
        step_time=None,
    )
