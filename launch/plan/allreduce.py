"""Exchange of gradients between devices: bytes and seconds of an all-reduce.

A ring of n moves 2 (n - 1) / n times the bytes of the gradient out of each member: n - 1 parts that are
added up on their way round, and n - 1 parts of the sum (Patarasuk and Yuan, "Bandwidth optimal
all-reduce algorithms for clusters of workstations", 2009). A torus does the same in all directions at
once, so all links of a chip count. Hosts with GPUs do it inside first, then each GPU takes its part to
the other hosts.

A sharded optimizer exchanges as much: gradients in the first half, new weights in the second.
"""

from __future__ import annotations

from launch.accelerators.machines import Accelerator

LINK_SHARE = 0.8  # of the bandwidth of links, that an exchange reaches; assumed
# Slices without closed rings send everything back the way it came.
OPEN_SHARE = 0.5


def sent_bytes(gradient_bytes: float, members: int) -> float:
    """Bytes that leave each member of a ring."""
    return 2 * (members - 1) / members * gradient_bytes


def all_reduce_seconds(accelerator: Accelerator, gradient_bytes: float) -> float:
    """Seconds until all devices have the sum; nothing else is done meanwhile.

    Args:
      accelerator: the machines; one chip exchanges nothing.
      gradient_bytes: of one replica.
    """
    chip, chips = accelerator.chip, accelerator.chips
    if chips == 1:
        return 0.0
    link = chip.link_bytes_per_second * LINK_SHARE
    if chips < chip.torus_chips:
        link *= OPEN_SHARE
    if not chip.network_bytes_per_second:
        return sent_bytes(gradient_bytes, chips) / link
    inside = min(chips, chip.chips_per_host)
    network = chip.network_bytes_per_second * LINK_SHARE
    return (
        sent_bytes(gradient_bytes, inside) / link
        + sent_bytes(gradient_bytes / inside, accelerator.hosts) / network
    )
