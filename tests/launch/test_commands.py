"""Commands as they are called: stand-ins for the programs of clouds and clusters, and Slurm's own script."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from data.errors import UserError
from launch import gke, slurm, tpu, vertex
from launch.jobs import commands
from launch.jobs.job import Action, Job
from tests.launch.test_targets import GPUS, SETTINGS, job


class TestCommands:
    """Programs that record how they are called stand in for those of clouds and clusters."""

    @pytest.fixture
    def called(self, tmp_path, monkeypatch):
        folder = tmp_path / "bin"
        folder.mkdir()
        for name in ("gcloud", "kubectl", "sbatch", "squeue", "scancel"):
            (folder / name).write_text(
                '#!/bin/sh\nprintf "%s\\n" "$(basename "$0") $*" >> "$RECORD"\n'
                'printf "%s" "$SAY"\nexit ${CODE:-0}\n'
            )
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        monkeypatch.setenv("RECORD", str(tmp_path / "record"))
        monkeypatch.chdir(tmp_path)

        def read():
            return (tmp_path / "record").read_text().splitlines()

        return read

    def flags(self, **settings) -> list[str]:
        settings = SETTINGS | settings
        params = [f"LaunchConfig.{name} = {value!r}" for name, value in settings.items()]
        params += ["TrainConfig.train_steps = 20000"]
        return [flag for param in params for flag in ("--gin_param", param)]

    def test_what_is_printed_is_what_is_called(self, called, capsys):
        for target, more in ((tpu, {}), (gke, GPUS), (vertex, GPUS)):
            target.main(["create", "--print", *self.flags(**more)])
        printed = capsys.readouterr().out.splitlines()
        for target, more in ((tpu, {}), (gke, GPUS), (vertex, GPUS)):
            target.main(["create", *self.flags(**more)])
        is_there = ("describe", "get", "list")  # what is asked before
        found = [line for line in called() if not set(line.split()) & {*is_there}]
        assert len(called()) == len(found) + 3
        assert found == [" ".join(shlex.split(line)) for line in printed]
        assert Path(".launch/large/run.gin").read_text().endswith("train_steps = 20000\n")

    def test_a_printed_command_can_be_pasted(self, capsys):
        command = ("printf", "%s\n", "value(a.b)", "it's", "$HOME")
        commands.execute(Action(commands=[command]), print_only=True)
        done = subprocess.run(
            ["bash", "-c", capsys.readouterr().out], capture_output=True, text=True
        )
        assert done.stdout.splitlines() == ["value(a.b)", "it's", "$HOME"]

    def test_slurm(self, called, tmp_path):
        shared = str(tmp_path / "shared")
        flags = self.flags(bucket=shared, data_dir="/d", **GPUS)
        for verb in ("create", "status", "delete"):
            slurm.main([verb, *flags])
        assert called() == [
            "squeue --me --name=large --noheader",
            f"sbatch {shared}/large/job.sbatch",
            "squeue --me --name=large",
            "scancel --me --name=large",
        ]
        assert Job.load(f"{shared}/large").config.data_dir == "/d"

    def test_a_failing_command_stops_the_rest(self, called, monkeypatch):
        monkeypatch.setenv("CODE", "3")
        with pytest.raises(UserError, match=r"`gcloud storage cp .*` ended with exit code 3"):
            gke.main(["create", *self.flags(**GPUS)])
        assert len(called()) == 2  # whether there is such a job, and the first command

    @pytest.mark.parametrize("target", [tpu, gke, vertex, slurm])
    def test_a_job_of_this_name_is_left_alone(self, called, monkeypatch, tmp_path, target):
        monkeypatch.setenv("SAY", "17 large RUNNING")
        places = dict(bucket=str(tmp_path / "shared"), data_dir="/d") if target is slurm else {}
        more = {} if target is tpu else GPUS
        with pytest.raises(UserError, match=r"job of this name already .*17 large RUNN"):
            target.main(["create", *self.flags(**more, **places)])
        assert len(called()) == 1
        assert not Path(".launch").exists() and not (tmp_path / "shared").exists()

    def test_batches_are_divided_among_the_machines_that_are_asked_for(self):
        batch = ["--gin_param", "TrainConfig.global_batch_size = 8"]
        flags = self.flags(**GPUS | dict(nodes=3)) + batch
        with pytest.raises(UserError, match="global_batch_size=8 is not a multiple of 24 replicas"):
            gke.main(["create", "--print", *flags])
        with pytest.raises(UserError, match="is not a multiple of 4 replicas"):
            flags = self.flags(accelerator="v5e-4")
            tpu.main(["run", "--print", *flags, "--gin_param", "TrainConfig.global_batch_size = 6"])

    def test_what_runs_can_be_deleted_whatever_the_settings_say(self, called):
        flags = [*self.flags(**GPUS), "--gin_param", "TrainConfig.global_batch_size = 1"]
        gke.main(["delete", *flags])
        assert called() == ["kubectl delete jobset large"]

    @pytest.mark.parametrize(
        ("target", "verb", "setting"),
        [
            *((tpu, verb, "project") for verb in ("status", "delete")),
            *((vertex, verb, "project") for verb in ("status", "logs", "delete")),
            *((target, "logs", "bucket") for target in (tpu, slurm)),
        ],
    )
    def test_every_verb_says_what_it_needs(self, target, verb, setting):
        with pytest.raises(UserError, match=rf"LaunchConfig\.{setting} is missing"):
            target.main([verb])

    def test_a_missing_program(self, monkeypatch):
        monkeypatch.setenv("PATH", "")
        with pytest.raises(UserError, match="kubectl is not installed"):
            gke.main(["delete", *self.flags(**GPUS)])


class TestSlurm:
    @pytest.fixture
    def script(self, tmp_path) -> Path:
        found = job(bucket=str(tmp_path), data_dir="/d", queue="long", max_restarts=2, **GPUS)
        path = tmp_path / "job.sbatch"
        path.write_text(slurm.batch_script(found))
        return path

    def test_what_is_asked_for(self, script, tmp_path):
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
    def test_a_run_that_was_told_to_go_is_queued_again(
        self, script, tmp_path, code, restarts, expected
    ):
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

    def test_a_bucket_is_no_shared_disk(self):
        with pytest.raises(UserError, match="must be a folder on a disk that all machines share"):
            slurm.create(job(), "W")

    @pytest.mark.parametrize("name", ["bucket", "data_dir"])
    @pytest.mark.parametrize("path", ["shared", "~/shared"])
    def test_paths_mean_the_same_on_every_machine(self, name, path):
        places = dict(bucket="/shared", data_dir="/shared/d") | {name: path}
        with pytest.raises(
            UserError, match=rf"{name}='{path}': must be where .* below / on the disk"
        ):
            slurm.create(job(**places), "W")
