"""Run the TensorFlow server of a host of a TPU slice, until its standard input ends.

    python -m launch.slice.server --host 1 --addresses 10.0.0.10,10.0.0.11 --accelerator v5litepod-16

It prints "ready 10.0.0.11:8470". The coordinator (pretrain.run on host 0) then places datasets and the steps
of this host's chips on it. Whoever reaches the port can run any program here: see docs/security.md.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from data.cli.main import run_main
from data.cli.parser import CommandParser
from data.errors import UserError
from launch.accelerators.tpu_types import google_type
from launch.slice.membership import Membership
from launch.slice.processes import READY
from launch.slice.settings import SERVER_PORT
from launch.worker.environment import LOAD_LIBTPU_VARIABLE, libtpu_path

_JOB = "tpu_worker"
# Ports among the hosts, as Google's own program has them (tensorflow/python/tools/grpc_tpu_worker.py).
_MESH_PORT = 8476


def main(argv: Sequence[str]) -> None:
    """Parse the command line and run the server."""
    parser = CommandParser(
        prog="python -m launch.slice.server",
        description=__doc__,
    )
    parser.add_argument("--host", type=int, required=True, help="number of this host")
    parser.add_argument("--addresses", required=True, help="addresses of all hosts, A,B,C")
    parser.add_argument("--accelerator", default="", help="TPU type; empty with --cpus")
    parser.add_argument("--port", type=int, default=SERVER_PORT, help="port of the server")
    parser.add_argument(
        "--cpus", type=int, help="rehearse with so many CPU devices (default: the TPU)"
    )
    args = parser.parse_args(argv)
    addresses = tuple(args.addresses.split(","))
    if not 0 <= args.host < len(addresses):
        raise UserError(f"--host {args.host}: must be 0 to {len(addresses) - 1}")
    membership = Membership(index=args.host, addresses=addresses)
    # A machine that shuts down sends it to all processes, but the run needs the servers to save.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # Before TensorFlow is imported, which loads libtpu.
    if args.cpus is None:
        os.environ.pop(LOAD_LIBTPU_VARIABLE, None)  # "0" in the agent, which leaves the chips to it
        os.environ.update(tpu_variables(membership, args.accelerator, libtpu_path()))
    else:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    _serve(membership.address, args.port, args.cpus)


def tpu_variables(membership: Membership, accelerator: str, libtpu: str) -> dict[str, str]:
    """Return the environment variables of TensorFlow and libtpu on a host of a slice.

    Args:
      membership: place of this host in the slice.
      accelerator: TPU type such as "v5e-16".
      libtpu: path of libtpu.so.
    """
    index, first = str(membership.index), membership.addresses[0]
    return {
        "TPU_WORKER_ID": index,
        "CLOUD_TPU_TASK_ID": index,
        "TPU_WORKER_HOSTNAMES": ",".join(membership.addresses),
        "TPU_HOSTNAME_OVERRIDE": membership.address,
        "TPU_MESH_CONTROLLER_ADDRESS": f"{first}:{_MESH_PORT}",
        "TPU_MESH_CONTROLLER_PORT": str(_MESH_PORT),
        "TPU_ACCELERATOR_TYPE": google_type(accelerator),
        "PJRT_DEVICE": "TPU",
        "NEXT_PLUGGABLE_DEVICE_USE_C_API": "true",
        "TF_PLUGGABLE_DEVICE_LIBRARY_PATH": libtpu,
        "TPU_LIBRARY_PATH": libtpu,
    }


def _serve(address: str, port: int, cpus: int | None) -> None:
    import tensorflow as tf
    from tensorflow.core.protobuf import config_pb2, tensorflow_server_pb2

    definition = tensorflow_server_pb2.ServerDef(protocol="grpc", job_name=_JOB, task_index=0)
    job = definition.cluster.job.add()
    job.name = _JOB
    # The server is its whole cluster until the coordinator connects and tells it the other hosts.
    job.tasks[0] = f"localhost:{port}"
    config = config_pb2.ConfigProto()
    if cpus is not None:
        config.device_count["CPU"] = cpus
    server = tf.distribute.Server(definition, config=config, start=True)
    print(f"{READY}{address}:{server.target.rpartition(':')[2]}", flush=True)
    sys.stdin.read()
    os._exit(0)  # without the server's shutdown, which waits for the coordinator


if __name__ == "__main__":
    run_main(main)
