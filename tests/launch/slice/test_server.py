"""The TensorFlow server of a host."""

import os
import subprocess
import sys

import pytest

from data.errors import UserError
from launch.slice import server
from launch.slice.membership import Membership
from tests.support.paths import ROOT


def test_variables_of_a_host():
    membership = Membership(index=1, addresses=("10.0.0.1", "10.0.0.2"))
    assert server.tpu_variables(membership, "v5e-16", "/x/libtpu.so") == {
        "TPU_WORKER_ID": "1",
        "CLOUD_TPU_TASK_ID": "1",
        "TPU_WORKER_HOSTNAMES": "10.0.0.1,10.0.0.2",
        "TPU_HOSTNAME_OVERRIDE": "10.0.0.2",
        "TPU_MESH_CONTROLLER_ADDRESS": "10.0.0.1:8476",
        "TPU_MESH_CONTROLLER_PORT": "8476",
        "TPU_ACCELERATOR_TYPE": "v5litepod-16",
        "PJRT_DEVICE": "TPU",
        "NEXT_PLUGGABLE_DEVICE_USE_C_API": "true",
        "TF_PLUGGABLE_DEVICE_LIBRARY_PATH": "/x/libtpu.so",
        "TPU_LIBRARY_PATH": "/x/libtpu.so",
    }


def test_variables_are_set_before_tensorflow_is_imported():
    """libtpu reads them when TensorFlow loads it."""
    program = "import launch.slice.server, sys; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT).returncode == 0


def test_host_must_be_one_of_the_slice():
    with pytest.raises(UserError, match="--host 2: must be 0 to 1"):
        server.main(["--host", "2", "--addresses", "a,b"])


def test_server_runs_operations_until_its_input_ends():
    command = [
        sys.executable,
        "-m",
        "launch.slice.server",
        "--host",
        "0",
        "--addresses",
        "localhost",
    ]
    process = subprocess.Popen(
        [*command, "--port", "0", "--cpus", "2"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    ready, endpoint = process.stdout.readline().split()
    assert ready == "ready"
    process.terminate()  # as a machine that shuts down does, while the run still saves
    program = f"""
import tensorflow as tf
tf.config.experimental_connect_to_host("{endpoint}", job_name="tpu_worker")
with tf.device("/job:tpu_worker/replica:0/task:0/device:CPU:1"):
    print((tf.constant(2) * 3).numpy())
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "6\n"
    process.communicate("", timeout=30)
    assert process.returncode == 0
