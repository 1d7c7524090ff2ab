"""Facts about TPUs: one row of TPUS for each generation.

To support another, add its row. Every field is required, so no fact can be forgotten. Names are ours and
those of gcloud ("v5litepod-256").

Standard library only. Sources of the figures:

    TPU vN     cloud.google.com/tpu/docs/{v3,v4,v5e,v5p,v6e}: peak, memory and its bandwidth, chips of
               a pod; "all-reduce bandwidth per Pod" divided by the chips of a pod (v5p, for which
               there is none: half of the bidirectional bandwidth of a chip's links);
               cloud.google.com/tpu/docs/runtimes: system images; cloud.google.com/kubernetes-engine/
               docs/concepts/plan-tpus: labels and topologies of node pools
    step time  docs/plan.md: what each constant is fitted to, and which are guesses
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from launch.accelerators.chips import Chip, StepTimeFit, find_chip

_MIB, _GIB = 2**20, 2**30


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompileTarget:
    """Arguments of the TPU compiler for a chip, see bench/tpu.

    Attributes:
      topology: the compiler's name of the smallest slice.
      cores: cores of a chip that are one device, as for TensorFlow: "megacore" for both, "default" for each.
      flops_per_cycle: bfloat16 peak of a device: two operations for each cell of its matrix units.
    """

    topology: str
    cores: str
    flops_per_cycle: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tpu(Chip):
    """A generation of TPUs.

    Attributes:
      google_name: first part of accelerator types of gcloud and libtpu, such as "v5litepod".
      runtime_version: system image of TPU VMs, without a framework.
      gke_accelerator: label of GKE's nodes.
      topologies: GKE's topology of a single host, by the size in the accelerator type.
      slice_topologies: the same of slices of several hosts; empty if TensorFlow cannot use them.
      multiplies_integers: whether it has an instruction that multiplies 32-bit integers; otherwise training
        keeps dropout masks for the backward pass (model/dropout.py).
      has_pjrt: whether TensorFlow reaches the TPU through the C interface of libtpu.
      compile_target: how bench.tpu compiles for it; None if jax 0.10.2 cannot read back what the compiler
        makes.
    """

    google_name: str
    runtime_version: str
    gke_accelerator: str
    topologies: Mapping[int, str]
    slice_topologies: Mapping[int, str]
    multiplies_integers: bool
    has_pjrt: bool
    compile_target: CompileTarget | None


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
            device_kind="v3",
            devices=2,
            counted=2,
            sizes=(8, 32, 64, 128, 256, 512, 1024, 2048),
            most_chips=1024,
            chips_per_host=4,
            most_chips_of_one_host=4,
            torus_chips=1024,
            step_time=StepTimeFit(matmul_share=0.68, on_chip_bytes=0, error=0.20),
            google_name="v3",
            runtime_version="tpu-ubuntu2204-base",
            gke_accelerator="tpu-v3-device",
            topologies={8: "2x2"},
            slice_topologies={},
            multiplies_integers=False,
            has_pjrt=False,
            compile_target=CompileTarget(
                topology="v3:2x2", cores="default", flops_per_cycle=2 * 2 * 128**2
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
            device_kind="v4",
            devices=1,
            counted=2,
            sizes=(),
            most_chips=4096,
            chips_per_host=4,
            most_chips_of_one_host=4,
            torus_chips=64,
            step_time=StepTimeFit(matmul_share=0.48, on_chip_bytes=0, error=0.25),
            google_name="v4",
            runtime_version="tpu-ubuntu2204-base",
            gke_accelerator="tpu-v4-podslice",
            topologies={8: "2x2x1"},
            slice_topologies={},
            multiplies_integers=False,
            has_pjrt=False,
            compile_target=CompileTarget(
                topology="v4:2x2x1", cores="megacore", flops_per_cycle=2 * 4 * 2 * 128**2
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
            device_kind="v5e",
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
            multiplies_integers=True,
            has_pjrt=True,
            compile_target=CompileTarget(
                topology="v5e:2x2", cores="default", flops_per_cycle=4 * 2 * 128**2
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
            device_kind="v5p",
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
            multiplies_integers=True,
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
            device_kind="v6e",
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
            multiplies_integers=True,
            has_pjrt=True,
            compile_target=None,
        ),
    )
}


def tpu_chip(kind: str) -> Tpu | None:
    """Return the TPU by the first part of an accelerator type, like "v4" or "v5litepod"."""
    return find_chip(kind, TPUS)
