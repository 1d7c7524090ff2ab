"""Slices of processes on loopback, for tests of launch.slice."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.support.paths import ROOT

_SECONDS = 30
_COUNTER = itertools.count()
IDENTITY = {
    "hosts": "4",
    "package": "0.1.0 sha256 aaaa",
    "python": "3.11",
    "tensorflow": "2.20.0",
    "libtpu": "0.0.24",
    "build": "bbbb",
    "settings": "cccc",
}
# Short, but long enough for a machine that is busy.
TIMES = dict(
    beat=0.1, lost=2.0, join=15.0, server=10.0, save=10.0, end=3.0, hub=15.0, wait=0.1, report=0.2
)


class Slice:
    """Hosts as processes with small programs in place of TensorFlow; see slice_host.py.

    Attributes:
      folder: directory of the job and of the model.
      hosts: process of each host that was started.
    """

    def __init__(self, folder: Path, num_hosts: int = 4, **settings):
        """Take a folder, and settings of all hosts that differ from the usual ones."""
        self.folder, self.settings = folder, settings
        self.hosts: dict[int, subprocess.Popen] = {}
        (folder / "hold").touch()
        # Every slice has its own part of the loopback network.
        worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
        network = f"127.{100 + worker}.{next(_COUNTER) % 250 + 1}"
        self.addresses = [f"{network}.{10 + host}" for host in range(num_hosts)]

    def start(self, *hosts: int, stdout=None, **settings) -> None:
        """Start hosts, by default all of them."""
        for host in hosts or range(len(self.addresses)):
            usual = dict(port=0, crashes=3, is_silent=False, crash=False, identity={}, times={})
            values = usual | self.settings | settings
            values["identity"] = IDENTITY | values["identity"]
            values["times"] = TIMES | values["times"]
            values |= dict(host=host, addresses=self.addresses, folder=str(self.folder))
            log = stdout or open(self.folder / f"log-{host}", "a")  # noqa: SIM115
            self.hosts[host] = subprocess.Popen(
                [sys.executable, ROOT / "tests/support/slice_host.py", json.dumps(values)],
                stdout=log,
                stderr=open(self.folder / f"error-{host}", "a"),  # noqa: SIM115
                stdin=subprocess.DEVNULL,
            )

    def codes(self) -> dict[int, int]:
        """Let the run end, wait for the end of all hosts, and return their exit codes."""
        (self.folder / "hold").unlink(missing_ok=True)
        return {host: process.wait(timeout=_SECONDS) for host, process in self.hosts.items()}

    def wait(self, host: int) -> int:
        """Wait for the end of a host, and return its exit code."""
        return self.hosts[host].wait(timeout=_SECONDS)

    def error(self, host: int) -> str:
        """Return what a host has printed on standard error."""
        return (self.folder / f"error-{host}").read_text().strip()

    def log(self, host: int = 0) -> str:
        """Return what a host has printed."""
        return (self.folder / f"log-{host}").read_text()

    def starts(self) -> list[str]:
        """Return the addresses of the servers of every start of the run."""
        path = self.folder / "starts"
        return path.read_text().splitlines() if path.exists() else []

    def step(self) -> int:
        """Return the step of the newest checkpoint."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            return int((self.folder / "saved").read_text())
        return 0

    def wait_for_step(self, step: int) -> None:
        """Wait until a checkpoint of this step, or a later one, exists."""
        wait_until(lambda: self.step() >= step)

    def kill_server(self, host: int) -> None:
        """Kill the TensorFlow server of a host."""
        os.kill(int((self.folder / f"server-{host}").read_text()), signal.SIGKILL)

    def close(self) -> None:
        """Kill what is left."""
        for process in self.hosts.values():
            process.kill()
            process.wait()


def wait_until(condition) -> None:
    """Wait until a condition holds; fail after a long time."""
    deadline = time.monotonic() + _SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
