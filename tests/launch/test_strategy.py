import os
import subprocess
import sys

import pytest
import tensorflow as tf

from data.errors import UserError
from launch import strategy
from launch.config import ClusterConfig
from launch.strategy import build_strategy, device_kind
from tests.support.logged import messages
from tests.support.paths import ROOT

FLAG = "--xla_allow_excess_precision=false"


@pytest.fixture(autouse=True)
def no_xla_flags(monkeypatch):
    monkeypatch.delenv("XLA_FLAGS", raising=False)


@pytest.fixture
def with_gpu(monkeypatch, no_xla_flags):
    """Let the machine seem to have a GPU, without the device itself."""
    real = tf.config.list_physical_devices
    monkeypatch.setattr(
        tf.config,
        "list_physical_devices",
        lambda kind=None: ["GPU:0"] if kind == "GPU" else real(kind),
    )
    monkeypatch.setenv("XLA_FLAGS", "")  # so that the variable is restored


@pytest.mark.parametrize(
    ("details", "kind"),
    [
        ({"compute_capability": (9, 0)}, "hopper"),
        ({"compute_capability": (8, 0)}, "gpu"),
        ({"compute_capability": (7, 0)}, "pre-ampere"),
        ({}, "gpu"),
    ],
    ids=["h100", "a100", "v100", "unknown"],
)
def test_kinds_of_gpus_are_told_apart(with_gpu, monkeypatch, details, kind):
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda device: details)
    assert device_kind(tf.distribute.get_strategy()) == kind


@pytest.mark.parametrize(
    ("accelerator", "kind"),
    [("v3-8", "v3"), ("v5litepod-16", "v5e"), ("v6e-8", "v6e"), ("v2-8", "tpu"), (None, "tpu")],
)
def test_kinds_of_tpus_are_told_apart(monkeypatch, accelerator, kind):
    monkeypatch.delenv("TPU_ACCELERATOR_TYPE", raising=False)
    if accelerator:
        monkeypatch.setenv("TPU_ACCELERATOR_TYPE", accelerator)
    assert device_kind(object.__new__(tf.distribute.TPUStrategy)) == kind


def test_a_machine_without_gpus_computes_on_its_cpu():
    assert device_kind(tf.distribute.get_strategy()) == "cpu"


def test_several_devices_are_mirrored(capsys):
    assert build_strategy(ClusterConfig()).num_replicas_in_sync == 4
    assert messages(capsys.readouterr().err) == ["running on 4 x CPU (mirrored strategy)"]
    assert build_strategy(ClusterConfig(strategy="default")).num_replicas_in_sync == 1


def test_multi_worker_without_a_cluster_is_an_error(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UserError, match="needs the environment variable TF_CONFIG"):
        build_strategy(ClusterConfig(strategy="multi_worker"))


@pytest.mark.parametrize("text", ["{", "[]", '{"cluster": [1]}'])
def test_invalid_tf_config_is_an_error(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match="TF_CONFIG does not describe a cluster"):
        build_strategy(ClusterConfig())


def test_missing_tpu_is_an_error():
    with pytest.raises(UserError, match="no TPU could be reached"):
        build_strategy(ClusterConfig(strategy="tpu"))


def test_a_stand_in_needs_addresses():
    with pytest.raises(UserError, match=r"ClusterConfig\.tpu='local': .* needs the addresses of"):
        build_strategy(ClusterConfig(strategy="stand_in", tpu="local"))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", FLAG),
        ("--xla_dump_to=/tmp/hlo", f"--xla_dump_to=/tmp/hlo {FLAG}"),
        ("--xla_allow_excess_precision=true", "--xla_allow_excess_precision=true"),
        (f"{FLAG} --xla_dump_to=/tmp/hlo", f"{FLAG} --xla_dump_to=/tmp/hlo"),
    ],
)
def test_gpus_get_xla_flags_next_to_those_of_the_user(
    with_gpu, monkeypatch, capsys, given, expected
):
    monkeypatch.setenv("XLA_FLAGS", given)
    build_strategy(ClusterConfig(strategy="default"))
    assert os.environ["XLA_FLAGS"] == expected
    assert capsys.readouterr().err.endswith(f" (default strategy), XLA_FLAGS={expected}\n")


def test_gpus_are_made_deterministic_on_request(with_gpu, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "")
    build_strategy(ClusterConfig(strategy="default", deterministic=True))
    assert os.environ["XLA_FLAGS"].split() == [FLAG, "--xla_gpu_deterministic_ops=true"]


def test_a_file_of_xla_flags_is_left_alone(with_gpu, monkeypatch, capsys):
    monkeypatch.setenv("XLA_FLAGS", "flags.txt")
    build_strategy(ClusterConfig(strategy="default"))
    assert os.environ["XLA_FLAGS"] == "flags.txt"
    assert messages(capsys.readouterr().err)[0].startswith(
        f"XLA_FLAGS=flags.txt is a file with flags; add {FLAG} to it"
    )


def test_cpus_get_no_xla_flags(capsys):
    build_strategy(ClusterConfig(strategy="default"))
    assert "XLA_FLAGS" not in os.environ
    assert "XLA_FLAGS" not in capsys.readouterr().err


# Pretends that there is a GPU; then compiles a function with XLA.
_PROGRAM = """
import tensorflow as tf
from launch import strategy
from launch.config import ClusterConfig

tf.config.list_physical_devices = lambda kind: ["GPU:0"]
strategy.GPU_XLA_FLAGS = {flags}
strategy.build_strategy(ClusterConfig(strategy="default"))
print(tf.function(lambda x: x + 1, jit_compile=True)(1).numpy())
"""


@pytest.mark.parametrize(
    ("flags", "output"),
    [
        (strategy.GPU_XLA_FLAGS | strategy.DETERMINISTIC_XLA_FLAGS, "2"),
        ({"--xla_no_such_flag": "1"}, "Unknown flag in XLA_FLAGS: --xla_no_such_flag=1"),
    ],
    ids=["real", "unknown"],
)
def test_xla_reads_the_flags_after_they_are_set(flags, output):
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(flags=flags)],
        cwd=ROOT,
        env=dict(os.environ),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.stdout.splitlines()[-1].endswith(output)


COMPILED = """
import sys
from data.cli import logs
logs.start()
logs.set_verbosity(sys.argv[1])
from launch.config import ClusterConfig
from launch.strategy import build_strategy
build_strategy(ClusterConfig())
import tensorflow as tf
print(tf.function(lambda x: 2 * x, jit_compile=True, autograph=False)(tf.constant(3)).numpy())
"""


@pytest.mark.parametrize(("verbosity", "is_noisy"), [("info", False), ("debug", True)])
def test_xla_logs_nothing_unless_debugging(verbosity, is_noisy):
    command = [sys.executable, "-c", COMPILED, verbosity]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "6\n"
    assert ("Compiled cluster using XLA" in done.stderr) == is_noisy
    assert ("InitializeLog" in done.stderr) == is_noisy
    assert "INFO running on 1 x CPU" in done.stderr
