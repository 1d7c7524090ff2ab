"""The machines that a job asks for, as the plan reckons with them."""

from __future__ import annotations

from data.errors import UserError
from launch.accelerators.chips import CPU, Accelerator, gpu_chip, parse, tpu_chip
from launch.config import LaunchConfig


def of_job(config: LaunchConfig) -> Accelerator | None:
    """The machines of a job; None where their figures are not known: other GPUs, a machine in pieces.

    Raises:
      UserError: there is no such TPU.
    """
    if config.is_gpu:
        chip, chips = gpu_chip(config.accelerator), replicas(config)
        return chip and Accelerator(name=f"{chip.name}x{chips}", chip=chip, chips=chips)
    if config.accelerator == CPU:
        return None if replicas(config) > 1 else parse(CPU)
    return _tpu(config.accelerator)


def replicas(config: LaunchConfig) -> int:
    """Devices that share the batch of a job.

    Raises:
      UserError: there is no such TPU.
    """
    if config.is_gpu:
        return config.nodes * config.gpus_per_node
    if config.accelerator == CPU:
        return config.nodes * config.processes
    return _tpu(config.accelerator).devices


def _tpu(accelerator: str) -> Accelerator:
    if tpu_chip(accelerator.partition("-")[0]) is None:
        raise UserError(
            f"LaunchConfig.accelerator={accelerator!r}: must be a TPU like 'v5e-8' (Google's"
            " 'v5litepod-8'), a GPU as GKE names it, like 'nvidia-h100-80gb', or 'cpu'"
        )
    return parse(accelerator, "LaunchConfig.accelerator=")
