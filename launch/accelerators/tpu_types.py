"""Types of TPUs at Google, their hosts and their topologies."""

from __future__ import annotations

from data.errors import UserError
from launch.accelerators.tpus import TPUS, Tpu, tpu_chip


def tpu_of_type(accelerator: str) -> Tpu | None:
    """Return the TPU of a type such as "v5e-8" or "v5litepod-8", or None for other accelerators."""
    return tpu_chip(accelerator.partition("-")[0])


def google_type(accelerator: str) -> str:
    """Return a TPU type as gcloud and libtpu name it: "v5litepod-8" for "v5e-8"."""
    tpu = tpu_of_type(accelerator)
    assert tpu is not None, f"{accelerator} is not a TPU"
    return f"{tpu.google_name}-{accelerator.partition('-')[2]}"


def hosts_of(accelerator: str) -> int:
    """Return the number of hosts of a TPU type; 1 for everything else."""
    tpu, size = tpu_of_type(accelerator), accelerator.partition("-")[2]
    if tpu is None or not size.isdecimal() or int(size) in tpu.topologies:
        return 1
    return -(-int(size) // (tpu.counted * tpu.chips_per_host))


def request_of(accelerator: str) -> tuple[Tpu, str, int]:
    """Return chip, topology and number of chips of each host of a TPU that a job asks for.

    Raises:
      UserError: it is not a TPU, there is no such size, or TensorFlow does not run on such a slice.
    """
    tpu, size = tpu_of_type(accelerator), accelerator.partition("-")[2]
    setting = f"LaunchConfig.accelerator={accelerator!r}"
    if tpu is None or not size.isdecimal():
        types = [f"{name}-{size}" for name, other in TPUS.items() for size in other.topologies]
        raise UserError(
            f"{setting}: is not a TPU type; there are {', '.join(types)}, and slices of several hosts"
        )
    if int(size) in tpu.topologies:
        return tpu, tpu.topologies[int(size)], int(size) // tpu.counted
    if not tpu.slice_topologies:
        raise UserError(
            f"{setting}: slices of several hosts need v5e, v5p or v6e, because TensorFlow hangs or cannot"
            f" initialise those of {tpu.name} (github.com/tensorflow/tensorflow/issues/93618); a single host"
            f" has the sizes {', '.join(map(str, tpu.topologies))}"
        )
    if int(size) not in tpu.slice_topologies:
        sizes = ", ".join(map(str, (*tpu.topologies, *tpu.slice_topologies)))
        raise UserError(f"{setting}: no slice has this size; there are {sizes}")
    return tpu, tpu.slice_topologies[int(size)], tpu.chips_per_host
