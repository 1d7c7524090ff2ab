"""Memory of the devices in use."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

from launch.accelerators.gpus import GPUS
from launch.accelerators.tpus import tpu_chip

if TYPE_CHECKING:
    import tensorflow as tf


def device_memory(strategy: tf.distribute.Strategy) -> tuple[int, str] | None:
    """Return the memory of a device in bytes, and what the device is; None if it is not known.

    A CPU has the memory of the machine. TensorFlow does not report the kind of TPU; the environment
    variable TPU_ACCELERATOR_TYPE has it.
    """
    import tensorflow as tf

    if isinstance(strategy, tf.distribute.TPUStrategy):
        return tpu_memory(os.environ.get("TPU_ACCELERATOR_TYPE", ""))
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "")
        num_bytes = _memory_by_driver() or gpu_memory(name)
        return None if num_bytes is None else (num_bytes, f"each GPU ({name})")
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), "this machine"


def tpu_memory(accelerator_type: str) -> tuple[int, str] | None:
    """Return the memory of a device of a slice such as "v4-8", and what it is; None if unknown."""
    chip = tpu_chip(accelerator_type.partition("-")[0])
    if chip is None:
        return None
    return chip.memory_bytes // chip.devices, f"each device of a TPU {accelerator_type}"


def gpu_memory(device_name: str) -> int | None:
    """Return the memory of the largest GPU of a name such as "NVIDIA A100-SXM4-40GB"; None if unknown."""
    sizes = [
        gpu.memory_bytes
        for gpu in GPUS.values()
        if re.search(rf"\b{gpu.driver_name}\b", device_name)
    ]
    return max(sizes, default=None)


def _memory_by_driver() -> int | None:
    """Return the memory of the smallest GPU by nvidia-smi; None without that program."""
    query = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, check=True, timeout=30)
        return min(int(line) for line in done.stdout.split("\n") if line.strip()) * 2**20
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
