"""The agent of a host: it runs the host's TensorFlow server as the hub orders, and reports to the hub."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Protocol

from data.errors import UserError
from launch.slice.identity import Identity
from launch.slice.job_files import HubRecord
from launch.slice.membership import Membership
from launch.slice.protocol import Connection, ConnectionLost, HostState, Orders, parse, prove_to_hub
from launch.slice.settings import Times


class ServerLike(Protocol):
    """The part of `processes.Server` that the agent uses."""

    state: HostState

    def start(self, attempt: str) -> None:
        """Start a server in place of the old one."""

    def stop(self) -> None:
        """End the server."""


class Agent:
    """The agent of a host; `run` is its life."""

    def __init__(
        self,
        membership: Membership,
        identity: Identity,
        *,
        instance: str,
        server: ServerLike,
        read_hub: Callable[[], HubRecord | None],
        notice: Callable[[], str],
        trouble: Callable[[], str],
        times: Times,
        say: Callable[[str], None],
    ):
        """Take the host and what it reports.

        Args:
          membership: place of this host.
          identity: what this host runs.
          instance: name of this agent, which no other has.
          server: the host's TensorFlow server.
          read_hub: returns the newest record of the hub.
          notice: returns the preemption notice of this machine; "" for none.
          trouble: returns what else is wrong with this machine, such as a full disk; "" for nothing.
          times: intervals and longest waits.
          say: prints a line.
        """
        self._membership, self._identity, self._instance = membership, identity, instance
        self._server, self._read_hub = server, read_hub
        self._notice, self._trouble = notice, trouble
        self._times, self._say = times, say
        self._told = self._hub = ""
        self.is_stopped = threading.Event()

    def run(self) -> tuple[int, str]:
        """Serve the hub until it orders the end; return the exit code and the reason.

        Raises:
          UserError: the hub refuses this host, or does not answer for `Times.hub` seconds.
        """
        contact, refusal, refused_at = time.monotonic(), "", 0.0
        try:
            while not self.is_stopped.is_set():
                problem = ""
                try:
                    record = self._read_hub()
                    if record and record.end is not None and record.instance == self._hub:
                        return record.end, record.reason
                    # A hub that ended or was elsewhere is that of the slice before this one.
                    if (
                        record
                        and record.end is None
                        and record.address == self._membership.addresses[0]
                    ):
                        contact, refusal = self._serve(record), ""
                        continue
                    problem = "it has not reported to the job's directory"
                except _Ended as ended:
                    return ended.code, ended.reason
                except _Refused as refused:
                    now = time.monotonic()
                    refused_at = refused_at if refusal else now
                    contact, refusal = now, str(refused)
                    # The hub itself needs some time to notice that the host that it knows is gone.
                    if not refused.retry or now - refused_at > 3 * self._times.lost:
                        raise UserError(refusal) from None
                except ConnectionLost as error:
                    contact = error.contact if isinstance(error, _Lost) else contact
                    problem = str(error)
                except OSError as error:
                    problem = error.strerror or str(error)
                self._wait_for_hub(contact, problem)
        finally:
            self._server.stop()
        return 0, ""

    def _wait_for_hub(self, contact: float, problem: str) -> None:
        silence = time.monotonic() - contact
        name = self._membership.describe(0)
        if problem and problem != self._told and silence > 2 * self._times.beat:
            self._say(f"waiting for the hub on {name}: {problem}")
            self._told = problem
        if silence > self._times.lost:
            self._server.stop()  # its coordinator is gone, or must not find it again
        if silence > self._times.hub:
            raise UserError(
                f"the hub on {name} has not answered for {self._times.hub:g} s ({problem}): see the log of"
                " host 0"
            )
        self.is_stopped.wait(self._times.beat)

    def _serve(self, record: HubRecord) -> float:
        """Follow the orders of a hub until the connection breaks; return the time of its last answer."""
        timeout = self._times.lost
        connection = Connection(
            socket.create_connection((record.address, record.port), timeout), timeout
        )
        contact = time.monotonic()
        try:
            prove_to_hub(connection, record.token)
            connection.send(
                {
                    "host": self._membership.index,
                    "instance": self._instance,
                    "identity": dict(self._identity),
                }
            )
            answer = connection.receive()
            if refused := str(answer.get("refused")):
                raise _Refused(refused, retry=bool(answer.get("retry")))
            self._hub = record.instance
            if self._told:
                self._say("connected to the hub")
                self._told = ""
            while not self.is_stopped.is_set():
                contact = time.monotonic()
                self._beat(connection)
                self.is_stopped.wait(self._times.beat)
        except ConnectionLost as error:
            raise _Lost(str(error), contact) from None
        finally:
            connection.close()
        return contact

    def _beat(self, connection: Connection) -> None:
        state = vars(self._server.state) | {"notice": self._notice()}
        state["error"] = state["error"] or self._trouble()
        connection.send(state)
        orders: Orders = parse(connection.receive(), Orders)
        if orders.end is not None:
            raise _Ended(orders.end, orders.reason)
        if orders.server != state["server"]:
            if orders.server:
                self._server.start(orders.server)
            else:
                self._server.stop()


class _Ended(Exception):  # noqa: N818
    """The hub orders the end."""

    def __init__(self, code: int, reason: str):
        super().__init__(code, reason)
        self.code, self.reason = code, reason


class _Refused(Exception):  # noqa: N818
    """The hub refuses this host."""

    def __init__(self, reason: str, *, retry: bool):
        super().__init__(reason)
        self.retry = retry


class _Lost(ConnectionLost):
    """The hub is lost; `contact` is the time of its last answer."""

    def __init__(self, reason: str, contact: float):
        super().__init__(reason)
        self.contact = contact
