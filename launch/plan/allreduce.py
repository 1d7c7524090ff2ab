"""All-reduce of gradients between devices: bytes and seconds.

In a ring of n devices each sends 2 (n - 1) / n times the bytes of the gradient: n - 1 parts while they are
summed, and n - 1 parts of the result (Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms for
clusters of workstations", 2009). A torus does the same in all directions simultaneously, so the
bandwidth is that of all links of a chip. Hosts with GPUs first reduce inside the host; then each GPU sends
its part to the other hosts.

With a sharded optimizer each device needs only its part of the summed gradients, but the compiler for TPUs
makes every form of such a reduce-scatter an all-reduce (docs/performance.md). The new weights follow in n - 1
parts, in the type in which the layers read them: for Lambert-large 27% more bytes.
"""

from __future__ import annotations

from launch.accelerators.machines import Accelerator

LINK_EFFICIENCY = 0.8  # share of the links' bandwidth that an all-reduce reaches; assumed
# Slices without closed rings send everything back through the links it came by.
OPEN_RING_FACTOR = 0.5


def sent_bytes(gradient_bytes: float, devices: int, *, weight_bytes: float = 0.0) -> float:
    """Return the bytes that each device of a ring sends.

    Args:
      gradient_bytes: gradients of one replica, in bytes.
      devices: n.
      weight_bytes: new weights of which the devices exchange parts, in bytes.
    """
    return (devices - 1) / devices * (2 * gradient_bytes + weight_bytes)


def allreduce_seconds(
    accelerator: Accelerator, gradient_bytes: float, *, weight_bytes: float = 0.0
) -> float:
    """Return the seconds until all devices have the sum, with no overlap with computation.

    Args:
      accelerator: machines of the job; a single chip needs no all-reduce.
      gradient_bytes: gradients of one replica, in bytes.
      weight_bytes: new weights of which the devices exchange parts, in bytes.
    """
    chip, chips = accelerator.chip, accelerator.chips
    if chips == 1:
        return 0.0
    link = chip.link_bytes_per_second * LINK_EFFICIENCY
    if chips < chip.torus_chips:
        link *= OPEN_RING_FACTOR
    if not chip.network_bytes_per_second:
        return sent_bytes(gradient_bytes, chips, weight_bytes=weight_bytes) / link
    per_host = min(chips, chip.chips_per_host)
    network = chip.network_bytes_per_second * LINK_EFFICIENCY
    inside = sent_bytes(gradient_bytes, per_host, weight_bytes=weight_bytes)
    between = sent_bytes(gradient_bytes, accelerator.hosts, weight_bytes=weight_bytes) / per_host
    return inside / link + between / network
