"""Bytes that the host of the first replica sends while variables are created, saved and restored."""

import json
import subprocess
import sys

import pytest

from tests.support.paths import ROOT
from tests.support.slices import SentBytes, slice_hosts

MIB = 2**20
PROGRAM = """
import json, sys
import tensorflow as tf
from launch.config import ClusterConfig
from launch.strategy import build_strategy, remote_hosts
from pretrain.checkpoints.broadcast import created_once, restored_once

addresses, prefix = sys.argv[1:]
strategy = build_strategy(ClusterConfig(strategy="stand_in", tpu=addresses))
with created_once(strategy):
    # Made on the device, so that this process sends none of it; with both zeros and a NaN.
    large = tf.Variable(lambda: tf.range(4 * 2**20, dtype=tf.float32) - 5.0, name="large")
    special = tf.Variable([0.0, -0.0, float("nan")], name="special")
    step = tf.Variable(3, dtype=tf.int64, name="step")
variables = {"large": large, "special": special, "step": step}

def copies(variable):
    return [tf.convert_to_tensor(part).numpy() for part in variable.values]

def report(event):
    same = [all(c.tobytes() == copies(v)[0].tobytes() for c in copies(v))
            for v in (special, step)]
    sums = [float(tf.reduce_sum(tf.cast(part[:1000], tf.float64))) for part in large.values]
    print(json.dumps([event, same, sums, copies(special)[-1].tobytes().hex(), int(step.numpy())]), flush=True)
    sys.stdin.readline()

report("created")
checkpoint = tf.train.Checkpoint(**variables)
checkpoint.write(prefix)
for v in variables.values():
    for part in v.values:
        with tf.device(part.device):
            part.assign(tf.zeros_like(part))
report("cleared")
with restored_once(checkpoint):
    checkpoint.read(prefix).assert_consumed()
report("restored")
"""


@pytest.mark.slow
@pytest.mark.parametrize("cores", [1, 3])
def test_the_first_host_sends_each_variable_to_one_other_host(tmp_path, cores):
    with slice_hosts(hosts=3, cores=cores) as servers:
        relays = SentBytes(servers)
        command = [
            sys.executable,
            "-c",
            PROGRAM,
            ",".join(relays.addresses),
            str(tmp_path / "ckpt"),
        ]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        sent = []
        reports = []
        with subprocess.Popen(command, **pipes, cwd=ROOT, text=True) as program:
            for _ in range(3):
                reports.append(json.loads(program.stdout.readline()))
                # The program is on the machine of the first host.
                sent.append(relays.of(servers[0].pid) + relays.of(program.pid))
                program.stdin.write("\n")
                program.stdin.flush()
    first = sum(range(-5, 995))
    created, cleared, restored = reports
    special = "00000000000000800000c07f"
    assert created == ["created", [True, True], [first] * 3 * cores, special, 3]
    assert cleared[2] == [0] * 3 * cores
    assert restored == ["restored", *created[1:]]
    assert sent[0] < 1.5 * 16 * MIB
    assert sent[2] - sent[1] < 1.5 * 16 * MIB
