"""Environment variables of a machine of a job."""

import json

import pytest

from data.errors import UserError
from launch.config import LaunchConfig
from launch.worker import environment
from launch.worker.environment import tensorflow_variables


def test_variables_of_a_tpu(monkeypatch):
    monkeypatch.setattr(environment, "libtpu_path", lambda: "/x/libtpu.so")
    variables = tensorflow_variables(LaunchConfig(accelerator="v5e-8"), {})
    assert variables["TPU_ACCELERATOR_TYPE"] == "v5litepod-8"
    v4 = {"TPU_NAME": "local", "TPU_ACCELERATOR_TYPE": "v4-8"}
    assert tensorflow_variables(LaunchConfig(accelerator="v4-8"), {}) == v4
    assert tensorflow_variables(LaunchConfig(accelerator="v6e-8"), {}) == {
        "TPU_NAME": "local",
        "TPU_ACCELERATOR_TYPE": "v6e-8",
        "PJRT_DEVICE": "TPU",
        "NEXT_PLUGGABLE_DEVICE_USE_C_API": "true",
        "TF_PLUGGABLE_DEVICE_LIBRARY_PATH": "/x/libtpu.so",
    }
    monkeypatch.undo()
    with pytest.raises(UserError, match="libtpu is not installed"):
        tensorflow_variables(LaunchConfig(accelerator="v6e-8"), {})


def test_slurm_workers_become_tf_config():
    gpus = LaunchConfig(accelerator="nvidia-l4", nodes=2)
    variables = tensorflow_variables(
        gpus, {"LAMBERT_WORKERS": "a:2222,b:2222", "SLURM_PROCID": "1"}
    )
    assert json.loads(variables["TF_CONFIG"]) == {
        "cluster": {"worker": ["a:2222", "b:2222"]},
        "task": {"type": "worker", "index": 1},
    }
    assert tensorflow_variables(gpus, {"LAMBERT_WORKERS": "a:2222", "SLURM_PROCID": "0"}) == {}
    assert tensorflow_variables(gpus, {}) == {}  # Kubernetes and Vertex set TF_CONFIG themselves
    with pytest.raises(UserError, match="start this with srun"):
        tensorflow_variables(gpus, {"LAMBERT_WORKERS": "a:2222,b:2222"})
