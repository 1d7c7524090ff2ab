"""Peak FLOP/s of the devices in use: dense bfloat16 operations a second, by their makers' data sheets."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from launch.accelerators.gpus import GPUS
from launch.accelerators.tpus import tpu_chip

if TYPE_CHECKING:
    import tensorflow as tf

_H100 = GPUS["h100"].peak_flops_per_second
# Of these GPUs only the peak is known; the others are in gpus.py. The first name found counts, so the
# variants of a GPU come before it.
_PEAK_BY_DRIVER_NAME = {
    "GH200": _H100,
    "H100 NVL": 835e12,
    "H100 PCIe": 756e12,
    "A800": GPUS["a100"].peak_flops_per_second,
    "A40": 150e12,
    "A10": 125e12,
    "L40S": 362e12,
    "RTX 3090": 71e12,
    **{gpu.driver_name: gpu.peak_flops_per_second for gpu in GPUS.values()},
}


def peak_flops_per_second(strategy: tf.distribute.Strategy) -> float | None:
    """Return the peak of all devices of a strategy together, or None if it is not known, as for CPUs.

    TensorFlow does not report the kind of TPU; the environment variable TPU_ACCELERATOR_TYPE has it.
    """
    import tensorflow as tf

    if isinstance(strategy, tf.distribute.TPUStrategy):
        return tpu_peak(os.environ.get("TPU_ACCELERATOR_TYPE", ""))
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return None
    name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "")
    peak = gpu_peak(name)
    return peak and peak * strategy.num_replicas_in_sync


def tpu_peak(accelerator_type: str) -> float | None:
    """Return the peak of a slice such as "v4-8" or "v5litepod-16", or None if it is not known."""
    kind, _, size = accelerator_type.partition("-")
    chip = tpu_chip(kind)
    if chip is None or not size.isdecimal():
        return None
    return chip.peak_flops_per_second * int(size) / chip.counted


def gpu_peak(device_name: str) -> float | None:
    """Return the peak of a GPU such as "NVIDIA A100-SXM4-40GB", or None if it is not known."""
    for name, peak in _PEAK_BY_DRIVER_NAME.items():
        if re.search(rf"\b{name}\b", device_name):
            return peak
    return None
