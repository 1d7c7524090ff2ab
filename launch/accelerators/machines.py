"""The machines of a job, from names such as "v5e-256" or from the settings of a job."""

from __future__ import annotations

import dataclasses

from data.errors import UserError
from launch.accelerators.chips import CPU, Chip, this_cpu
from launch.accelerators.gpus import GPUS, Numbers, described_gpu, gpu_chip
from launch.accelerators.tpus import TPUS, tpu_chip
from launch.config import LaunchConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Accelerator:
    """The machines of a job.

    Attributes:
      name: name as the user gave it.
      chip: kind of chip.
      chips: number of chips.
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
        """Number of machines."""
        if self.chips <= self.chip.most_chips_of_one_host:
            return 1
        return -(-self.chips // self.chip.chips_per_host)

    @property
    def memory_bytes(self) -> int:
        """Memory of a device."""
        return self.chip.memory_bytes // self.chip.devices

    @property
    def peak_flops_per_second(self) -> float:
        """Peak of a device."""
        return self.chip.peak_flops_per_second / self.chip.devices

    @property
    def memory_bytes_per_second(self) -> float:
        """Memory bandwidth of a device."""
        return self.chip.memory_bytes_per_second / self.chip.devices


def parse(
    name: str, setting: str = "--accelerator ", *, numbers: Numbers | None = None
) -> Accelerator:
    """Return the machines with a name such as v5e-256, v4-128 (cores), h100x16, h100 or cpu.

    Args:
      name: kind and size, as above.
      setting: flag or setting with the name, for error messages.
      numbers: figures of GPUs, which then may have any name.

    Raises:
      UserError: there is nothing of that name or size, or numbers are missing.
    """
    label = f"{setting}{name}"
    kind, _, size = name.rpartition("-")
    is_tpu = size.isdecimal() and tpu_chip(kind) is not None
    if numbers and numbers != Numbers():
        if is_tpu or name == CPU:
            raise UserError(f"{label}: only GPUs are described by numbers; give a name like l40sx8")
        return _gpus(name, *_gpu_and_count(name, numbers, label), label)
    if name == CPU:
        return Accelerator(name=name, chip=this_cpu(), chips=1)
    if is_tpu and (tpu := tpu_chip(kind)):
        return _tpus(name, tpu, int(size), label)
    kind, count = _kind_and_count(name)
    if gpu := gpu_chip(kind):
        return _gpus(name, gpu, count, label)
    raise UserError(
        f"{label}: must be a TPU like v5e-256 ({', '.join(TPUS)}), GPUs like h100x16"
        f" ({', '.join(GPUS)}; others by their numbers: --tflops, --memory_gb,"
        " --memory_gb_per_second) or cpu"
    )


def _kind_and_count(name: str) -> tuple[str, int]:
    """Return ("h100", 8) for "h100x8", and ("h100", 1) for "h100"."""
    kind, _, size = name.rpartition("x")
    return (kind, int(size)) if kind and size.isdecimal() and not gpu_chip(name) else (name, 1)


def _gpu_and_count(name: str, numbers: Numbers, label: str) -> tuple[Chip, int]:
    kind, count = _kind_and_count(name)
    needed = {
        "--tflops": numbers.flops_per_second,
        "--memory_gb": numbers.memory_bytes,
        "--memory_gb_per_second": numbers.memory_bytes_per_second,
    }
    missing = [flag for flag, value in needed.items() if value is None]
    if missing and not gpu_chip(kind):
        raise UserError(
            f"{label}: {kind} is none of {', '.join(GPUS)}; give also {', '.join(missing)}"
        )
    return described_gpu(kind, numbers), count


def _tpus(name: str, chip: Chip, size: int, label: str) -> Accelerator:
    per_host = chip.counted * chip.chips_per_host
    most = chip.most_chips * chip.counted
    if size not in (chip.sizes or range(per_host, most + 1, per_host)):
        possible = (
            ", ".join(f"{chip.name}-{n}" for n in chip.sizes)
            if chip.sizes
            else f"multiples of {per_host} up to {chip.name}-{most}"
        )
        counted = "cores" if chip.counted > 1 else "chips"
        raise UserError(f"{label}: no slice has {size} {counted}; there are {possible}")
    return Accelerator(name=name, chip=chip, chips=size // chip.counted)


def _gpus(name: str, chip: Chip, size: int, label: str) -> Accelerator:
    per_host = chip.chips_per_host
    if not 1 <= size <= chip.most_chips or (size > per_host and size % per_host):
        raise UserError(
            f"{label}: must be 1 to {per_host} GPUs, or a multiple of {per_host} up to"
            f" {chip.most_chips:,}"
        )
    return Accelerator(name=name, chip=chip, chips=size)


def of_job(config: LaunchConfig) -> Accelerator | None:
    """Return the machines of a job, or None if there are no figures for them.

    There are none for GPUs that GPUS lacks, nor for a machine that runs several processes.

    Raises:
      UserError: there is no such TPU.
    """
    if config.is_gpu:
        chip, chips = gpu_chip(config.accelerator), replicas(config)
        if chip is None:
            return None
        return Accelerator(name=f"{chip.name}x{chips}", chip=chip, chips=chips)
    if config.accelerator == CPU:
        return None if replicas(config) > 1 else parse(CPU)
    return _tpus_of_job(config.accelerator)


def replicas(config: LaunchConfig) -> int:
    """Return the number of devices that share the batch of a job.

    Raises:
      UserError: there is no such TPU.
    """
    if config.is_gpu:
        return config.nodes * config.gpus_per_node
    if config.accelerator == CPU:
        return config.nodes * config.processes
    return _tpus_of_job(config.accelerator).devices


def _tpus_of_job(accelerator: str) -> Accelerator:
    if tpu_chip(accelerator.partition("-")[0]) is None:
        raise UserError(
            f"LaunchConfig.accelerator={accelerator!r}: must be a TPU like 'v5e-8' (Google's"
            " 'v5litepod-8'), a GPU as GKE names it, like 'nvidia-h100-80gb', or 'cpu'"
        )
    return parse(accelerator, "LaunchConfig.accelerator=")
