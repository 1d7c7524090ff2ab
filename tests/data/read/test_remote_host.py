"""Input of hosts that another process feeds, like those of a TPU slice."""

import json
import subprocess
import sys

import pytest

SERVER = """
import sys, tensorflow as tf
server = tf.distribute.Server(
    {"worker": ["localhost:0"]}, job_name="worker", task_index=0, start=True
)
print(server.target, flush=True)
sys.stdin.read()
"""
# In a separate process: one that is connected to other hosts cannot create the devices of the tests.
CLIENT = """
import json, sys
import tensorflow as tf
from data.config import InputConfig
from data.errors import UserError
from data.manifest import Manifest
from data.read.input_pipeline import choose_reader, require_on_hosts, training_batches
from data.read.split_reader import SplitReader

target, data_dir, empty_dir = sys.argv[1:]
tf.config.experimental_connect_to_host(target.removeprefix("grpc://"), job_name="worker")
hosts = {"here": "/job:localhost/replica:0/task:0/device:CPU:0",
         "there": "/job:worker/replica:0/task:0/device:CPU:0"}
manifest = Manifest.load(data_dir)
require_on_hosts(data_dir, manifest, list(hosts.values()))
try:
    require_on_hosts(empty_dir, manifest, [hosts["there"]])
except UserError as error:
    print(json.dumps(str(error)))
context = tf.distribute.InputContext(
    num_input_pipelines=2, input_pipeline_id=1, num_replicas_in_sync=4
)
for masks in ("materialised", "online"):
    reader = SplitReader(data_dir, manifest, "train", masks)
    batches = training_batches(
        reader, choose_reader(InputConfig(masks=masks), [target]), seed=3, global_batch_size=8, start_step=5
    )
    by_host = {}
    for name, host in hosts.items():
        with tf.device(host):
            by_host[name] = next(iter(batches(context)))
    print(json.dumps([
        by_host["there"]["input_word_ids"].device,
        all((value.numpy() == by_host["there"][k].numpy()).all()
            for k, value in by_host["here"].items()),
    ]))
"""


@pytest.mark.slow
def test_another_host_reads_the_same_batches(small_build, tmp_path):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "-c", SERVER], **pipes, text=True) as server:
        target = server.stdout.readline().strip()
        command = [sys.executable, "-c", CLIENT, target, str(small_build), str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True)
        server.stdin.close()
    there = "/job:worker/replica:0/task:0/device:CPU:0"
    error, *batches = map(json.loads, done.stdout.splitlines())
    assert error.startswith(f"{there} cannot find this build at {tmp_path}/manifest.json")
    assert batches == [[there, True], [there, True]]
