"""What a machine of a job does: data to its disk, the preflight, then the run until it is done.

    python -m launch.node JOB_DIR

JOB_DIR is the folder that a target such as launch.tpu has filled. Exit codes are those of pretrain.run.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from data.errors import UserError, run_main
from launch.accelerators.machines import of_job
from launch.accelerators.tpu_types import google_type, tpu_of_type
from launch.config import LaunchConfig
from launch.jobs.job import GIN_FILE, Job
from launch.supervise import supervise
from launch.worker.stage import remote_errors, stage

# All workers of a cluster, "host:port,host:port"; set by the script of launch.slurm.
WORKERS_VARIABLE = "LAMBERT_WORKERS"
# What there is in place of LaunchConfig.accelerator: a rehearsal has "cpu".
ACCELERATOR_VARIABLE = "LAMBERT_ACCELERATOR"
_SECONDS_BEFORE_RESTART = 10.0


def main(argv: Sequence[str]) -> None:
    """Parses the command line, and ends with the exit code of the run."""
    parser = argparse.ArgumentParser(
        prog="python -m launch.node",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("job_dir", help="as LaunchConfig.bucket and .name say")
    job_dir = parser.parse_args(argv).job_dir
    with remote_errors(job_dir):
        job = Job.load(job_dir)
    accelerator = os.environ.get(ACCELERATOR_VARIABLE, job.config.accelerator)
    job = dataclasses.replace(job, config=dataclasses.replace(job.config, accelerator=accelerator))
    os.environ.update(environment(job.config, os.environ))
    data_dir = job.config.data_dir
    if job.config.scratch_dir:
        data_dir = stage(data_dir, job.config.scratch_dir)
    with tempfile.TemporaryDirectory(prefix="lambert-") as folder:
        gin_file = Path(folder, GIN_FILE)
        gin_file.write_text(job.run_gin, encoding="utf-8")
        _preflight(job, data_dir, str(gin_file))
        command = run_command(job, data_dir=data_dir, gin_file=str(gin_file))
        code = supervise(command, crashes=job.config.crashes, wait_seconds=_SECONDS_BEFORE_RESTART)
    sys.exit(code)


def run_command(job: Job, *, data_dir: str, gin_file: str) -> list[str]:
    """The run on this machine."""
    arguments = [
        *("--strict_gin", "--gin_file", gin_file),
        *("--data_dir", data_dir, "--model_dir", job.model_dir),
    ]
    if job.config.processes > 1:
        workers = ["--workers", str(job.config.processes)]
        return [sys.executable, "-m", "launch.local", *workers, "--", *arguments]
    return [sys.executable, "-m", "pretrain.run", *arguments]


def environment(config: LaunchConfig, environ: Mapping[str, str]) -> dict[str, str]:
    """Variables that TensorFlow needs on this machine, beside those in `environ`.

    Raises:
      UserError: Slurm has started this without what the script of launch.slurm sets.
    """
    if tpu := tpu_of_type(config.accelerator):
        found = {"TPU_NAME": "local", "TPU_ACCELERATOR_TYPE": google_type(config.accelerator)}
        if tpu.has_pjrt:
            found |= {
                "PJRT_DEVICE": "TPU",
                "NEXT_PLUGGABLE_DEVICE_USE_C_API": "true",
                "TF_PLUGGABLE_DEVICE_LIBRARY_PATH": _libtpu(),
            }
        return found
    if WORKERS_VARIABLE not in environ:
        return {}
    workers = environ[WORKERS_VARIABLE].split(",")
    if len(workers) == 1:
        return {}
    if "SLURM_PROCID" not in environ:
        raise UserError(f"{WORKERS_VARIABLE} is set, but SLURM_PROCID is not: start this with srun")
    task = {"type": "worker", "index": int(environ["SLURM_PROCID"])}
    return {"TF_CONFIG": json.dumps({"cluster": {"worker": workers}, "task": task})}


def _libtpu() -> str:
    spec = importlib.util.find_spec("libtpu")
    if spec is None:
        raise UserError(
            "libtpu is not installed, which a TPU needs; install with `launch/install.sh PYTHON tpu`"
        )
    return str(Path(spec.submodule_search_locations[0], "libtpu.so"))


def _preflight(job: Job, data_dir: str, gin_file: str) -> None:
    """In a process of its own: a TPU belongs to one process at a time."""
    config = job.config
    gpus = ["--gpus", str(config.gpus_per_node)] if config.is_gpu else []
    tpu = ["--tpu"] if tpu_of_type(config.accelerator) else []
    places = ["--data_dir", data_dir, "--sizes_only", "--model_dir", job.model_dir]
    machines = of_job(config)
    run = (
        ["--strict_gin", "--gin_file", gin_file, "--accelerator", machines.name] if machines else []
    )
    done = subprocess.run([sys.executable, "-m", "launch.preflight", *gpus, *tpu, *places, *run])
    if done.returncode:
        sys.exit(done.returncode if done.returncode > 0 else 128 - done.returncode)


if __name__ == "__main__":
    run_main(main)
