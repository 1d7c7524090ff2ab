"""Facts about TPUs and GPUs: one row of TPUS or GPUS for each kind of chip.

To support another chip, add its row. Every field is required, so no fact can be forgotten. All names of a
chip are understood wherever an accelerator is asked for: ours, those of gcloud ("v5litepod-256") and, for
GPUs, those of GKE ("nvidia-h100-80gb").

Standard library only. Sources of the figures:

    TPU vN     cloud.google.com/tpu/docs/{v3,v4,v5e,v5p,v6e}: peak, memory and its bandwidth, chips of
               a pod; "all-reduce bandwidth per Pod" divided by the chips of a pod (v5p, for which
               there is none: half of the bidirectional bandwidth of a chip's links);
               cloud.google.com/tpu/docs/runtimes: system images; cloud.google.com/kubernetes-engine/
               docs/concepts/plan-tpus: labels and topologies of node pools
    A100       NVIDIA A100 data sheet: 312 TFLOP/s, 2,039 GB/s (80 GB) and 1,555 GB/s (40 GB), NVLink
               600 GB/s in both directions together; NVIDIA DGX A100 data sheet: 200 Gbit/s a GPU
    H100       NVIDIA H100 data sheet (SXM): 989 TFLOP/s dense, 3.35 TB/s, NVLink 900 GB/s in both
               directions together; NVIDIA DGX H100 data sheet: 400 Gbit/s a GPU
    step time, activation factor
               docs/plan.md: what each constant is fitted to, and which are guesses
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import TypeVar

_MIB, _GIB = 2**20, 2**30
CPU = "cpu"


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepTimeFit:
    """Constants of the formulas in launch/plan/costs.py.

    Attributes:
      matmul_share: share of the peak that forward and backward pass reach.
      on_chip_bytes: memory on the chip in which attention scores stay between products; 0 for none.
      error: relative error of the seconds of an update.
    """

    matmul_share: float
    on_chip_bytes: int
    error: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompileTarget:
    """Arguments of the TPU compiler for a chip, see bench/tpu.

    Attributes:
      topology: the compiler's name of the smallest slice.
      devices: devices into which the compiler divides a chip.
      flops_per_cycle: bfloat16 peak of such a device: two operations for each cell of its matrix units.
    """

    topology: str
    devices: int
    flops_per_cycle: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chip:
    """A kind of accelerator; figures are those of one chip.

    Attributes:
      name: our name, as in --accelerator.
      aliases: other names, of Google, GKE or in common use.
      peak_flops_per_second: dense bfloat16 peak.
      memory_bytes: size of the HBM.
      memory_bytes_per_second: bandwidth of the HBM.
      link_bytes_per_second: bandwidth to neighbouring chips, over all links together, one way.
      network_bytes_per_second: bandwidth to other hosts; 0 if the links lead there too.
      devices: number of replicas as which tf.distribute shows a chip. The two cores of a v3 are two
        devices; those of a v4 and a v5p are one ("megacore").
      counted: how many of the units that the number in an accelerator's name counts are in a chip: 2 cores
        of TPUs up to v4 and v5p, otherwise 1 chip.
      sizes: possible numbers in an accelerator's name; empty if any multiple of `counted` times
        `chips_per_host`.
      most_chips: largest number of chips of one job.
      chips_per_host: chips of each host, for jobs with several hosts.
      most_chips_of_one_host: largest number of chips of a job with one host.
      torus_chips: smallest slice whose links are closed to rings in every direction.
      step_time: fitted constants of a plan; None where the speed is measured instead.
    """

    name: str
    aliases: tuple[str, ...]
    peak_flops_per_second: float
    memory_bytes: int
    memory_bytes_per_second: float
    link_bytes_per_second: float
    network_bytes_per_second: float
    devices: int
    counted: int
    sizes: tuple[int, ...]
    most_chips: int
    chips_per_host: int
    most_chips_of_one_host: int
    torus_chips: int
    step_time: StepTimeFit | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tpu(Chip):
    """A generation of TPUs.

    Attributes:
      google_name: first part of accelerator types of gcloud and libtpu, such as "v5litepod".
      runtime_version: system image of TPU VMs, without a framework.
      gke_accelerator: label of GKE's nodes.
      topologies: GKE's topology of a single host, by the size in the accelerator type.
      slice_topologies: the same of slices of several hosts; empty if TensorFlow cannot use them.
      has_pjrt: whether TensorFlow reaches the TPU through the C interface of libtpu.
      compile_target: how bench.tpu compiles for it; None if jax 0.10.2 cannot read back what the compiler
        makes.
    """

    google_name: str
    runtime_version: str
    gke_accelerator: str
    topologies: Mapping[int, str]
    slice_topologies: Mapping[int, str]
    has_pjrt: bool
    compile_target: CompileTarget | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gpu(Chip):
    """A kind of GPU.

    Attributes:
      driver_name: part of the device name that the driver reports.
      compiled_as: name of the chip in rows of bench.gpu.check, whose programs it runs as well.
      activation_factor: multiple of the activations by the formula of launch/plan/costs.py; fitted.
    """

    driver_name: str
    compiled_as: str
    activation_factor: float


_POD_SIZES = (1, 4, 8, 16, 32, 64, 128, 256)
_HOST_TOPOLOGIES = {1: "1x1", 4: "2x2", 8: "2x4"}
_POD_TOPOLOGIES = {16: "4x4", 32: "4x8", 64: "8x8", 128: "8x16", 256: "16x16"}
# By the number of cores; longest side last, as Google chooses where a type has several topologies.
_V5P_TOPOLOGIES = {
    **{16: "2x2x2", 32: "2x2x4", 64: "2x4x4", 128: "4x4x4", 256: "4x4x8", 512: "4x8x8"},
    **{1024: "8x8x8", 2048: "8x8x16", 4096: "8x16x16", 8192: "16x16x16", 12288: "16x16x24"},
}
TPUS = {
    tpu.name: tpu
    for tpu in (
        Tpu(
            name="v3",
            aliases=(),
            peak_flops_per_second=123e12,
            memory_bytes=32 * _GIB,
            memory_bytes_per_second=900e9,
            link_bytes_per_second=340e12 / 1024,
            network_bytes_per_second=0.0,
            devices=2,
            counted=2,
            sizes=(8, 32, 64, 128, 256, 512, 1024, 2048),
            most_chips=1024,
            chips_per_host=4,
            most_chips_of_one_host=4,
            torus_chips=1024,
            step_time=StepTimeFit(matmul_share=0.68, on_chip_bytes=0, error=0.15),
            google_name="v3",
            runtime_version="tpu-ubuntu2204-base",
            gke_accelerator="tpu-v3-device",
            topologies={8: "2x2"},
            slice_topologies={},
            has_pjrt=False,
            compile_target=CompileTarget(
                topology="v3:2x2", devices=2, flops_per_cycle=2 * 2 * 128**2
            ),
        ),
        Tpu(
            name="v4",
            aliases=(),
            peak_flops_per_second=275e12,
            memory_bytes=32 * _GIB,
            memory_bytes_per_second=1200e9,
            link_bytes_per_second=1.1e15 / 4096,
            network_bytes_per_second=0.0,
            devices=1,
            counted=2,
            sizes=(),
            most_chips=4096,
            chips_per_host=4,
            most_chips_of_one_host=4,
            torus_chips=64,
            step_time=StepTimeFit(matmul_share=0.48, on_chip_bytes=0, error=0.15),
            google_name="v4",
            runtime_version="tpu-ubuntu2204-base",
            gke_accelerator="tpu-v4-podslice",
            topologies={8: "2x2x1"},
            slice_topologies={},
            has_pjrt=False,
            compile_target=CompileTarget(
                topology="v4:2x2x1", devices=2, flops_per_cycle=4 * 2 * 128**2
            ),
        ),
        Tpu(
            name="v5e",
            aliases=("v5litepod",),
            peak_flops_per_second=197e12,
            memory_bytes=16 * _GIB,
            memory_bytes_per_second=819e9,
            link_bytes_per_second=51.2e12 / 256,
            network_bytes_per_second=0.0,
            devices=1,
            counted=1,
            sizes=_POD_SIZES,
            most_chips=256,
            chips_per_host=4,
            most_chips_of_one_host=8,
            torus_chips=256,
            step_time=StepTimeFit(matmul_share=0.65, on_chip_bytes=128 * _MIB, error=0.10),
            google_name="v5litepod",
            runtime_version="v2-alpha-tpuv5-lite",
            gke_accelerator="tpu-v5-lite-podslice",
            topologies=_HOST_TOPOLOGIES,
            slice_topologies=_POD_TOPOLOGIES,
            has_pjrt=True,
            compile_target=CompileTarget(
                topology="v5e:2x2", devices=1, flops_per_cycle=4 * 2 * 128**2
            ),
        ),
        Tpu(
            name="v5p",
            aliases=(),
            peak_flops_per_second=459e12,
            memory_bytes=95 * _GIB,
            memory_bytes_per_second=2765e9,
            link_bytes_per_second=1200e9 / 2,
            network_bytes_per_second=0.0,
            devices=1,
            counted=2,
            sizes=(),
            most_chips=6144,
            chips_per_host=4,
            most_chips_of_one_host=4,
            torus_chips=64,
            step_time=StepTimeFit(matmul_share=0.48, on_chip_bytes=0, error=0.30),
            google_name="v5p",
            runtime_version="v2-alpha-tpuv5",
            gke_accelerator="tpu-v5p-slice",
            topologies={8: "2x2x1"},
            slice_topologies=_V5P_TOPOLOGIES,
            has_pjrt=True,
            compile_target=None,
        ),
        Tpu(
            name="v6e",
            aliases=(),
            peak_flops_per_second=918e12,
            memory_bytes=32 * _GIB,
            memory_bytes_per_second=1638e9,
            link_bytes_per_second=102.4e12 / 256,
            network_bytes_per_second=0.0,
            devices=1,
            counted=1,
            sizes=_POD_SIZES,
            most_chips=256,
            chips_per_host=4,
            most_chips_of_one_host=8,
            torus_chips=256,
            step_time=StepTimeFit(matmul_share=0.40, on_chip_bytes=128 * _MIB, error=0.40),
            google_name="v6e",
            runtime_version="v2-alpha-tpuv6e",
            gke_accelerator="tpu-v6e-slice",
            topologies=_HOST_TOPOLOGIES,
            slice_topologies=_POD_TOPOLOGIES,
            has_pjrt=True,
            compile_target=None,
        ),
    )
}

_A100 = Gpu(
    name="a100",
    aliases=("a100-80g", "nvidia-a100-80gb"),
    peak_flops_per_second=312e12,
    memory_bytes=80 * 10**9,
    memory_bytes_per_second=2039e9,
    link_bytes_per_second=600e9 / 2,
    network_bytes_per_second=200e9 / 8,
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
            devices=1,
            counted=1,
            sizes=(),
            most_chips=16_384,
            chips_per_host=8,
            most_chips_of_one_host=8,
            torus_chips=1,
            step_time=StepTimeFit(matmul_share=0.28, on_chip_bytes=0, error=0.50),
            driver_name="H100",
            compiled_as="h100",
            activation_factor=1.4,
        ),
    )
}


AnyChip = TypeVar("AnyChip", bound=Chip)


def tpu_chip(kind: str) -> Tpu | None:
    """Return the TPU by the first part of an accelerator type, like "v4" or "v5litepod"."""
    return _find(kind, TPUS)


def gpu_chip(kind: str) -> Gpu | None:
    """Return the GPU by its name, ours or that of GKE, like "nvidia-h100-80gb"."""
    return _find(kind, GPUS)


def _find(kind: str, table: Mapping[str, AnyChip]) -> AnyChip | None:
    return next((chip for chip in table.values() if kind in (chip.name, *chip.aliases)), None)


def this_cpu() -> Chip:
    """Return this machine as a chip of unknown speed."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Chip(
        name=CPU,
        aliases=(),
        peak_flops_per_second=0.0,
        memory_bytes=memory,
        memory_bytes_per_second=0.0,
        link_bytes_per_second=0.0,
        network_bytes_per_second=0.0,
        devices=1,
        counted=1,
        sizes=(),
        most_chips=1,
        chips_per_host=1,
        most_chips_of_one_host=1,
        torus_chips=1,
        step_time=None,
    )
