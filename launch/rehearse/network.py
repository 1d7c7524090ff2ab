"""Networks of rehearsed slices: a network namespace for each host, or loopback where there are none.

Loopback hides faults: all hosts share "localhost" and their ports. Namespaces need root and iproute2.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Sequence

# Set to "1" for processes of a rehearsal that has namespaces.
_VARIABLE = "FAKE_GCLOUD_NAMESPACES"
_BRIDGE = "lambert-slice"
_PREFIX = "lambert-slice-"


def address(host: int) -> str:
    """Return the internal address of a host."""
    return f"{'10.77.0' if has_namespaces() else '127.0.77'}.{10 + host}"


def has_namespaces() -> bool:
    """Return whether this is a process of a rehearsal with namespaces."""
    return os.environ.get(_VARIABLE) == "1"


def inside(host: int, command: Sequence[str]) -> list[str]:
    """Return a command as one that runs on a host, with a file system of its own to mount on."""
    return ["ip", "netns", "exec", f"{_PREFIX}{host}", *command] if has_namespaces() else [*command]


@contextlib.contextmanager
def namespaces(num_hosts: int) -> Iterator[dict[str, str]]:
    """Create the namespaces, remove them with the context, and yield variables for its processes.

    Without root or iproute2 it creates nothing.
    """
    try:
        created = os.geteuid() == 0 and _create(num_hosts)
        yield {_VARIABLE: "1" if created else "0"}
    finally:
        _remove(num_hosts)


def _create(num_hosts: int) -> bool:
    _remove(num_hosts)
    commands = [f"link add {_BRIDGE} type bridge", f"link set {_BRIDGE} up"]
    for host in range(num_hosts):
        name, own, peer = f"{_PREFIX}{host}", f"lambert-v{host}", "eth0"
        commands += [
            f"netns add {name}",
            f"link add {own} type veth peer name {peer} netns {name}",
            f"link set {own} master {_BRIDGE} up",
            f"-n {name} link set lo up",
            f"-n {name} addr add 10.77.0.{10 + host}/24 dev {peer}",
            f"-n {name} link set {peer} up",
        ]
    return all(_ip(command) for command in commands)


def _remove(num_hosts: int) -> None:
    for host in range(num_hosts):
        # By itself, the link of a deleted namespace remains for a while, and its name with it.
        _ip(f"link del lambert-v{host}")
        _ip(f"netns del {_PREFIX}{host}")
    _ip(f"link del {_BRIDGE}")


def _ip(arguments: str) -> bool:
    try:
        return subprocess.run(["ip", *arguments.split()], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False
