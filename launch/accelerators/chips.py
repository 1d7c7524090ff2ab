"""Facts of accelerators by their makers' public pages, and what names such as "v5e-256" amount to.

All names are understood wherever an accelerator is asked for: ours, gcloud's ("v5litepod-256") and GKE's of
GPUs ("nvidia-h100-80gb"). The table of them is here.

Standard library only. Sources, each with the figures that are taken from it:

    TPU vN     cloud.google.com/tpu/docs/{v3,v4,v5e,v5p,v6e}: peak, memory and its bandwidth, chips of
               a pod; "all-reduce bandwidth per Pod" divided by the chips of a pod (v5p, for which
               there is none: half of the bidirectional bandwidth of a chip's links)
    A100       NVIDIA A100 data sheet: 312 TFLOP/s, 2,039 GB/s (80 GB) and 1,555 GB/s (40 GB), NVLink
               600 GB/s in both directions together; NVIDIA DGX A100 data sheet: 200 Gbit/s a GPU
    H100       NVIDIA H100 data sheet (SXM): 989 TFLOP/s dense, 3.35 TB/s, NVLink 900 GB/s in both
               directions together; NVIDIA DGX H100 data sheet: 400 Gbit/s a GPU
"""

from __future__ import annotations

import dataclasses
import os
import re

from data.errors import UserError

_GIB = 2**30


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chip:
    """A kind of accelerator; figures are those of one chip.

    Attributes:
      name: how users call it.
      peak_flops_per_second: dense, bfloat16.
      memory_bytes: HBM.
      memory_bytes_per_second: of the HBM.
      link_bytes_per_second: what it can send to its neighbours, over all links together, one way.
      network_bytes_per_second: what it can send to other hosts; 0 if the links lead there too.
      devices: as how many replicas tf.distribute shows it. The two cores of a v3 are two devices;
        those of a v4 and a v5p are one ("megacore").
      counted: of what the number in an accelerator's name counts, how many it has: cores of TPUs up
        to v4 and v5p, chips otherwise.
      sizes: the numbers that there are; empty if any multiple of `counted` times `chips_per_host`.
      most_chips: that one job can have.
      chips_per_host: of jobs with several hosts.
      torus_chips: smallest slice whose links are closed to rings in every direction.
    """

    name: str
    peak_flops_per_second: float
    memory_bytes: int
    memory_bytes_per_second: float
    link_bytes_per_second: float
    network_bytes_per_second: float = 0.0
    devices: int = 1
    counted: int = 1
    sizes: tuple[int, ...] = ()
    most_chips: int
    chips_per_host: int
    torus_chips: int = 1


_SMALL_PODS = (1, 4, 8, 16, 32, 64, 128, 256)
TPUS = {
    chip.name: chip
    for chip in (
        Chip(
            name="v3",
            peak_flops_per_second=123e12,
            memory_bytes=32 * _GIB,
            memory_bytes_per_second=900e9,
            link_bytes_per_second=340e12 / 1024,
            devices=2,
            counted=2,
            sizes=(8, 32, 64, 128, 256, 512, 1024, 2048),
            most_chips=1024,
            chips_per_host=4,
            torus_chips=1024,
        ),
        Chip(
            name="v4",
            peak_flops_per_second=275e12,
            memory_bytes=32 * _GIB,
            memory_bytes_per_second=1200e9,
            link_bytes_per_second=1.1e15 / 4096,
            counted=2,
            most_chips=4096,
            chips_per_host=4,
            torus_chips=64,
        ),
        Chip(
            name="v5e",
            peak_flops_per_second=197e12,
            memory_bytes=16 * _GIB,
            memory_bytes_per_second=819e9,
            link_bytes_per_second=51.2e12 / 256,
            sizes=_SMALL_PODS,
            most_chips=256,
            chips_per_host=4,
            torus_chips=256,
        ),
        Chip(
            name="v5p",
            peak_flops_per_second=459e12,
            memory_bytes=95 * _GIB,
            memory_bytes_per_second=2765e9,
            link_bytes_per_second=1200e9 / 2,
            counted=2,
            most_chips=6144,
            chips_per_host=4,
            torus_chips=64,
        ),
        Chip(
            name="v6e",
            peak_flops_per_second=918e12,
            memory_bytes=32 * _GIB,
            memory_bytes_per_second=1638e9,
            link_bytes_per_second=102.4e12 / 256,
            sizes=_SMALL_PODS,
            most_chips=256,
            chips_per_host=4,
            torus_chips=256,
        ),
    )
}
_A100 = Chip(
    name="a100",
    peak_flops_per_second=312e12,
    memory_bytes=80 * 10**9,
    memory_bytes_per_second=2039e9,
    link_bytes_per_second=600e9 / 2,
    network_bytes_per_second=200e9 / 8,
    most_chips=16_384,
    chips_per_host=8,
)
GPUS = {
    chip.name: chip
    for chip in (
        _A100,
        dataclasses.replace(
            _A100,
            name="a100-40g",
            memory_bytes=40 * 10**9,
            memory_bytes_per_second=1555e9,
        ),
        Chip(
            name="h100",
            peak_flops_per_second=989e12,
            memory_bytes=80 * 10**9,
            memory_bytes_per_second=3350e9,
            link_bytes_per_second=900e9 / 2,
            network_bytes_per_second=400e9 / 8,
            most_chips=16_384,
            chips_per_host=8,
        ),
    )
}
_ALIASES = {
    "v5litepod": "v5e",
    "a100-80g": "a100",
    "nvidia-tesla-a100": "a100-40g",
    "nvidia-a100-80gb": "a100",
    "nvidia-h100-80gb": "h100",
    "nvidia-h100-mega-80gb": "h100",
}
CPU = "cpu"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Accelerator:
    """The machines of a job.

    Attributes:
      name: as asked for.
      chip: of which kind.
      chips: how many.
    """

    name: str
    chip: Chip
    chips: int

    @property
    def devices(self) -> int:
        """Replicas of tf.distribute."""
        return self.chips * self.chip.devices

    @property
    def hosts(self) -> int:
        """Machines; up to 8 chips of v5e and v6e are in one."""
        if self.chip.sizes == _SMALL_PODS and self.chips <= 8:
            return 1
        return -(-self.chips // self.chip.chips_per_host)

    @property
    def memory_bytes(self) -> int:
        """Of a device."""
        return self.chip.memory_bytes // self.chip.devices

    @property
    def peak_flops_per_second(self) -> float:
        """Of a device."""
        return self.chip.peak_flops_per_second / self.chip.devices

    @property
    def memory_bytes_per_second(self) -> float:
        """Of a device."""
        return self.chip.memory_bytes_per_second / self.chip.devices


def tpu_chip(kind: str) -> Chip | None:
    """The chip by the first part of an accelerator type, like "v4" or "v5litepod"."""
    return TPUS.get(_ALIASES.get(kind, kind))


def gpu_chip(kind: str) -> Chip | None:
    """The chip by its name, ours or that of GKE, like "nvidia-h100-80gb"."""
    return GPUS.get(_ALIASES.get(kind, kind))


def parse(name: str, setting: str = "--accelerator ") -> Accelerator:
    """The machines behind a name such as v5e-256, v4-128 (of cores), h100x16 or cpu.

    Args:
      name: see there.
      setting: where the name stands, for errors.

    Raises:
      UserError: there is nothing of that name or size.
    """
    if name == CPU:
        return Accelerator(name=name, chip=this_cpu(), chips=1)
    said = f"{setting}{name}"
    found = re.fullmatch(r"(v\w+)-(\d+)|([a-z]\d+(?:-\d+g)?)x(\d+)", name)
    kind = found and (found[1] or found[3])
    kind = _ALIASES.get(kind, kind)
    if kind not in (TPUS if found and found[1] else GPUS):
        raise UserError(
            f"{said}: must be a TPU like v5e-256 ({', '.join(TPUS)}), GPUs like h100x16"
            f" ({', '.join(GPUS)}) or cpu"
        )
    size = int(found[2] or found[4])
    return (_tpu if found[1] else _gpus)(name, kind, size, said)


def _tpu(name: str, kind: str, size: int, said: str) -> Accelerator:
    chip = TPUS[kind]
    of_a_host = chip.counted * chip.chips_per_host
    most = chip.most_chips * chip.counted
    sizes = chip.sizes or range(of_a_host, most + 1, of_a_host)
    if size not in sizes:
        there_are = (
            ", ".join(f"{kind}-{n}" for n in chip.sizes)
            if chip.sizes
            else f"multiples of {of_a_host} up to {kind}-{most}"
        )
        counted = "cores" if chip.counted > 1 else "chips"
        raise UserError(f"{said}: {size} {counted}; there are {there_are}")
    return Accelerator(name=name, chip=chip, chips=size // chip.counted)


def _gpus(name: str, kind: str, size: int, said: str) -> Accelerator:
    chip = GPUS[kind]
    per_host = chip.chips_per_host
    if not 1 <= size <= chip.most_chips or (size > per_host and size % per_host):
        raise UserError(
            f"{said}: must be 1 to {per_host} GPUs, or a multiple of {per_host} up to"
            f" {chip.most_chips:,}"
        )
    return Accelerator(name=name, chip=chip, chips=size)


def this_cpu() -> Chip:
    """This machine; how fast it is, is not known."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Chip(
        name=CPU,
        peak_flops_per_second=0.0,
        memory_bytes=memory,
        memory_bytes_per_second=0.0,
        link_bytes_per_second=0.0,
        most_chips=1,
        chips_per_host=1,
    )
