"""Processes of a host of a slice: its TensorFlow server, and the lock against a second job."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence

from data.errors import UserError
from launch.slice.protocol import HostState

READY = "ready "  # first word of the line with which launch.slice.server says its endpoint
_LONGEST_ERROR = 300


class MachineLock:
    """Lock of a machine that its processes inherit, so that it is held as long as one of them lives."""

    def __init__(self, name: str):
        """Take the lock, or raise a UserError if another process holds it."""
        # A name without a file: nothing remains when the machine stops.
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.bind(f"\0lambert-slice-{name}")
        except OSError as error:
            self._socket.close()
            if error.errno != errno.EADDRINUSE:
                raise
            raise UserError(
                f"another job, or another start of this one, runs on this machine ({name}): wait for its end,"
                " or stop it"
            ) from None

    def fileno(self) -> int:
        """Return the descriptor that a process has to inherit to keep the lock."""
        return self._socket.fileno()

    def release(self) -> None:
        """Release the lock, unless another process has inherited it."""
        self._socket.close()


class Server:
    """The TensorFlow server of a host, as a process; `state` has what becomes of it."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        port: int,
        say: Callable[[str], None],
        environment: Mapping[str, str] | None = None,
    ):
        """Take the command of launch.slice.server, its port, or 0, and a function that prints a line."""
        self._command, self._port, self._say, self._environment = command, port, say, environment
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self.state = HostState()

    def start(self, attempt: str) -> None:
        """Start a new server in place of the old one."""
        self.stop()
        if taken := taken_port(self._port):
            self.state = HostState(server=attempt, state="failed", error=taken, is_final=True)
            return
        try:
            self._say(f"server of attempt {attempt}")
            process = subprocess.Popen(
                self._command,
                env={**os.environ, **(self._environment or {})},
                stdin=subprocess.PIPE,  # the server ends when it is closed
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
        except OSError as error:  # a full disk, too many processes
            text = f"its TensorFlow server could not start: {error.strerror or error}"
            self.state = HostState(server=attempt, state="failed", error=text, is_final=True)
            return
        self.state = HostState(server=attempt, state="starting")
        self._process = process
        threading.Thread(target=self._read, args=(process, attempt), daemon=True).start()

    def stop(self) -> None:
        """Kill the server."""
        process, self._process = self._process, None
        with self._lock:
            self.state = HostState()
        if process:
            process.kill()
            process.wait()
            with contextlib.suppress(OSError):
                if process.stdin:
                    process.stdin.close()

    def _read(self, process: subprocess.Popen[str], attempt: str) -> None:
        """Print what a server prints, and follow its state."""
        last = ""
        for line in process.stdout or ():
            if line.startswith(READY):
                self._set(
                    process, HostState(server=attempt, state="ready", endpoint=line.split()[1])
                )
            elif line.strip():
                last = line.strip()
            # A disk that is full must not stop the server.
            with contextlib.suppress(OSError):
                self._say(f"server: {line.rstrip()}")
        code = process.wait()
        ended = f"with exit code {code}" if code >= 0 else f"by signal {-code}"
        text = f"its TensorFlow server ended {ended}{f': {last[:_LONGEST_ERROR]}' if last else ''}"
        # Exit code 2: what only the user can fix.
        self._set(
            process, HostState(server=attempt, state="failed", error=text, is_final=code == 2)
        )

    def _set(self, process: subprocess.Popen[str], state: HostState) -> None:
        with self._lock:
            if self._process is process:
                self.state = state


def taken_port(port: int) -> str:
    """Return an error if a program listens on a port of this machine; "" if it is free, or 0.

    TensorFlow's servers share a port with others without an error, so they cannot tell.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return f"port {port}: {error.strerror}"
            return (
                f"port {port} is taken by another program: stop it (`sudo ss -ltnp 'sport = :{port}'` names"
                " it; system images run `tpu-runtime`, which tpu_startup.sh stops)"
            )
    return ""
