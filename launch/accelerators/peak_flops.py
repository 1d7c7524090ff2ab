"""What devices could compute at best: dense bfloat16 operations a second, by their makers' data sheets."""

from __future__ import annotations

import os
import re

from launch.accelerators.chips import GPUS, tpu_chip

_A100, _H100 = (GPUS[name].peak_flops_per_second for name in ("a100", "h100"))
# By a name in the name that the driver gives; the first one counts.
_GPU = {
    "B200": 2250e12,
    "H200": _H100,
    "GH200": _H100,
    "H100 NVL": 835e12,
    "H100 PCIe": 756e12,
    "H100": _H100,
    "A100": _A100,
    "A800": _A100,
    "A40": 150e12,
    "A10": 125e12,
    "L40S": 362e12,
    "L4": 121e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
}


def peak_flops_per_second(strategy) -> float | None:
    """Of all devices of a strategy together; None if it is not known, as for CPUs.

    What TPU it is, TensorFlow does not tell: the environment variable TPU_ACCELERATOR_TYPE does.
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
    """Of a whole slice by its type, like "v4-8" or "v5litepod-16"; None if it is not known."""
    kind, _, size = accelerator_type.partition("-")
    chip = tpu_chip(kind)
    if chip is None or not size.isdecimal():
        return None
    return chip.peak_flops_per_second * int(size) / chip.counted


def gpu_peak(device_name: str) -> float | None:
    """Of one GPU by its name, like "NVIDIA A100-SXM4-40GB"; None if it is not known."""
    for name, peak in _GPU.items():
        if re.search(rf"\b{name}\b", device_name):
            return peak
    return None
