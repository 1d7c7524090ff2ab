"""Runs on the hosts of a slice, played by servers with CPUs in other processes."""

import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from pretrain.checkpoints.catalog import committed
from pretrain.train.metrics_log import CLOCK_METRICS, read_metrics
from tests.support.paths import ROOT
from tests.support.pretraining import arguments
from tests.support.slices import drive, pretrain, slice_hosts, slice_params

LOCAL = "ClusterConfig.strategy = 'mirrored'"
# Not in this process: later tests of it could not have collectives of other shapes.
ON_FOUR_DEVICES = """
import sys
import tensorflow as tf

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 4
)
from pretrain.run import main

main(sys.argv[1:])
"""


def variables(model_dir) -> dict[str, np.ndarray]:
    """Return every variable of the newest checkpoint."""
    reader = tf.train.load_checkpoint(committed(str(model_dir))[-1].prefix)
    names = [n for n in reader.get_variable_to_shape_map() if n.endswith("VARIABLE_VALUE")]
    return {name: reader.get_tensor(name) for name in names}


def metrics(model_dir) -> list[dict]:
    """Return the rows of metrics that do not depend on the clock, without the ratios of each variable."""
    ignored = {*CLOCK_METRICS, "trust_ratios"}
    return [{k: v for k, v in row.items() if k not in ignored} for row in read_metrics(model_dir)]


@pytest.mark.slow
@pytest.mark.parametrize("shard", [False, True])
def test_a_run_on_two_hosts_equals_one_on_four_local_devices(small_build, tmp_path, shard):
    here, there = tmp_path / "here", tmp_path / "there"
    local = drive(ON_FOUR_DEVICES, *arguments(small_build, here, LOCAL))
    assert local.returncode == 0, local.stderr
    with slice_hosts() as servers:
        settings = [*slice_params(servers), f"OptimizerConfig.shard = {shard}"]
        done = pretrain(*arguments(small_build, there, *settings))
    assert done.returncode == 0, done.stderr
    assert "running on 4 x CPU (stand_in strategy)" in done.stderr
    expected, actual = variables(here), variables(there)
    assert expected.keys() == actual.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(actual[name], value, rtol=1e-6, atol=1e-6, err_msg=name)
    rows = metrics(there)
    assert [row["step"] for row in rows] == [2, 4, 4, 6, 6]
    for row, other in zip(rows, metrics(here), strict=True):
        assert row == pytest.approx(other, rel=1e-5)


@pytest.mark.slow
def test_errors_of_a_slice_are_one_line(small_build, tmp_path):
    with slice_hosts() as servers:
        settings = [*slice_params(servers), "TrainConfig.train_steps = 1000000"]
        refused = pretrain(
            *arguments(small_build, tmp_path / "m", *settings, "InputConfig.reader = 'python'")
        )
        assert refused.returncode == 2
        (line,) = own_lines(refused.stderr)
        assert line.startswith(
            "error: InputConfig.reader='python' reads in this process only, and the 2"
        )

        command = [sys.executable, "-m", "pretrain.run"]
        command += arguments(small_build, tmp_path / "m", *settings)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as run:
            for line in run.stderr:
                if "INFO step 6/" in line:
                    servers[-1].kill()
                    break
            _, errors = run.communicate(timeout=600)
    assert run.returncode == 1
    (line,) = own_lines(errors)
    assert line.startswith(
        "error: lost the connection to another host, or to the storage: /job:worker/replica:0/task:1: "
    )
    assert line.endswith("; start all hosts again to resume from the newest checkpoint")


def own_lines(text: str) -> list[str]:
    """Return the lines that are neither messages nor from TensorFlow's runtime."""
    others = r"WARNING: All log|[IWE]\d{4} |\d{4}-\S+Z (INFO|WARNING) |  "
    return [line for line in text.splitlines() if not re.match(others, line)]
