"""Ports and times of a slice; the environment overrides them for rehearsals and tests."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from data.errors import UserError

# Google's port of TensorFlow servers, which TensorFlow assumes where an address has none.
SERVER_PORT = 8470
HUB_PORT = 8480
SERVER_PORT_VARIABLE = "LAMBERT_SLICE_SERVER_PORT"
HUB_PORT_VARIABLE = "LAMBERT_SLICE_HUB_PORT"
# "beat=0.5,lost=5": fields of `Times`.
TIMES_VARIABLE = "LAMBERT_SLICE_SECONDS"
# CPU devices of each server of a rehearsal.
CPUS_VARIABLE = "LAMBERT_SLICE_CPUS"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Times:
    """Times of the agents and of the hub, in seconds.

    Attributes:
      beat: between two beats of an agent, which are also its reactions to orders.
      lost: silence after which a host, or the hub, counts as lost.
      join: longest wait for hosts that are missing.
      server: longest wait for the TensorFlow servers of an attempt.
      save: time for the run to save after a preemption notice.
      end: time for agents to take the order to end.
      hub: time after which an agent without a hub gives up.
      wait: before the attempt after a first failure; doubled with each failure.
      report: between two reports to the job's directory.
    """

    beat: float = 2.0
    lost: float = 20.0
    join: float = 1800.0
    server: float = 300.0
    save: float = 180.0
    end: float = 30.0
    hub: float = 2100.0
    wait: float = 10.0
    report: float = 30.0

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Times:
        """Return the times, with those that TIMES_VARIABLE overrides.

        Raises:
          UserError: the variable is malformed.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        values = {}
        for item in filter(None, environ.get(TIMES_VARIABLE, "").split(",")):
            name, _, text = item.partition("=")
            try:
                value = float(text)
            except ValueError:
                value = math.nan
            if name not in names or not 0 < value < math.inf:
                raise UserError(
                    f"{TIMES_VARIABLE}: {item!r} must be NAME=SECONDS with a positive number and one of the"
                    f" names {', '.join(names)}"
                )
            values[name] = value
        return cls(**values)


def port(variable: str, default: int, environ: Mapping[str, str]) -> int:
    """Return a port; the environment variable may have another one, or 0 for any that is free.

    Raises:
      UserError: the variable is not a port.
    """
    text = environ.get(variable, str(default))
    if not text.isdecimal() or int(text) > 65535:
        raise UserError(f"{variable}={text}: must be a port, 0 to 65535")
    return int(text)
