"""Servers that play the hosts of a TPU slice, and programs that drive them.

A process that is connected to other hosts cannot have the devices of the tests, so programs run in
processes of their own.
"""

import contextlib
import subprocess
import sys
from collections.abc import Iterator

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


def drive(program: str, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess:
    """Run a program in a process without the devices of the tests."""
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def pretrain(*arguments: str, timeout: float = 300) -> subprocess.CompletedProcess:
    """Run pretrain.run in a process of its own."""
    command = [sys.executable, "-m", "pretrain.run", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout)
