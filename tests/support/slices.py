"""Servers that play the hosts of a TPU slice, and programs that drive them.

A process that is connected to other hosts cannot have the devices of the tests, so programs run in
processes of their own.
"""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.support.paths import ROOT

_SERVER = """
import sys
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, tensorflow_server_pb2

definition = tensorflow_server_pb2.ServerDef(protocol="grpc", job_name="tpu_worker", task_index=0)
job = definition.cluster.job.add()
job.name, job.tasks[0] = "tpu_worker", "localhost:0"
config = config_pb2.ConfigProto()
config.device_count["CPU"] = int(sys.argv[1])
server = tf.distribute.Server(definition, config=config, start=True)
print(server.target, flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def slice_hosts(hosts: int = 2, cores: int = 2) -> Iterator[list[subprocess.Popen]]:
    """Start servers, whose address is their attribute `address`; end them with the context."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    command = [sys.executable, "-c", _SERVER, str(cores)]
    with contextlib.ExitStack() as stack:
        servers = []
        for _ in range(hosts):
            server = subprocess.Popen(command, **pipes, text=True)
            stack.enter_context(server)
            stack.callback(server.kill)
            servers.append(server)
        for server in servers:
            server.address = server.stdout.readline().strip()
        yield servers


def slice_params(servers: list[subprocess.Popen]) -> list[str]:
    """Return the settings of a run on these hosts."""
    addresses = ",".join(server.address for server in servers)
    return ["ClusterConfig.strategy = 'stand_in'", f"ClusterConfig.tpu = '{addresses}'"]


def drive(program: str, *arguments: str, timeout: float = 1200) -> subprocess.CompletedProcess:
    """Run a program in a process without the devices of the tests."""
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def pretrain(*arguments: str, timeout: float = 1200) -> subprocess.CompletedProcess:
    """Run pretrain.run in a process of its own."""
    command = [sys.executable, "-m", "pretrain.run", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout)


class SentBytes:
    """Relays between the hosts of a slice that count what each process sends to any of them.

    Attributes:
      addresses: addresses of the relays, in the order of the servers.
    """

    def __init__(self, servers: list[subprocess.Popen]):
        self._counts: dict[int, int] = {}
        self.addresses = [f"grpc://localhost:{self._relay(server)}" for server in servers]

    def of(self, pid: int) -> int:
        """Return the bytes that a process has sent, requests and answers, without those to itself."""
        return self._counts.get(pid, 0)

    def _relay(self, server: subprocess.Popen) -> int:
        listener = socket.create_server(("localhost", 0))
        port = int(server.address.rpartition(":")[2])

        def accept() -> None:
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("localhost", port))
                caller = _owner(near.getpeername()[1])
                for source, target, pid in ((near, far, caller), (far, near, server.pid)):
                    count = pid if caller != server.pid else -1
                    threading.Thread(
                        target=self._copy, args=[source, target, count], daemon=True
                    ).start()

        threading.Thread(target=accept, daemon=True).start()
        return listener.getsockname()[1]

    def _copy(self, source: socket.socket, target: socket.socket, pid: int) -> None:
        with contextlib.suppress(OSError):
            while content := source.recv(2**20):
                self._counts[pid] = self._counts.get(pid, 0) + len(content)
                target.sendall(content)
            target.shutdown(socket.SHUT_WR)


def _owner(port: int) -> int:
    """Return the process that has a connection from a local port."""
    for line in "".join(
        Path(f"/proc/net/{name}").read_text() for name in ("tcp", "tcp6")
    ).splitlines():
        fields = line.split()
        if fields[1].endswith(f":{port:04X}") and fields[9] != "0":
            wanted = f"socket:[{fields[9]}]"
            for entry in Path("/proc").glob("[0-9]*/fd/*"):
                with contextlib.suppress(OSError):
                    if os.readlink(entry) == wanted:
                        return int(entry.parts[2])
    return -1
