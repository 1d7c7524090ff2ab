"""The hub of a slice as a program: it listens to agents, and runs and stops the coordinator."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from data.errors import StorageError, UserError
from launch.config import RESTART_CODE
from launch.slice.hub import Hub, Phase
from launch.slice.identity import Identity
from launch.slice.job_files import HUB_STATE, HubRecord, JobFiles
from launch.slice.membership import Membership
from launch.slice.processes import MachineLock
from launch.slice.protocol import Connection, ConnectionLost, HostState, parse, prove_to_agent
from launch.slice.settings import Times

_TICK_SECONDS = 0.1
_HANDSHAKE_SECONDS = 10.0
# Connections that have not proved themselves must not use up the hub's memory.
_MORE_CONNECTIONS = 64
_RESOLVE_TRIES, _RESOLVE_SECONDS = 30, 2.0

# Takes the addresses of all TensorFlow servers, and returns a program and its environment variables.
Program = Callable[[Sequence[str]], tuple[Sequence[str], Mapping[str, str]]]


class Coordinator:
    """The hub, its sockets and the run.

    Attributes:
      record: where agents find the hub.
    """

    def __init__(
        self,
        membership: Membership,
        identity: Identity,
        *,
        job: JobFiles,
        programs: Sequence[Program],
        record: HubRecord,
        saved: Callable[[], str],
        lock: MachineLock,
        times: Times,
        crashes: int,
        say: Callable[[str], None],
    ):
        """Listen for agents.

        Args:
          membership: place of host 0.
          identity: what all hosts must have in common.
          job: files of the job.
          programs: programs that run one after the other, each on new servers.
          record: address, token and port of the hub; port 0 takes one that is free.
          saved: returns a text that changes with every checkpoint.
          lock: lock of this machine, which the run inherits.
          times: longest waits.
          crashes: consecutive failures after which another attempt follows.
          say: prints a line.

        Raises:
          UserError: the port is taken.
        """
        self._membership, self._job, self._programs = membership, job, programs
        self._saved, self._run_lock, self._times, self._say = saved, lock, times, say
        self._lock = threading.Lock()
        self._hub = Hub(
            membership,
            identity,
            instance=record.instance,
            times=times,
            crashes=crashes,
            num_programs=len(programs),
            now=time.monotonic(),
            say=say,
        )
        self._listener = _listen(record.address, record.port)
        port = self._listener.getsockname()[1]
        self.record = HubRecord(
            instance=record.instance, address=record.address, port=port, token=record.token
        )
        self._free = threading.Semaphore(len(membership.addresses) + _MORE_CONNECTIONS)
        self._is_over, self._num_reports = threading.Event(), 0
        self._run: subprocess.Popen[bytes] | None = None

    def run(self) -> tuple[int, str]:
        """Run the job to its end; return its exit code and the reason."""
        self._job.write_hub(self.record)
        for work in (self._accept, self._report):
            threading.Thread(target=work, daemon=True).start()
        try:
            while True:
                with self._lock:
                    now = time.monotonic()
                    self._hub.tick(now)
                    phase, is_over = self._hub.phase, self._hub.is_over(now)
                    attempt, endpoints = self._hub.attempt, []
                    if phase is Phase.RUNNING:
                        endpoints = self._hub.endpoints()
                self._drive_run(phase, attempt, endpoints)
                if is_over:
                    break
                time.sleep(_TICK_SECONDS)
        finally:
            self._is_over.set()
            self._kill_run()
            self._listener.close()
        self._write_report(is_last=True)
        return self._hub.code or 0, self._hub.reason

    # The run.

    def _drive_run(self, phase: Phase, attempt: str, endpoints: Sequence[str]) -> None:
        """Start, stop or end the run as the phase of the hub asks."""
        if self._run and (code := self._run.poll()) is not None:
            self._run = None
            with self._lock:
                self._hub.run_ended(code if code >= 0 else 128 - code, time.monotonic())
        elif phase is Phase.RUNNING:
            if not self._run:
                self._run, self._run_attempt = self._start_run(endpoints), attempt
                self._is_told = False
            elif self._run_attempt != attempt:
                self._kill_run()
        elif phase is Phase.STOPPING:
            if not self._run:  # the notice came before the start
                with self._lock:
                    self._hub.run_ended(RESTART_CODE, time.monotonic())
            elif not self._is_told:
                self._run.send_signal(signal.SIGTERM)
                self._is_told = True
        else:
            self._kill_run()

    def _start_run(self, endpoints: Sequence[str]) -> subprocess.Popen[bytes]:
        command, variables = self._programs[self._hub.program](endpoints)
        return subprocess.Popen(
            command,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=[self._run_lock.fileno()],
        )

    def _kill_run(self) -> None:
        if self._run:
            self._say("the run is killed")
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._run.pid, signal.SIGKILL)
            self._run.wait()
            self._run = None

    # Agents.

    def _accept(self) -> None:
        while not self._is_over.is_set():
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            if self._free.acquire(blocking=False):
                threading.Thread(target=self._serve, args=(accepted,), daemon=True).start()
            else:
                accepted.close()

    def _serve(self, accepted: socket.socket) -> None:
        """Serve the connection of an agent to its end."""
        host, instance = -1, ""
        connection = Connection(accepted, _HANDSHAKE_SECONDS)
        try:
            prove_to_agent(connection, self.record.token)
            host, instance, identity = _introduction(connection.receive())
            with self._lock:
                refusal = self._hub.join(host, instance, identity, time.monotonic())
            reason, retry = refusal or ("", True)
            connection.send({"refused": reason, "retry": retry})
            if refusal:
                return
            connection.set_timeout(self._times.lost)
            while not self._is_over.is_set():
                state = parse(connection.receive(), HostState)
                with self._lock:
                    orders = self._hub.beat(host, instance, state, time.monotonic())
                if orders is None:
                    break
                connection.send(vars(orders))
        except ConnectionLost:
            pass
        finally:
            connection.close()
            self._free.release()
            with self._lock:
                self._hub.leave(host, instance)

    # The bucket, which may be slow: nothing waits for it.

    def _report(self) -> None:
        while not self._is_over.wait(self._times.report):
            with contextlib.suppress(StorageError):
                self._write_report()
                self._look_for_failed_hosts()
                other = self._job.read_hub()
                if other and other.instance != self.record.instance:
                    reason = f"the hub on {other.address} has taken over this job"
                    with self._lock:
                        self._hub.stop(2, reason, time.monotonic())

    def _write_report(self, *, is_last: bool = False) -> None:
        with contextlib.suppress(OSError):
            marker = self._saved()
            with self._lock:
                self._hub.note_saved(marker)
        with self._lock:
            lines = self._hub.lines(time.monotonic())
            code, reason = self._hub.code, self._hub.reason
        self._num_reports += 1  # a hub that lives never writes the same twice
        now = time.strftime("%FT%TZ", time.gmtime())
        lines.append(f"hub: report {self._num_reports} at {now}\n")
        try:
            self._job.write_state(HUB_STATE, "\n".join(lines))
            if is_last:
                self._job.write_hub(dataclasses.replace(self.record, end=code, reason=reason))
        except OSError as error:
            self._say(f"the state of the slice cannot be written: {error.strerror or error}")

    def _look_for_failed_hosts(self) -> None:
        """End the job if a host has failed before it had an agent."""
        if self._hub.phase is not Phase.JOINING:
            return
        for host in range(1, len(self._membership.addresses)):
            text = self._job.read_state(str(host)).strip()
            _, _, ended = text.partition(": ended ")
            if ended and not ended.startswith("0"):
                with self._lock:
                    self._hub.note_failed_host(
                        host, f"ended with exit code {ended}", time.monotonic()
                    )


def _introduction(hello: Mapping[str, Any]) -> tuple[int, str, Identity]:
    """Return number, instance and identity of the host whose agent has connected."""
    host, instance, identity = (hello.get(name) for name in ("host", "instance", "identity"))
    if not isinstance(host, int) or not isinstance(instance, str) or not isinstance(identity, dict):
        raise ConnectionLost("an agent does not say who it is")
    return host, instance, identity


def _listen(address: str, port: int) -> socket.socket:
    """Return a socket that listens on the internal address only."""
    _wait_for_name(address)
    try:
        return socket.create_server((address, port), backlog=512)
    except OSError as error:
        raise UserError(
            f"the hub cannot listen on {address}:{port} ({error.strerror or error}): another job runs on"
            f" this machine, or a program has taken the port (`sudo ss -ltnp 'sport = :{port}'` names it)"
        ) from None


def _wait_for_name(address: str) -> None:
    """Wait until the name of this host has an address: that of a new pod takes some seconds to appear."""
    for tries_left in reversed(range(_RESOLVE_TRIES)):
        try:
            socket.getaddrinfo(address, None)
            return
        except socket.gaierror as error:
            if not tries_left:
                raise UserError(
                    f"{address}, host 0 of the slice, has no address: {error}"
                ) from None
            time.sleep(_RESOLVE_SECONDS)
