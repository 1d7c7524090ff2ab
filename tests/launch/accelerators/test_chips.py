"""The table of chips, compared with what the makers publish elsewhere."""

import dataclasses
import math

import pytest

from launch.accelerators.chips import Chip
from launch.accelerators.gpus import GPUS, gpu_chip
from launch.accelerators.tpus import TPUS, tpu_chip


def test_largest_slices_have_the_published_peak_of_their_pods():
    """Google also publishes whole pods: 126 PFLOP/s, 1.1 EFLOP/s, 50.63 and 234.9 PFLOP/s."""
    pods = {"v3": 126e15, "v4": 1.1e18, "v5e": 50.63e15, "v6e": 234.9e15}
    for name, peak in pods.items():
        chip = TPUS[name]
        assert chip.peak_flops_per_second * chip.most_chips == pytest.approx(peak, rel=0.03)


@pytest.mark.parametrize(("name", "megahertz"), [("v3", 940), ("v4", 1050), ("v5e", 1500)])
def test_compiled_devices_reach_the_peak_at_the_clock_of_the_chip(name, megahertz):
    """The compiler's device is that of TensorFlow: one core of a v3, both of a v4."""
    chip = TPUS[name]
    clock = chip.peak_flops_per_second / chip.devices / chip.compile_target.flops_per_cycle
    assert clock == pytest.approx(megahertz * 1e6, rel=0.005)


def test_the_two_sizes_of_a100_differ_in_memory_only():
    large, small = GPUS["a100"], GPUS["a100-40g"]
    changed = {
        field.name
        for field in dataclasses.fields(large)
        if getattr(large, field.name) != getattr(small, field.name)
    }
    assert changed == {"name", "aliases", "memory_bytes", "memory_bytes_per_second"}


def test_no_fact_about_a_chip_has_a_default():
    for chip in (Chip, *map(type, (TPUS["v4"], GPUS["h100"]))):
        for field in dataclasses.fields(chip):
            assert field.default is field.default_factory is dataclasses.MISSING, field.name


def test_every_name_means_one_chip():
    for table, find in ((TPUS, tpu_chip), (GPUS, gpu_chip)):
        names = [name for chip in table.values() for name in (chip.name, *chip.aliases)]
        assert len(names) == len(set(names))
        assert all(find(chip.name) is chip for chip in table.values())
    assert tpu_chip("v5litepod") is TPUS["v5e"] is tpu_chip(TPUS["v5e"].google_name)
    assert gpu_chip("nvidia-tesla-a100") is GPUS["a100-40g"]
    assert tpu_chip("h100") is gpu_chip("v5e") is None


def test_topologies_have_as_many_chips_as_their_sizes():
    for tpu in TPUS.values():
        for size, topology in tpu.topologies.items():
            chips = math.prod(map(int, topology.split("x")))
            assert chips * tpu.counted == size
            assert chips <= tpu.most_chips_of_one_host
