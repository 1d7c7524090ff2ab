"""Memory of the devices in use."""

import os
import sys

import pytest
import tensorflow as tf

from launch.accelerators import device_memory


def test_cpu_has_the_memory_of_the_machine():
    num_bytes, name = device_memory.device_memory(tf.distribute.get_strategy())
    assert name == "this machine"
    assert num_bytes == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(
    ("name", "gigabytes"),
    [("NVIDIA H100 80GB HBM3", 80), ("NVIDIA A100-SXM4-40GB", 80), ("NVIDIA T4", None), ("", None)],
)
def test_memory_of_known_gpus(name, gigabytes):
    """The largest of a name: only what is certainly too much is refused."""
    assert device_memory.gpu_memory(name) == (gigabytes and gigabytes * 10**9)


@pytest.mark.parametrize(
    ("accelerator", "gib"), [("v3-8", 16), ("v4-8", 32), ("v5litepod-8", 16), ("x", None)]
)
def test_memory_of_a_device_of_a_tpu(accelerator, gib):
    found = device_memory.tpu_memory(accelerator)
    assert found == (gib and (gib * 2**30, f"each device of a TPU {accelerator}"))


@pytest.mark.parametrize(("output", "gib"), [("81559\n40960\n", 40), ("[N/A]\n", None), ("", None)])
def test_driver_reports_the_smallest_gpu(tmp_path, monkeypatch, output, gib):
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!{sys.executable}\nprint({output!r}, end='')\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert device_memory._memory_by_driver() == (gib and gib * 2**30)
    program.unlink()
    assert device_memory._memory_by_driver() is None
