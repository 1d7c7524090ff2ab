"""TPUs of a single host: their types at Google, and their topologies."""

from __future__ import annotations

from data.errors import UserError
from launch.accelerators.chips import TPUS, Tpu, tpu_chip


def tpu_of_type(accelerator: str) -> Tpu | None:
    """Return the TPU of a type such as "v5e-8" or "v5litepod-8", or None for other accelerators."""
    return tpu_chip(accelerator.partition("-")[0])


def google_type(accelerator: str) -> str:
    """Return a TPU type as gcloud and libtpu name it: "v5litepod-8" for "v5e-8"."""
    tpu = tpu_of_type(accelerator)
    assert tpu is not None, f"{accelerator} is not a TPU"
    return f"{tpu.google_name}-{accelerator.partition('-')[2]}"


def single_host(accelerator: str) -> tuple[Tpu, str, int]:
    """Return chip, topology and number of chips of a TPU of a single host.

    Raises:
      UserError: it is not a TPU, or it is a slice of several hosts.
    """
    tpu, size = tpu_of_type(accelerator), accelerator.partition("-")[2]
    if tpu is None or not size.isdecimal():
        types = [f"{name}-{size}" for name, other in TPUS.items() for size in other.topologies]
        raise UserError(
            f"LaunchConfig.accelerator={accelerator!r}: is not a TPU type; there are {', '.join(types)}"
        )
    if int(size) not in tpu.topologies:
        sizes = ", ".join(map(str, tpu.topologies))
        raise UserError(
            f"LaunchConfig.accelerator={accelerator!r}: is not a TPU of a single host (sizes {sizes});"
            ' slices of several hosts are set up by hand, see "Slices of several hosts" in'
            " docs/launching.md"
        )
    return tpu, tpu.topologies[int(size)], int(size) // tpu.counted
