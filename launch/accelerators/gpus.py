"""Facts about GPUs: one row of GPUS for each kind, and kinds that a user describes by numbers.

To support another, add its row. Every field is required, so no fact can be forgotten. Names are ours and
those of GKE ("nvidia-h100-80gb").

Standard library only. Sources of the figures, data sheets of NVIDIA where nothing else is said; peaks
are dense, links have half of "both directions together":

    A100       312 TFLOP/s, 2,039 GB/s (80 GB) and 1,555 GB/s (40 GB), NVLink 600 GB/s; DGX A100:
               200 Gbit/s a GPU
    H100       (SXM) 989 TFLOP/s, 3.35 TB/s, NVLink 900 GB/s; DGX H100: 400 Gbit/s a GPU
    H200       (SXM) 989 TFLOP/s, 141 GB, 4.8 TB/s, NVLink 900 GB/s; DGX H200: 400 Gbit/s a GPU
    B200       (DGX B200, an eighth) 2.25 PFLOP/s, 180 GB, 8 TB/s, NVLink 1.8 TB/s, 400 Gbit/s a GPU
    L4         121 TFLOP/s, 24 GB, 300 GB/s, PCIe 64 GB/s; 100 Gbit/s a machine (Google, g2-standard-96)
    A10G       70 TFLOP/s, 24 GB, 600 GB/s, PCIe 64 GB/s; 100 Gbit/s a machine (AWS, g5.48xlarge)
    RTX 4090   165 TFLOP/s, 24 GB, 1,008 GB/s, PCIe 64 GB/s; 25 Gbit/s a machine is assumed
    V100       (SXM2, 32 GB) no bfloat16, so products run in float32: 15.7 TFLOP/s; 900 GB/s, NVLink
               300 GB/s; DGX-1: 400 Gbit/s a machine
    step time, activation factor
               docs/plan.md: what each constant is fitted to, and which are guesses
"""

from __future__ import annotations

import dataclasses

from launch.accelerators.chips import Chip, StepTimeFit, find_chip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gpu(Chip):
    """A kind of GPU.

    Attributes:
      driver_name: part of the device name that the driver reports.
      compiled_as: name of the chip in rows of bench.gpu.check, whose programs it runs as well.
      activation_factor: multiple of the activations by the formula of launch/accelerators/costs.py; fitted.
    """

    driver_name: str
    compiled_as: str
    activation_factor: float


_A100 = Gpu(
    name="a100",
    aliases=("a100-80g", "nvidia-a100-80gb"),
    peak_flops_per_second=312e12,
    memory_bytes=80 * 10**9,
    memory_bytes_per_second=2039e9,
    link_bytes_per_second=600e9 / 2,
    network_bytes_per_second=200e9 / 8,
    device_kind="gpu",
    devices=1,
    counted=1,
    sizes=(),
    most_chips=16_384,
    chips_per_host=8,
    most_chips_of_one_host=8,
    torus_chips=1,
    step_time=StepTimeFit(matmul_share=0.28, on_chip_bytes=0, error=0.40),
    driver_name="A100",
    compiled_as="a100",
    activation_factor=1.4,
)
GPUS = {
    gpu.name: gpu
    for gpu in (
        _A100,
        dataclasses.replace(
            _A100,
            name="a100-40g",
            aliases=("nvidia-tesla-a100",),
            memory_bytes=40 * 10**9,
            memory_bytes_per_second=1555e9,
        ),
        Gpu(
            name="h100",
            aliases=("nvidia-h100-80gb", "nvidia-h100-mega-80gb"),
            peak_flops_per_second=989e12,
            memory_bytes=80 * 10**9,
            memory_bytes_per_second=3350e9,
            link_bytes_per_second=900e9 / 2,
            network_bytes_per_second=400e9 / 8,
            device_kind="hopper",
            devices=1,
            counted=1,
            sizes=(),
            most_chips=16_384,
            chips_per_host=8,
            most_chips_of_one_host=8,
            torus_chips=1,
            step_time=StepTimeFit(matmul_share=0.36, on_chip_bytes=0, error=0.40),
            driver_name="H100",
            compiled_as="h100",
            activation_factor=1.4,
        ),
        Gpu(
            name="h200",
            aliases=("nvidia-h200-141gb",),
            peak_flops_per_second=989e12,
            memory_bytes=141 * 10**9,
            memory_bytes_per_second=4800e9,
            link_bytes_per_second=900e9 / 2,
            network_bytes_per_second=400e9 / 8,
            device_kind="hopper",
            devices=1,
            counted=1,
            sizes=(),
            most_chips=16_384,
            chips_per_host=8,
            most_chips_of_one_host=8,
            torus_chips=1,
            step_time=StepTimeFit(matmul_share=0.36, on_chip_bytes=0, error=0.30),
            driver_name="H200",
            compiled_as="h100",
            activation_factor=1.4,
        ),
        Gpu(
            name="b200",
            aliases=("nvidia-b200",),
            peak_flops_per_second=2250e12,
            memory_bytes=180 * 10**9,
            memory_bytes_per_second=8000e9,
            link_bytes_per_second=1800e9 / 2,
            network_bytes_per_second=400e9 / 8,
            device_kind="gpu",
            devices=1,
            counted=1,
            sizes=(),
            most_chips=16_384,
            chips_per_host=8,
            most_chips_of_one_host=8,
            torus_chips=1,
            step_time=StepTimeFit(matmul_share=0.28, on_chip_bytes=0, error=0.50),
            driver_name="B200",
            compiled_as="b200",
            activation_factor=1.4,
        ),
        Gpu(
            name="l4",
            aliases=("nvidia-l4",),
            peak_flops_per_second=121e12,
            memory_bytes=24 * 10**9,
            memory_bytes_per_second=300e9,
            link_bytes_per_second=64e9 / 2,
            network_bytes_per_second=100e9 / 8 / 8,
            device_kind="gpu",
            devices=1,
            counted=1,
            sizes=(),
            most_chips=16_384,
            chips_per_host=8,
            most_chips_of_one_host=8,
            torus_chips=1,
            step_time=StepTimeFit(matmul_share=0.28, on_chip_bytes=0, error=0.50),
            driver_name="L4",
            compiled_as="l4",
            activation_factor=1.4,
        ),
        Gpu(
            name="a10g",
            aliases=(),
            peak_flops_per_second=70e12,
            memory_bytes=24 * 10**9,
            memory_bytes_per_second=600e9,
            link_bytes_per_second=64e9 / 2,
            network_bytes_per_second=100e9 / 8 / 8,
            device_kind="gpu",
            devices=1,
            counted=1,
            sizes=(),
            most_chips=16_384,
            chips_per_host=8,
            most_chips_of_one_host=8,
            torus_chips=1,
            step_time=StepTimeFit(matmul_share=0.28, on_chip_bytes=0, error=0.50),
            driver_name="A10G",
            compiled_as="a10g",
            activation_factor=1.4,
        ),
        Gpu(
            name="rtx4090",
            aliases=(),
            peak_flops_per_second=165e12,
            memory_bytes=24 * 10**9,
            memory_bytes_per_second=1008e9,
            link_bytes_per_second=64e9 / 2,
            network_bytes_per_second=25e9 / 8 / 8,
            device_kind="gpu",
            devices=1,
            counted=1,
            sizes=(),
            most_chips=16_384,
            chips_per_host=8,
            most_chips_of_one_host=8,
            torus_chips=1,
            step_time=StepTimeFit(matmul_share=0.28, on_chip_bytes=0, error=0.50),
            driver_name="RTX 4090",
            compiled_as="rtx4090",
            activation_factor=1.4,
        ),
        Gpu(
            name="v100",
            aliases=("nvidia-tesla-v100",),
            peak_flops_per_second=15.7e12,
            memory_bytes=32 * 10**9,
            memory_bytes_per_second=900e9,
            link_bytes_per_second=300e9 / 2,
            network_bytes_per_second=400e9 / 8 / 8,
            device_kind="pre-ampere",
            devices=1,
            counted=1,
            sizes=(),
            most_chips=16_384,
            chips_per_host=8,
            most_chips_of_one_host=8,
            torus_chips=1,
            step_time=StepTimeFit(matmul_share=0.60, on_chip_bytes=0, error=0.50),
            driver_name="V100",
            compiled_as="v100",
            activation_factor=1.4,
        ),
    )
}


def gpu_chip(kind: str) -> Gpu | None:
    """Return the GPU by its name, ours or that of GKE, like "nvidia-h100-80gb"."""
    return find_chip(kind, GPUS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Numbers:
    """Figures of a GPU as a user gives them; None takes that of the table.

    Attributes:
      flops_per_second: dense bfloat16 peak.
      memory_bytes: size of its memory.
      memory_bytes_per_second: bandwidth of its memory.
      link_bytes_per_second: bandwidth to the others of a machine, one way.
      network_bytes_per_second: bandwidth to other machines, for each accelerator.
    """

    flops_per_second: float | None = None
    memory_bytes: float | None = None
    memory_bytes_per_second: float | None = None
    link_bytes_per_second: float | None = None
    network_bytes_per_second: float | None = None


def described_gpu(kind: str, numbers: Numbers) -> Gpu:
    """Return a GPU with a user's numbers; the rest is as in the table, or as in an L4's row for other kinds.

    Args:
      kind: name; any for a GPU outside the table, which has peak, memory and its bandwidth in `numbers`.
      numbers: figures of the user.
    """
    known = gpu_chip(kind) or dataclasses.replace(
        GPUS["l4"], name=kind, aliases=(), driver_name=kind, compiled_as=kind
    )
    return dataclasses.replace(
        known,
        peak_flops_per_second=numbers.flops_per_second or known.peak_flops_per_second,
        memory_bytes=int(numbers.memory_bytes or known.memory_bytes),
        memory_bytes_per_second=numbers.memory_bytes_per_second or known.memory_bytes_per_second,
        link_bytes_per_second=numbers.link_bytes_per_second or known.link_bytes_per_second,
        network_bytes_per_second=numbers.network_bytes_per_second or known.network_bytes_per_second,
    )
