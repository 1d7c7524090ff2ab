"""Types of TPUs that are one host: what Google Cloud calls them, and what TensorFlow needs there.

Sources: cloud.google.com/tpu/docs/runtimes (system images), cloud.google.com/kubernetes-engine/docs/
concepts/plan-tpus (labels and topologies of node pools).
"""

from __future__ import annotations

import dataclasses

from data.errors import UserError
from launch.accelerators.chips import tpu_chip


@dataclasses.dataclass(frozen=True, kw_only=True)
class TpuKind:
    """A generation of TPUs.

    Attributes:
      name: in accelerator types of gcloud and of libtpu.
      runtime_version: system image of TPU VMs, without a framework.
      gke_accelerator: label of GKE's nodes.
      topologies: of one host, with its number of chips, by the size in the accelerator type.
      has_pjrt: TensorFlow reaches the TPU through the C interface of libtpu.
    """

    name: str
    runtime_version: str
    gke_accelerator: str
    topologies: dict[int, tuple[str, int]]
    has_pjrt: bool


_CHIPS = {1: ("1x1", 1), 4: ("2x2", 4), 8: ("2x4", 8)}
# By the names of launch/accelerators/chips.py.
KINDS = {
    "v3": TpuKind(
        name="v3",
        runtime_version="tpu-ubuntu2204-base",
        gke_accelerator="tpu-v3-device",
        topologies={8: ("2x2", 4)},
        has_pjrt=False,
    ),
    "v4": TpuKind(
        name="v4",
        runtime_version="tpu-ubuntu2204-base",
        gke_accelerator="tpu-v4-podslice",
        topologies={8: ("2x2x1", 4)},
        has_pjrt=False,
    ),
    "v5e": TpuKind(
        name="v5litepod",
        runtime_version="v2-alpha-tpuv5-lite",
        gke_accelerator="tpu-v5-lite-podslice",
        topologies=_CHIPS,
        has_pjrt=True,
    ),
    "v5p": TpuKind(
        name="v5p",
        runtime_version="v2-alpha-tpuv5",
        gke_accelerator="tpu-v5p-slice",
        topologies={8: ("2x2x1", 4)},
        has_pjrt=True,
    ),
    "v6e": TpuKind(
        name="v6e",
        runtime_version="v2-alpha-tpuv6e",
        gke_accelerator="tpu-v6e-slice",
        topologies=_CHIPS,
        has_pjrt=True,
    ),
}


def tpu_kind(accelerator: str) -> TpuKind | None:
    """Of an accelerator type like "v5e-8" or "v5litepod-8"; None if it is no TPU."""
    chip = tpu_chip(accelerator.partition("-")[0])
    return chip and KINDS[chip.name]


def google_type(accelerator: str) -> str:
    """As gcloud and libtpu call a type of TPU: "v5litepod-8" for "v5e-8"."""
    return f"{tpu_kind(accelerator).name}-{accelerator.partition('-')[2]}"


def single_host(accelerator: str) -> tuple[TpuKind, str, int]:
    """The generation, the topology and the number of chips of a TPU of one host.

    Raises:
      UserError: it is no TPU, or a slice of several hosts.
    """
    kind, size = tpu_kind(accelerator), accelerator.partition("-")[2]
    if kind is None or not size.isdecimal():
        types = [f"{name}-{size}" for name, found in KINDS.items() for size in found.topologies]
        raise UserError(
            f"LaunchConfig.accelerator={accelerator!r}: is not a TPU type; there are {', '.join(types)}"
        )
    if int(size) not in kind.topologies:
        sizes = ", ".join(map(str, kind.topologies))
        raise UserError(
            f"LaunchConfig.accelerator={accelerator!r}: is not a TPU of one host (sizes {sizes});"
            ' slices of several hosts are left to you, see "Slices of several hosts" in docs/launching.md'
        )
    return kind, *kind.topologies[int(size)]
