"""Processes of an engine: on loopback only, with logs in files, all ended at the end."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from data.errors import UserError

HOST = "127.0.0.1"


class Processes:
    """Programs in process groups of their own; a context that ends them with all that they started."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._running: dict[str, subprocess.Popen] = {}

    def __enter__(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        # So that SIGTERM, too, ends the tests through their contexts.
        self._previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
        return self

    def __exit__(self, *unused: object) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in self._running.values():
                # The process may be gone while others of its group are not.
                try:
                    os.killpg(process.pid, number)
                except ProcessLookupError:
                    continue
            if number == signal.SIGTERM:
                time.sleep(2)
        for process in self._running.values():
            process.wait(timeout=30)
        signal.signal(signal.SIGTERM, self._previous)

    def start(
        self, name: str, command: Sequence[object], environment: Mapping[str, str] | None = None
    ) -> None:
        """Start a program; its output goes to NAME.log."""
        if shutil.which(str(command[0])) is None:
            raise UserError(f"{command[0]} is missing; install it to run the engines")
        with self.log(name).open("wb") as log:
            self._running[name] = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self.folder,
                env={**os.environ, **(environment or {})},
            )

    def log(self, name: str) -> Path:
        """Return the file with the output of a process."""
        return self.folder / f"{name}.log"

    def kill(self, name: str) -> None:
        """Kill one process with SIGKILL, but nothing that it started."""
        self._running[name].kill()
        self._running[name].wait()

    def wait_for(self, name: str, ready: Callable[[], object], seconds: float = 120) -> None:
        """Wait until a condition holds; a UserError if the process ends first, or it takes too long."""
        deadline = time.monotonic() + seconds
        while not ready():
            code = self._running[name].poll()
            if code is not None or time.monotonic() > deadline:
                what = "is not ready" if code is None else f"ended with {code}"
                lines = self.log(name).read_text(errors="replace").strip().splitlines()
                raise UserError(f"{name} {what}: {' | '.join(lines[-3:])}")
            time.sleep(0.5)

    def wait_for_port(self, name: str, port: int) -> None:
        """Wait until a process listens on a port."""
        self.wait_for(name, lambda: _accepts(port))


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


def free_ports(number: int) -> list[int]:
    """Return ports that no program uses."""
    sockets = [socket.socket() for _ in range(number)]
    try:
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def java(jars: Sequence[Path], main: str, *arguments: object, options: Sequence[str] = ()) -> list:
    """Return the command of a Java program.

    Args:
      jars: class path.
      main: class with the main method.
      *arguments: arguments of the program.
      options: options of the Java machine.
    """
    packages = (
        *("lang", "lang.invoke", "lang.reflect", "io", "net", "nio", "text", "time", "util"),
        *("util.concurrent", "util.concurrent.atomic", "util.concurrent.locks"),
    )
    opened = [f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in packages]
    opened += [f"--add-opens=java.base/sun.{name}=ALL-UNNAMED" for name in ("nio.ch", "nio.cs")]
    opened += [f"--add-opens=java.base/sun.{name}=ALL-UNNAMED" for name in ("util.calendar",)]
    opened += ["--add-exports=java.base/sun.net.util=ALL-UNNAMED"]
    opened += ["--add-opens=java.base/sun.security.action=ALL-UNNAMED"]
    path = ":".join(map(str, jars))
    return ["java", *opened, *options, "-cp", path, main, *arguments]
