"""Slurm's batch script, run with small programs in place of Slurm's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from data.errors import UserError
from launch import slurm
from tests.support.jobs import GPUS, make_job


@pytest.fixture
def script(tmp_path) -> Path:
    job = make_job(bucket=str(tmp_path), data_dir="/d", queue="long", max_restarts=2, **GPUS)
    path = tmp_path / "job.sbatch"
    path.write_text(slurm.batch_script(job))
    return path


def test_options_of_sbatch(script, tmp_path):
    options = [line[8:] for line in script.read_text().splitlines() if "#SBATCH" in line]
    assert options == [
        "--job-name=large",
        "--nodes=2",
        "--ntasks-per-node=1",
        "--gpus-per-node=8",
        "--partition=long",
        "--signal=TERM@180",
        "--requeue",
        "--open-mode=append",
        f"--output={tmp_path}/large/slurm.log",
    ]


@pytest.mark.parametrize(
    ("code", "restarts", "expected"),
    [
        (0, 0, []),
        (2, 0, []),
        (42, 1, ["scontrol requeue 17"]),
        (143, 0, ["scontrol requeue 17"]),
        (42, 2, []),
    ],
)
def test_terminated_run_is_requeued(script, tmp_path, code, restarts, expected):
    record = tmp_path / "record"
    programs = {
        "scontrol": f'[ "$1" = show ] && printf "n1\\nn2\\n" || echo scontrol "$@" >> {record}',
        "srun": f'echo "$LAMBERT_WORKERS" "$@" > {tmp_path}/srun; exit {code}',
    }
    for name, body in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "SLURM_JOB_ID": "17",
        "SLURM_JOB_NODELIST": "n[1-2]",
        "SLURM_RESTART_COUNT": str(restarts),
    }
    assert subprocess.run(["bash", script], env=environment).returncode == code
    assert (record.read_text().splitlines() if record.exists() else []) == expected
    assert (tmp_path / "srun").read_text() == (
        f"n1:2222,n2:2222 {sys.executable} -m launch.node {tmp_path}/large\n"
    )


def test_bucket_must_be_on_a_shared_disk():
    with pytest.raises(UserError, match=r"LaunchConfig\.bucket='gs://b/jobs': must be a folder"):
        slurm.create(make_job(), "W")


@pytest.mark.parametrize("name", ["bucket", "data_dir"])
@pytest.mark.parametrize("path", ["shared", "~/shared"])
def test_paths_must_be_absolute(name, path):
    paths = dict(bucket="/shared", data_dir="/shared/d") | {name: path}
    with pytest.raises(UserError, match=rf"LaunchConfig\.{name}='{path}': .* below / on the disk"):
        slurm.create(make_job(**paths), "W")
