"""The commands that a machine of a job runs."""

import sys

from launch.config import LaunchConfig
from launch.jobs.job import Job
from launch.worker.commands import preflight_command, run_command

PATHS = dict(data_dir="/d", gin_file="/g")
GIN = ["--strict_gin", "--gin_file", "/g"]
DIRECTORIES = ["--data_dir", "/d", "--model_dir", "gs://b/lambert/model"]


def make_job(**settings) -> Job:
    return Job(config=LaunchConfig(bucket="gs://b", **settings), run_gin="")


def test_run_uses_a_local_cluster_for_several_processes():
    run = [*GIN, *DIRECTORIES]
    assert run_command(make_job(), **PATHS) == [sys.executable, "-m", "pretrain.run", *run]
    assert run_command(make_job(processes=2, model_dir="/m"), **PATHS)[2:] == [
        *("launch.local", "--workers", "2", "--", *run[:-1], "/m")
    ]


def test_preflight_checks_the_devices_of_the_job():
    directories = ["--data_dir", "/d", "--sizes_only", "--model_dir", "gs://b/lambert/model"]
    for settings, devices, memory in (
        (dict(accelerator="v5e-8"), ["--tpu"], [*GIN, "--accelerator", "v5e-8"]),
        (
            dict(accelerator="nvidia-h100-80gb", nodes=2),
            ["--gpus", "8"],
            [*GIN, "--accelerator", "h100x16"],
        ),
        # There are no figures for its memory.
        (dict(accelerator="nvidia-tesla-t4", gpus_per_node=1), ["--gpus", "1"], []),
    ):
        command = preflight_command(make_job(**settings), **PATHS)
        assert command[1:] == ["-m", "launch.preflight", *devices, *directories, *memory]


def test_preflight_of_a_host_of_a_slice_leaves_the_chips_alone():
    command = preflight_command(make_job(accelerator="v5e-16"), is_slice_host=True, **PATHS)
    assert command[2:4] == ["launch.preflight", "--slice_host"]
    assert "--tpu" not in command
