"""Which host of a slice this machine is, and where the others are."""

from __future__ import annotations

import dataclasses
import http.client
import os
import urllib.request
from collections.abc import Callable, Mapping

from data.errors import UserError

# On Kubernetes the manifest sets these; TPU VMs ask their metadata server.
INDEX_VARIABLE = "LAMBERT_SLICE_INDEX"
HOSTS_VARIABLE = "LAMBERT_SLICE_HOSTS"
METADATA_VARIABLE = "LAMBERT_METADATA_URL"
_METADATA_URL = "http://metadata.google.internal/computeMetadata/v1/instance"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Membership:
    """Place of a machine in its slice.

    Attributes:
      index: number of this host; host 0 runs the coordinator.
      addresses: internal address of every host, by number.
    """

    index: int
    addresses: tuple[str, ...]

    @property
    def address(self) -> str:
        """Internal address of this host."""
        return self.addresses[self.index]

    def describe(self, host: int) -> str:
        """Return a host as messages name it: "host 2 (10.0.0.12)"."""
        return f"host {host} ({self.addresses[host]})"


def find_membership(
    accelerator: str, num_hosts: int, environ: Mapping[str, str] = os.environ
) -> Membership:
    """Return the place of this machine in the slice, as Kubernetes or the metadata server tell it.

    Args:
      accelerator: LaunchConfig.accelerator, for messages.
      num_hosts: number of hosts of such a slice.
      environ: environment variables.

    Raises:
      UserError: nobody tells it, or the number of hosts is not that of the accelerator.
    """
    if HOSTS_VARIABLE in environ:
        index_text, hosts = environ.get(INDEX_VARIABLE, ""), environ[HOSTS_VARIABLE].split(",")
    else:
        ask = _metadata(environ.get(METADATA_VARIABLE, _METADATA_URL))
        index_text = ask("attributes/agent-worker-number")
        # "unknown:unknown:10.0.0.10,unknown:unknown:10.0.0.11"
        endpoints = ask("attributes/worker-network-endpoints").split(",")
        hosts = [endpoint.rpartition(":")[2].strip() for endpoint in endpoints]
    if len(hosts) != num_hosts:
        raise UserError(
            f"LaunchConfig.accelerator={accelerator!r} has {num_hosts} hosts, but this slice has"
            f" {len(hosts)} ({', '.join(hosts[:8])}); request the size that the job names"
        )
    if not index_text.isdecimal() or int(index_text) >= num_hosts:
        raise UserError(
            f"this machine says that it is host {index_text!r} of a slice of {num_hosts} hosts; its number"
            f" comes from {INDEX_VARIABLE} or from the metadata server"
        )
    return Membership(index=int(index_text), addresses=tuple(hosts))


def _metadata(url: str) -> Callable[[str], str]:
    """Return a function that asks the metadata server for an entry."""
    # Without proxies: the metadata server is on the machine's own network.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(path: str) -> str:
        request = urllib.request.Request(f"{url}/{path}", headers={"Metadata-Flavor": "Google"})
        try:
            with opener.open(request, timeout=10) as answer:
                return answer.read(2**20).decode().strip()
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise UserError(
                f"{url}/{path}: {error}; the metadata server of a TPU VM tells the hosts of a slice, on other"
                f" machines set {INDEX_VARIABLE} and {HOSTS_VARIABLE}"
            ) from None

    return ask
