"""Run a job on one of its machines: copy the data, run the preflight, then the run until it is done.

    python -m launch.node JOB_DIR

JOB_DIR is the directory that a target such as launch.tpu has filled. Exit codes are those of pretrain.run.
On a TPU slice of several hosts, launch.slice runs the job on all of them together.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from data.cli.main import run_main
from data.cli.parser import CommandParser
from launch.accelerators.tpu_types import hosts_of
from launch.jobs.job import GIN_FILE, Job
from launch.slice.host import run_host
from launch.supervise import supervise
from launch.worker.commands import preflight_command, run_command
from launch.worker.environment import (
    ACCELERATOR_VARIABLE,
    LOAD_LIBTPU_VARIABLE,
    tensorflow_variables,
)
from launch.worker.stage import stage, storage_errors_as_user_errors

_SECONDS_BEFORE_RESTART = 10.0


def main(argv: Sequence[str]) -> None:
    """Parse the command line, and exit with the exit code of the run."""
    parser = CommandParser(
        prog="python -m launch.node",
        description=__doc__,
    )
    parser.add_argument("job_dir", help="directory of the job: LaunchConfig.bucket/name")
    job_dir = parser.parse_args(argv).job_dir
    # Reading a bucket imports TensorFlow, which must not take the chips away from the run.
    os.environ[LOAD_LIBTPU_VARIABLE] = "0"
    job, accelerator = _load_job(job_dir)
    if (num_hosts := hosts_of(accelerator)) > 1:
        sys.exit(run_host(job, job_dir, num_hosts, accelerator))
    os.environ.update(tensorflow_variables(job.config, os.environ))
    data_dir = job.config.data_dir
    if job.config.scratch_dir:
        data_dir = stage(data_dir, job.config.scratch_dir)
    os.environ.pop(LOAD_LIBTPU_VARIABLE)
    with tempfile.TemporaryDirectory(prefix="lambert-") as folder:
        gin_file = Path(folder, GIN_FILE)
        gin_file.write_text(job.run_gin, encoding="utf-8")
        paths = {"data_dir": data_dir, "gin_file": str(gin_file)}
        # In its own process, because only one process at a time can use a TPU.
        code = subprocess.run(
            preflight_command(job, data_dir=data_dir, gin_file=str(gin_file))
        ).returncode
        if code:
            sys.exit(code if code > 0 else 128 - code)
        code = supervise(
            run_command(job, **paths),
            crashes=job.config.crashes,
            wait_seconds=_SECONDS_BEFORE_RESTART,
        )
    sys.exit(code)


def _load_job(job_dir: str) -> tuple[Job, str]:
    """Return the job as this machine runs it, and the accelerator of its settings."""
    with storage_errors_as_user_errors(job_dir):
        job = Job.load(job_dir)
    accelerator = os.environ.get(ACCELERATOR_VARIABLE, job.config.accelerator)
    config = dataclasses.replace(job.config, accelerator=accelerator)
    return dataclasses.replace(job, config=config), job.config.accelerator


if __name__ == "__main__":
    run_main(main)
