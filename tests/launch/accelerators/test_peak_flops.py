"""Peak FLOP/s by the names that TPUs and GPUs report."""

import pytest
import tensorflow as tf

from launch.accelerators.peak_flops import gpu_peak, peak_flops_per_second, tpu_peak


def test_peak_of_a_tpu_slice():
    assert tpu_peak("v3-8") == 4 * 123e12
    assert tpu_peak("v4-64") == 32 * 275e12
    assert tpu_peak("v5litepod-16") == 16 * 197e12
    assert tpu_peak("v5p-8") == 4 * 459e12
    assert tpu_peak("v6e-256") == 256 * 918e12
    assert [tpu_peak(name) for name in ("", "v9-8", "v4", "v4-x")] == [None] * 4


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA A100-SXM4-40GB", 312e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H100 NVL", 835e12),
        ("NVIDIA GH200 480GB", 989e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA A10", 125e12),
        ("NVIDIA GeForce RTX 4090", 165e12),
        ("Tesla K80", None),
        ("", None),
    ],
)
def test_peak_of_a_gpu(name, peak):
    assert gpu_peak(name) == peak


def test_cpus_have_no_known_peak():
    assert peak_flops_per_second(tf.distribute.get_strategy()) is None
