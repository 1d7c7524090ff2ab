"""Run a job on a Slurm cluster: one task on each machine, together a multi-worker cluster.

    python -m launch.slurm create --gin_file gin/lambert_large.gin --gin_file job.gin

create copies the job to its directory on the shared disk (LaunchConfig.bucket) and submits it; status, logs
and delete act on it. Machines use the Python environment of this command.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence

from data import files
from data.cli.main import run_main
from data.errors import UserError
from launch.jobs.commands import run_target
from launch.jobs.job import ROOT, Action, Job, upload
from launch.worker.environment import WORKERS_VARIABLE

_SCRIPT_FILE = "job.sbatch"
_PORT = 2222
# From Slurm's notice (time limit, preemption) to the end; long enough for a loop of steps and a save.
_NOTICE_SECONDS = 180


def create(job: Job, work_dir: str) -> Action:
    """Return the action that copies the job to the shared disk and submits it."""
    config = job.config
    config.require("bucket", "data_dir")
    if files.is_remote(config.bucket):
        raise UserError(
            f"LaunchConfig.bucket={config.bucket!r}: must be a folder on a disk that all machines share"
        )
    config.require_reachable("bucket", "data_dir", "model_dir", mounted="/")
    uploaded = upload(job, work_dir, {_SCRIPT_FILE: batch_script(job).encode()})
    return Action(
        files=uploaded.files,
        commands=[*uploaded.commands, ("sbatch", f"{config.job_dir}/{_SCRIPT_FILE}")],
        exists_command=(*_queue(job), "--noheader"),
    )


def batch_script(job: Job) -> str:
    """Return the script for sbatch."""
    config = job.config
    options = [
        f"--job-name={config.name}",
        f"--nodes={config.nodes}",
        "--ntasks-per-node=1",
        *([f"--gpus-per-node={config.gpus_per_node}"] if config.is_gpu else []),
        *([f"--partition={config.queue}"] if config.queue else []),
        f"--signal=TERM@{_NOTICE_SECONDS}",
        "--requeue",
        "--open-mode=append",
        f"--output={config.job_dir}/slurm.log",
    ]
    node = shlex.join([sys.executable, "-m", "launch.node", config.job_dir])
    lines = [
        "#!/usr/bin/env bash",
        *(f"#SBATCH {option}" for option in options),
        "set -uo pipefail",
        f"cd {shlex.quote(str(ROOT))} || exit 2",
        f'{WORKERS_VARIABLE}=$(scontrol show hostnames "$SLURM_JOB_NODELIST"'
        f" | sed 's/$/:{_PORT}/' | paste -sd, -)",
        f"export {WORKERS_VARIABLE}",
        f"srun {node}",
        "code=$?",
        "# 42: state saved after SIGTERM. 143: SIGTERM before there was anything to save.",
        "if [[ $code -eq 42 || $code -eq 143 ]]; then",
        f"  if [[ ${{SLURM_RESTART_COUNT:-0}} -lt {config.max_restarts} ]]; then",
        '    scontrol requeue "$SLURM_JOB_ID"',
        "  fi",
        "fi",
        'exit "$code"',
    ]
    return "\n".join(lines) + "\n"


def status(job: Job, _: str) -> Action:
    """Return the action that prints the job in the queue."""
    return Action(commands=[_queue(job)])


def logs(job: Job, _: str) -> Action:
    """Return the action that prints the log."""
    job.config.require("bucket")
    return Action(commands=[("cat", f"{job.config.job_dir}/slurm.log")])


def delete(job: Job, _: str) -> Action:
    """Return the action that cancels the job."""
    return Action(commands=[("scancel", "--me", f"--name={job.config.name}")])


def _queue(job: Job) -> tuple[str, ...]:
    return ("squeue", "--me", f"--name={job.config.name}")


VERBS = dict(create=create, status=status, logs=logs, delete=delete)


def main(argv: Sequence[str]) -> None:
    """Parse the command line and run the verb."""
    run_target("python -m launch.slurm", __doc__, VERBS, argv)


if __name__ == "__main__":
    run_main(main)
