"""Jobs on other machines for the tests of their targets."""

import shlex
from pathlib import Path

from data import files
from launch.config import LaunchConfig
from launch.jobs.job import Job

SETTINGS = dict(
    name="large",
    project="p",
    zone="us-west4-a",
    bucket="gs://b/jobs",
    data_dir="gs://b/data",
    image="registry/trainer:1",
    service_account="trainer",
)
GPUS = dict(accelerator="nvidia-h100-80gb", machine_type="a3-highgpu-8g", nodes=2)
JOB_DIR = "gs://b/jobs/large"
RUN_GIN = "TrainConfig.train_steps = 7\n"


def make_job(**settings) -> Job:
    """Return a job with SETTINGS and others."""
    return Job(config=LaunchConfig(**SETTINGS | settings), run_gin=RUN_GIN)


def job_flags(**settings) -> list[str]:
    """Return SETTINGS and others as flags, with a run that may be started."""
    params = [f"LaunchConfig.{name} = {value!r}" for name, value in (SETTINGS | settings).items()]
    params += ["TrainConfig.train_steps = 20000"]
    return [flag for param in params for flag in ("--gin_param", param)]


def split_commands(text: str) -> list[tuple[str, ...]]:
    """Return the words of each line, as a shell would split them."""
    return [tuple(shlex.split(line)) for line in text.strip().splitlines()]


def upload(directory: Path, target: str) -> None:
    """Copy the files of a directory to another one, which may be remote."""
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            name = path.relative_to(directory).as_posix()
            files.write_atomically(f"{target}/{name}", path.read_bytes())
