"""What devices could compute at best: dense bfloat16 operations a second, by their makers' data sheets."""

from __future__ import annotations

import os
import re

# A chip, and how many of what the number in its accelerator type counts it has: "v4-8" is 8 TensorCores.
_TPU = {
    "v3": (123e12, 2),
    "v4": (275e12, 2),
    "v5p": (459e12, 2),
    "v5litepod": (197e12, 1),
    "v6e": (918e12, 1),
}
# By a name in the name that the driver gives; the first one counts.
_GPU = {
    "B200": 2250e12,
    "H200": 989e12,
    "GH200": 989e12,
    "H100 NVL": 835e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "A800": 312e12,
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
    if kind not in _TPU or not size.isdecimal():
        return None
    peak, counted = _TPU[kind]
    return peak * int(size) / counted


def gpu_peak(device_name: str) -> float | None:
    """Of one GPU by its name, like "NVIDIA A100-SXM4-40GB"; None if it is not known."""
    for name, peak in _GPU.items():
        if re.search(rf"\b{name}\b", device_name):
            return peak
    return None
