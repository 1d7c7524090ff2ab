"""Environment variables of a machine of a job."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path

from data.errors import UserError
from launch.accelerators.tpu_types import google_type, tpu_of_type
from launch.config import LaunchConfig

# All workers of a cluster, "host:port,host:port"; set by the script of launch.slurm.
WORKERS_VARIABLE = "LAMBERT_WORKERS"
# Overrides LaunchConfig.accelerator: a rehearsal sets it to "cpu".
ACCELERATOR_VARIABLE = "LAMBERT_ACCELERATOR"
# "0" keeps TensorFlow from loading libtpu, of which only one process of a machine may take the chips.
LOAD_LIBTPU_VARIABLE = "TPU_LOAD_LIBRARY"


def tensorflow_variables(config: LaunchConfig, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that TensorFlow needs on this machine, in addition to `environ`.

    Raises:
      UserError: libtpu is not installed, or Slurm started this without srun.
    """
    if tpu := tpu_of_type(config.accelerator):
        variables = {"TPU_NAME": "local", "TPU_ACCELERATOR_TYPE": google_type(config.accelerator)}
        if tpu.has_pjrt:
            variables |= {
                "PJRT_DEVICE": "TPU",
                "NEXT_PLUGGABLE_DEVICE_USE_C_API": "true",
                "TF_PLUGGABLE_DEVICE_LIBRARY_PATH": libtpu_path(),
            }
        return variables
    # Kubernetes and Vertex set TF_CONFIG themselves.
    workers = environ.get(WORKERS_VARIABLE, "").split(",")
    if len(workers) == 1:
        return {}
    if "SLURM_PROCID" not in environ:
        raise UserError(f"{WORKERS_VARIABLE} is set, but SLURM_PROCID is not: start this with srun")
    task = {"type": "worker", "index": int(environ["SLURM_PROCID"])}
    return {"TF_CONFIG": json.dumps({"cluster": {"worker": workers}, "task": task})}


def libtpu_path() -> str:
    """Return the path of libtpu.so, or raise a UserError if libtpu is not installed."""
    spec = importlib.util.find_spec("libtpu")
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            "libtpu is not installed, which a TPU needs; install with `launch/install.sh PYTHON tpu`"
        )
    return str(Path(spec.submodule_search_locations[0], "libtpu.so"))
