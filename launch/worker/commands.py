"""Commands that a machine of a job runs: the preflight and the run."""

from __future__ import annotations

import sys

from launch.accelerators.machines import of_job
from launch.accelerators.tpu_types import tpu_of_type
from launch.jobs.job import Job


def preflight_command(
    job: Job, *, data_dir: str, gin_file: str, is_slice_host: bool = False
) -> list[str]:
    """Return the command of the preflight.

    Args:
      job: job of this machine.
      data_dir: build on this machine.
      gin_file: file with all settings of the run.
      is_slice_host: whether the machine is one of several hosts of a TPU slice, whose devices exist only for
        all of them together.
    """
    config = job.config
    machines = of_job(config)
    tpu_flag = "--slice_host" if is_slice_host else "--tpu"
    return [
        *(sys.executable, "-m", "launch.preflight"),
        *(["--gpus", str(config.gpus_per_node)] if config.is_gpu else []),
        *([tpu_flag] if tpu_of_type(config.accelerator) else []),
        *("--data_dir", data_dir, "--sizes_only", "--model_dir", job.model_dir),
        *(_gin_arguments(gin_file) if machines else []),
        *(["--accelerator", machines.name] if machines else []),
    ]


def run_command(job: Job, *, data_dir: str, gin_file: str) -> list[str]:
    """Return the command of the run; arguments as for `preflight_command`."""
    arguments = [
        *_gin_arguments(gin_file),
        *("--data_dir", data_dir, "--model_dir", job.model_dir),
    ]
    if job.config.processes > 1:
        workers = ["--workers", str(job.config.processes)]
        return [sys.executable, "-m", "launch.local", *workers, "--", *arguments]
    return [sys.executable, "-m", "pretrain.run", *arguments]


def _gin_arguments(gin_file: str) -> list[str]:
    return ["--strict_gin", "--gin_file", gin_file]
