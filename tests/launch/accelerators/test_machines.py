"""Machines by their names, and those of a job."""

import pytest

from data.errors import UserError
from launch.accelerators.machines import of_job, parse, replicas
from launch.config import LaunchConfig


@pytest.mark.parametrize(
    ("name", "chips", "devices", "hosts", "gigabytes"),
    [
        # The number counts TensorCores up to v4 and for v5p; those of v3 are two devices.
        ("v3-32", 16, 32, 4, 17.18),
        ("v4-128", 64, 64, 16, 34.36),
        ("v5p-64", 32, 32, 8, 102.01),
        ("v5e-256", 256, 256, 64, 17.18),
        ("v5litepod-16", 16, 16, 4, 17.18),
        ("v5e-8", 8, 8, 1, 17.18),
        ("v6e-64", 64, 64, 16, 34.36),
        ("h100x8", 8, 8, 1, 80.0),
        ("h100x64", 64, 64, 8, 80.0),
        ("a100-40gx16", 16, 16, 2, 40.0),
        ("a100x1", 1, 1, 1, 80.0),
        ("nvidia-h100-80gbx8", 8, 8, 1, 80.0),
        ("l4", 1, 1, 1, 24.0),
        ("rtx4090", 1, 1, 1, 24.0),
        ("rtx4090x2", 2, 2, 1, 24.0),
        ("h200x16", 16, 16, 2, 141.0),
    ],
)
def test_size_of_named_machines(name, chips, devices, hosts, gigabytes):
    found = parse(name)
    assert (found.chips, found.devices, found.hosts) == (chips, devices, hosts)
    assert found.memory_bytes / 1e9 == pytest.approx(gigabytes, abs=0.005)


def test_figures_of_a_device_are_its_part_of_the_chip():
    assert parse("v3-8").peak_flops_per_second == 61.5e12
    assert parse("v4-8").peak_flops_per_second == 275e12
    assert parse("v3-8").memory_bytes_per_second == 450e9


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "v5e-300",
            "v5e-300: no slice has 300 chips; there are v5e-1, v5e-4, v5e-8, v5e-16, v5e-32, v5e-64",
        ),
        ("v3-9", "v3-9: no slice has 9 cores; there are v3-8, v3-32"),
        ("v4-100", "v4-100: no slice has 100 cores; there are multiples of 8 up to v4-8192"),
        ("v4-8200", "there are multiples of 8 up to v4-8192"),
        ("v5p-12296", "there are multiples of 8 up to v5p-12288"),
        ("v2-8", r"v2-8: must be a TPU like v5e-256 \(v3, v4, v5e, v5p, v6e\), GPUs like h100x16"),
        ("v5e", "must be a TPU like"),
        ("v4x8", "must be a TPU like"),
        ("h100-8", "must be a TPU like"),
        ("", "must be a TPU like"),
        ("h100x0", "must be 1 to 8 GPUs, or a multiple of 8 up to 16,384"),
        ("h100x12", "must be 1 to 8 GPUs, or a multiple of 8 up to 16,384"),
    ],
)
def test_unknown_names_and_sizes_are_errors(name, message):
    with pytest.raises(UserError, match=message):
        parse(name)


@pytest.mark.parametrize(
    ("settings", "name", "devices"),
    [
        (dict(accelerator="v5litepod-8"), "v5litepod-8", 8),
        (dict(accelerator="v5e-8"), "v5e-8", 8),
        (dict(accelerator="v3-8", nodes=9), "v3-8", 8),  # nodes count for GPUs only
        (dict(accelerator="nvidia-h100-80gb", nodes=4), "h100x32", 32),
        (dict(accelerator="nvidia-tesla-a100", nodes=2, gpus_per_node=4), "a100-40gx8", 8),
        (dict(accelerator="nvidia-l4", gpus_per_node=2), "l4x2", 2),
        (dict(accelerator="nvidia-tesla-t4", gpus_per_node=2), None, 2),
        (dict(accelerator="cpu"), "cpu", 1),
        (dict(accelerator="cpu", processes=2), None, 2),
    ],
)
def test_machines_of_a_job(settings, name, devices):
    config = LaunchConfig(**settings)
    found = of_job(config)
    assert (found and found.name, replicas(config)) == (name, devices)
    assert found is None or found.devices == devices


@pytest.mark.parametrize(
    ("accelerator", "message"),
    [
        ("h100", "LaunchConfig.accelerator='h100': must be a TPU like 'v5e-8'"),
        ("v9-8", "LaunchConfig.accelerator='v9-8': must be a TPU like"),
        ("v5e-7", "LaunchConfig.accelerator=v5e-7: no slice has 7 chips; there are v5e-1"),
    ],
)
def test_unknown_machines_of_a_job_are_errors(accelerator, message):
    with pytest.raises(UserError, match=message):
        replicas(LaunchConfig(accelerator=accelerator))
