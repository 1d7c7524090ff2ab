"""Descriptions of GPUs for the compiler, which otherwise asks the driver.

The figures are those that the CUDA driver reports for such a GPU. They are from NVIDIA's "CUDA C++
Programming Guide" (technical specifications by compute capability), the data sheets named in
launch/accelerators/chips.py, and openxla/xla, xla/backends/gpu/target_config/specs (h100_sxm.txtpb and
a100_sxm_80.txtpb), where they were recorded on such machines.
"""

from __future__ import annotations

import dataclasses

from launch.accelerators.gpus import GPUS


@dataclasses.dataclass(frozen=True, kw_only=True)
class Description:
    """A GPU as the compiler sees it.

    Attributes:
      name: as reported by the driver.
      capability: major number of the compute capability; the minor number is 0.
      features: instructions beyond those of later GPUs, "ACCELERATED_FEATURES" on Hopper.
      cores: streaming multiprocessors.
      lanes: float32 lanes of a core.
      clock_ghz: clock.
      memory_bytes: memory that the driver reports, less than that of the data sheet.
      l2_bytes: second-level cache.
      shared_bytes: shared memory of a core; a block can have 1,024 bytes less.
    """

    name: str
    capability: int
    features: str
    cores: int
    lanes: int
    clock_ghz: float
    memory_bytes: int
    l2_bytes: int
    shared_bytes: int


DESCRIPTIONS = {
    "h100": Description(
        name="NVIDIA H100 80GB HBM3",
        capability=9,
        features="ACCELERATED_FEATURES",
        cores=132,
        lanes=128,
        clock_ghz=1.98,
        memory_bytes=84_942_979_072,
        l2_bytes=50 * 2**20,
        shared_bytes=228 * 2**10,
    ),
    "a100": Description(
        name="NVIDIA A100-SXM4-80GB",
        capability=8,
        features="NONE",
        cores=108,
        lanes=64,
        clock_ghz=1.41,
        memory_bytes=85_100_068_864,
        l2_bytes=40 * 2**20,
        shared_bytes=164 * 2**10,
    ),
}
# Versions of the libraries that the machine with the GPU is assumed to have.
_CUDA, _CUDNN = (13, 0, 0), (9, 12, 0)


def target_config(chip: str) -> str:
    """Return the description of a chip as XLA's GpuTargetConfigProto, in text format."""
    d = DESCRIPTIONS[chip]
    cuda, cudnn = (".".join(map(str, version)) for version in (_CUDA, _CUDNN))
    device = {
        "name": f'"{d.name}"',
        "device_vendor": '"NVIDIA Corporation"',
        "cuda_compute_capability": f"{{ major: {d.capability} feature_extension: {d.features} }}",
        "core_count": d.cores,
        "fpus_per_core": d.lanes,
        "clock_rate_ghz": d.clock_ghz,
        "device_memory_size": d.memory_bytes,
        "memory_bandwidth": int(GPUS[chip].memory_bytes_per_second),
        "l2_cache_size": d.l2_bytes,
        "shared_memory_per_core": d.shared_bytes,
        "shared_memory_per_block": 48 * 2**10,  # without asking for more
        "shared_memory_per_block_optin": d.shared_bytes - 2**10,
        # The same for all compute capabilities since 8.0.
        "threads_per_warp": 32,
        "threads_per_block_limit": 1024,
        "threads_per_core_limit": 2048,
        "registers_per_core_limit": 65_536,
        "registers_per_block_limit": 65_536,
        "block_dim_limit_x": 2**31 - 1,
        "block_dim_limit_y": 65_535,
        "block_dim_limit_z": 65_535,
        "thread_dim_limit_x": 1024,
        "thread_dim_limit_y": 1024,
        "thread_dim_limit_z": 64,
        "device_address_bits": 64,
        "driver_version": f'"{cuda}"',
        "runtime_version": f'"{cuda}"',
        "compile_time_toolkit_version": f'"{cuda}"',
        "dnn_version": f'"{cudnn}"',
    }
    fields = "\n".join(f"  {name}: {value}" for name, value in device.items())
    major, minor, patch = _CUDNN
    return (
        f"gpu_device_info {{\n{fields}\n}}\n"
        'platform_name: "CUDA"\n'
        f"dnn_version_info {{ major: {major} minor: {minor} patch: {patch} }}\n"
        f'device_description_str: "{d.name}"\n'
    )
