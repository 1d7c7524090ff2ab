"""The command line of all targets, with programs that record how they are called."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from data.errors import UserError
from launch import gke, slurm, tpu, vertex
from launch.jobs import commands
from launch.jobs.job import Action, Job
from tests.support.jobs import GPUS, job_flags


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """A function that returns the recorded commands; $OUTPUT and $CODE are what they print and return."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("gcloud", "kubectl", "sbatch", "squeue", "scancel"):
        (folder / name).write_text(
            '#!/bin/sh\nprintf "%s\\n" "$(basename "$0") $*" >> "$RECORD"\n'
            'printf "%s" "$OUTPUT"\nexit ${CODE:-0}\n'
        )
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("RECORD", str(tmp_path / "record"))
    monkeypatch.chdir(tmp_path)

    def read():
        return (tmp_path / "record").read_text().splitlines()

    return read


def test_printed_commands_are_those_that_run(recorded, capsys):
    targets = ((tpu, {}), (gke, GPUS), (vertex, GPUS))
    for target, settings in targets:
        target.main(["create", "--print", *job_flags(**settings)])
    printed = capsys.readouterr().out.splitlines()
    for target, settings in targets:
        target.main(["create", *job_flags(**settings)])
    existence_checks = {"describe", "get", "list"}
    ran = [line for line in recorded() if not set(line.split()) & existence_checks]
    assert len(recorded()) == len(ran) + 3
    assert ran == [" ".join(shlex.split(line)) for line in printed]
    assert Path(".launch/large/run.gin").read_text().endswith("train_steps = 20000\n")


def test_printed_commands_can_be_pasted_into_a_shell(capsys):
    command = ("printf", "%s\n", "value(a.b)", "it's", "$HOME")
    commands.execute(Action(commands=[command]), print_only=True)
    done = subprocess.run(["bash", "-c", capsys.readouterr().out], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["value(a.b)", "it's", "$HOME"]


def test_slurm_verbs_run_its_commands(recorded, tmp_path):
    shared = str(tmp_path / "shared")
    flags = job_flags(bucket=shared, data_dir="/d", **GPUS)
    for verb in ("create", "status", "delete"):
        slurm.main([verb, *flags])
    assert recorded() == [
        "squeue --me --name=large --noheader",
        f"sbatch {shared}/large/job.sbatch",
        "squeue --me --name=large",
        "scancel --me --name=large",
    ]
    assert Job.load(f"{shared}/large").config.data_dir == "/d"


def test_failing_command_stops_the_action(recorded, monkeypatch):
    monkeypatch.setenv("CODE", "3")
    with pytest.raises(UserError, match=r"`gcloud storage cp .*` failed with exit code 3"):
        gke.main(["create", *job_flags(**GPUS)])
    assert len(recorded()) == 2  # the check for an existing job, and the first command


@pytest.mark.parametrize("target", [tpu, gke, vertex, slurm])
def test_existing_job_of_this_name_is_an_error(recorded, monkeypatch, tmp_path, target):
    monkeypatch.setenv("OUTPUT", "17 large RUNNING")
    shared = dict(bucket=str(tmp_path / "shared"), data_dir="/d") if target is slurm else {}
    gpus = {} if target is tpu else GPUS
    with pytest.raises(UserError, match=r"job of this name already .*17 large RUNN"):
        target.main(["create", *job_flags(**gpus, **shared)])
    assert len(recorded()) == 1
    assert not Path(".launch").exists() and not (tmp_path / "shared").exists()


def test_batch_must_divide_evenly_among_the_machines():
    batch = ["--gin_param", "TrainConfig.global_batch_size = 8"]
    flags = job_flags(**GPUS | dict(nodes=3)) + batch
    with pytest.raises(UserError, match="global_batch_size=8 is not a multiple of 24 replicas"):
        gke.main(["create", "--print", *flags])
    with pytest.raises(UserError, match="is not a multiple of 4 replicas"):
        flags = job_flags(accelerator="v5e-4")
        tpu.main(["run", "--print", *flags, "--gin_param", "TrainConfig.global_batch_size = 6"])


def test_invalid_run_is_an_error_before_any_command():
    argv = ["create", "--gin_param", "TrainConfig.train_steps = 5"]
    with pytest.raises(UserError, match=r"warmup_steps=\d+ leaves nothing of TrainConfig"):
        tpu.main(argv)


def test_kernels_that_a_chip_lacks_are_an_error_before_any_command():
    kernels = ["--gin_param", "TrainConfig.attention = 'kernel'"]
    with pytest.raises(UserError, match=r"TrainConfig\.attention='kernel' on a TPU v3: "):
        tpu.main(["create", "--print", *job_flags(accelerator="v3-8"), *kernels])
    with pytest.raises(UserError, match=r"TrainConfig\.attention='kernel' on a CPU: "):
        tpu.main(["create", "--print", *job_flags(accelerator="cpu"), *kernels])


def test_running_job_can_be_deleted_despite_invalid_run_settings(recorded):
    flags = [*job_flags(**GPUS), "--gin_param", "TrainConfig.global_batch_size = 1"]
    gke.main(["delete", *flags])
    assert recorded() == ["kubectl delete jobset large"]


@pytest.mark.parametrize(
    ("target", "verb", "setting"),
    [
        *((tpu, verb, "project") for verb in ("status", "delete")),
        *((vertex, verb, "project") for verb in ("status", "logs", "delete")),
        *((target, "logs", "bucket") for target in (tpu, slurm)),
    ],
)
def test_missing_setting_of_a_verb_is_named(target, verb, setting):
    with pytest.raises(UserError, match=rf"LaunchConfig\.{setting} is missing"):
        target.main([verb])


def test_missing_program_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="kubectl is not installed"):
        gke.main(["delete", *job_flags(**GPUS)])
