"""Runs of pretrain.run on stand-ins for the hosts of a slice, watched from outside."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.run.timed import STEP_LINE

_ADDRESS = "127.0.0.1"
_TICKS = os.sysconf("SC_CLK_TCK")
# Two lines of `ss -tinp`: addresses and owner of a connection, then its counts.
_CONNECTION = re.compile(
    r':(?P<port>\d+)\s+\S+:(?P<peer>\d+)\s+users:\(\("[^"]*",pid=(?P<pid>\d+).*\n'
    r"\s.*?\bbytes_sent:(?P<bytes>\d+)"
)
_ERROR_LINES = 15


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mark:
    """State of a run when it prints the line of a step.

    Attributes:
      seconds: since the start of the command.
      cpu_seconds: CPU time of the coordinator's process.
      sent_bytes: bytes from the coordinator and from host 0's server to other hosts.
    """

    seconds: float
    cpu_seconds: float
    sent_bytes: int


@contextlib.contextmanager
def servers(hosts: int, cores: int) -> Iterator[list[tuple[str, int]]]:
    """Start the TensorFlow server of each host; yield address and process, and end them with the context."""
    command = [sys.executable, "-m", "launch.slice.server", "--cpus", str(cores), "--port", "0"]
    addresses = ",".join([_ADDRESS] * hosts)
    with contextlib.ExitStack() as stack:
        processes = []
        for host in range(hosts):
            process = subprocess.Popen(
                [*command, "--host", str(host), "--addresses", addresses],
                stdin=subprocess.PIPE,  # the server ends when it is closed
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            processes.append(process)
        started = []
        for process in processes:
            line = next((line for line in process.stdout or () if line.startswith("ready ")), "")
            if not line:
                sys.exit("bench: a TensorFlow server did not start")
            started.append((line.split()[1], process.pid))
        yield started


def watched_run(
    arguments: Sequence[str], model_dir: Path, started: Sequence[tuple[str, int]]
) -> dict[int, Mark]:
    """Run pretrain.run on started servers, and return its state at the line of each logged step."""
    tpu = ",".join(f"grpc://{address}" for address, _ in started)
    command = [
        *(sys.executable, "-m", "pretrain.run", *arguments, "--model_dir", str(model_dir)),
        *("--gin_param", "ClusterConfig.strategy = 'stand_in'"),
        *("--gin_param", f"ClusterConfig.tpu = '{tpu}'"),
    ]
    marks, lines, beginning = {}, [], time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout or ():
            if match := STEP_LINE.match(line):
                marks[int(match[1].replace(",", ""))] = Mark(
                    seconds=time.perf_counter() - beginning,
                    cpu_seconds=cpu_seconds(process.pid),
                    sent_bytes=sent_bytes(connections(), {process.pid, started[0][1]}),
                )
            lines.append(line)
    if process.returncode:
        sys.exit(f"bench: the run failed:\n{''.join(lines[-_ERROR_LINES:])}")
    return marks


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process, user and system, with that of all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def connections() -> str:
    """Return the TCP connections of this machine as `ss` (iproute2) lists them."""
    return subprocess.run(["ss", "-tinp"], stdout=subprocess.PIPE, text=True, check=True).stdout


def sent_bytes(listing: str, pids: set[int]) -> int:
    """Return the bytes that these processes have sent to others through connections that are open.

    Args:
      listing: what `connections` returned.
      pids: processes of one host; what they send to each other does not count.
    """
    found = [
        {name: int(value) for name, value in match.groupdict().items()}
        for match in _CONNECTION.finditer(listing)
    ]
    owners = {each["port"]: each["pid"] for each in found if each["pid"] in pids}
    own = [each for each in found if each["pid"] in pids and each["peer"] not in owners]
    return sum(each["bytes"] for each in own)
