"""What machines of a job do: the start-up script, the copy of the data, the run."""

import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from data import files
from data.errors import UserError
from data.manifest import Manifest
from launch import node, tpu
from launch.config import LaunchConfig
from launch.jobs.job import Job
from launch.worker.stage import stage
from tests.support.paths import ROOT

RUN_GIN = "TrainConfig.train_steps = 7\n"


def upload(directory: Path, target: str) -> None:
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            name = path.relative_to(directory).as_posix()
            files.write_atomically(f"{target}/{name}", path.read_bytes())


class TestStage:
    @pytest.fixture(scope="class")
    def bucket(self, small_build) -> str:
        upload(small_build, "ram://stage/data")
        return "ram://stage/data"

    def test_the_copy_is_the_build(self, bucket, small_build, tmp_path, sums_of, capsys):
        directory = stage(bucket, str(tmp_path))
        assert Path(directory).name == f"data-{Manifest.load(small_build).sha256[:12]}"
        assert sums_of(Path(directory)) == sums_of(small_build)
        num_files = len(Manifest.load(small_build).files)
        assert f" {num_files} of them copied now" in capsys.readouterr().out

    def test_it_goes_on_and_mends(self, bucket, small_build, tmp_path, sums_of, capsys):
        directory = Path(stage(bucket, str(tmp_path)))
        first, second, *_ = sorted(directory.rglob("*.tfrecord"))
        content = bytearray(first.read_bytes())
        content[100] ^= 1  # the same size
        first.write_bytes(content)
        second.unlink()
        stage(bucket, str(tmp_path))
        assert " 2 of them copied now" in capsys.readouterr().out
        assert sums_of(directory) == sums_of(small_build)

    def test_damage_on_the_way_is_named(self, small_build, tmp_path):
        upload(small_build, "ram://stage/damaged")
        (name, *_) = [
            file.path for file in Manifest.load(small_build).files if "packed" in file.path
        ]
        content = bytearray(files.read_bytes(f"ram://stage/damaged/{name}"))
        content[-1] ^= 1
        files.write_atomically(f"ram://stage/damaged/{name}", bytes(content))
        with pytest.raises(
            UserError, match=rf"ram://stage/damaged/{name} is damaged: its sha256 is"
        ):
            stage("ram://stage/damaged", str(tmp_path))
        (directory,) = tmp_path.iterdir()
        assert not (directory / "manifest.json").exists()  # so it is no build
        assert not (directory / name).exists()

    def test_no_build(self, tmp_path):
        with pytest.raises(UserError, match=r"ram://stage/none/manifest\.json is missing"):
            stage("ram://stage/none", str(tmp_path))

    def test_a_disk_that_is_too_small(self, bucket, tmp_path, monkeypatch):
        usage = shutil.disk_usage(tmp_path)._replace(free=1000)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
        with pytest.raises(UserError, match=r"has 1,000 bytes free, the data take [\d,]+ more"):
            stage(bucket, str(tmp_path))


class TestNode:
    def job(self, **settings) -> Job:
        return Job(config=LaunchConfig(bucket="gs://b", **settings), run_gin=RUN_GIN)

    def test_the_command(self):
        where = dict(data_dir="/d", gin_file="/g")
        run = [
            "--strict_gin",
            "--gin_file",
            "/g",
            "--data_dir",
            "/d",
            "--model_dir",
            "gs://b/lambert/model",
        ]
        assert node.run_command(self.job(), **where) == [sys.executable, "-m", "pretrain.run", *run]
        assert node.run_command(self.job(processes=2, model_dir="/m"), **where)[2:] == [
            *("launch.local", "--workers", "2", "--", *run[:-1], "/m")
        ]

    def test_what_a_tpu_needs(self, monkeypatch):
        monkeypatch.setattr(node, "_libtpu", lambda: "/x/libtpu.so")
        found = node.environment(LaunchConfig(accelerator="v5e-8"), {})
        assert found["TPU_ACCELERATOR_TYPE"] == "v5litepod-8"
        v4 = {"TPU_NAME": "local", "TPU_ACCELERATOR_TYPE": "v4-8"}
        assert node.environment(LaunchConfig(accelerator="v4-8"), {}) == v4
        assert node.environment(LaunchConfig(accelerator="v6e-8"), {}) == {
            "TPU_NAME": "local",
            "TPU_ACCELERATOR_TYPE": "v6e-8",
            "PJRT_DEVICE": "TPU",
            "NEXT_PLUGGABLE_DEVICE_USE_C_API": "true",
            "TF_PLUGGABLE_DEVICE_LIBRARY_PATH": "/x/libtpu.so",
        }
        monkeypatch.undo()
        with pytest.raises(UserError, match="libtpu is not installed"):
            node.environment(LaunchConfig(accelerator="v6e-8"), {})

    def test_slurm_tells_who_is_who(self):
        gpus = LaunchConfig(accelerator="nvidia-l4", nodes=2)
        found = node.environment(gpus, {"LAMBERT_WORKERS": "a:2222,b:2222", "SLURM_PROCID": "1"})
        assert json.loads(found["TF_CONFIG"]) == {
            "cluster": {"worker": ["a:2222", "b:2222"]},
            "task": {"type": "worker", "index": 1},
        }
        assert node.environment(gpus, {"LAMBERT_WORKERS": "a:2222", "SLURM_PROCID": "0"}) == {}
        assert node.environment(gpus, {}) == {}  # Kubernetes and Vertex set TF_CONFIG themselves
        with pytest.raises(UserError, match="start this with srun"):
            node.environment(gpus, {"LAMBERT_WORKERS": "a:2222,b:2222"})

    def test_from_the_job_to_its_exit_code(self, small_build, tmp_path, monkeypatch):
        """Data to the disk, preflight, the run; a preflight that fails ends it."""
        upload(small_build, "ram://node/data")
        settings = dict(bucket="ram://node", data_dir="ram://node/data", accelerator="cpu")
        job = Job(
            config=LaunchConfig(scratch_dir=str(tmp_path), crashes=5, **settings), run_gin=RUN_GIN
        )
        for name, content in job.files().items():
            files.write_atomically(f"ram://node/lambert/{name}", content)
        called = []

        def supervised(command, *, crashes, wait_seconds):
            gin_file = command[command.index("--gin_file") + 1]
            called.append((Path(gin_file).read_text(), command[-3:], crashes))
            return 7

        def run(command, code):
            called.append(command[2:])
            return subprocess.CompletedProcess(command, code)

        monkeypatch.setattr(node, "supervise", supervised)
        monkeypatch.setattr(node.subprocess, "run", lambda command: run(command, 0))
        for expected in (7, 2):
            with pytest.raises(SystemExit) as caught:
                node.main(["ram://node/lambert"])
            assert caught.value.code == expected
            monkeypatch.setattr(node.subprocess, "run", lambda command: run(command, 2))
        (directory,) = map(str, tmp_path.iterdir())
        model_dir = ["--model_dir", "ram://node/lambert/model"]
        checked = ["launch.preflight", "--data_dir", directory, "--sizes_only", *model_dir]
        settings = ["--strict_gin", "--gin_file", "run.gin", "--accelerator", "cpu"]
        for preflight_call in called[::2]:
            preflight_call[-3] = Path(preflight_call[-3]).name
            assert preflight_call == [*checked, *settings]
        assert called[1:2] == [(RUN_GIN, [directory, *model_dir], 5)]


class TestStartupScript:
    """The script itself, with small programs in place of the large ones."""

    PROGRAMS = {  # noqa: RUF012
        "gcloud": """
for last; do :; done
case "$1 $2" in
  "storage cp") case $last in */) last="$last$(basename "$3")" ;; esac
    mkdir -p "$(dirname "$last")"; cp "$3" "$last" ;;
esac""",
        "hostname": "echo vm-0",
        "apt-get": 'echo "apt-get $*" >> "$LAMBERT_ROOT/record"',
        "python3.11": """
mkdir -p "$3/bin"; printf '%s\n' '#!/bin/sh' 'echo "python $*" >> "$LAMBERT_ROOT/record"' \
  'case "$*" in *launch.node*) echo "it runs"; exit ${CODE:-0} ;; esac' > "$3/bin/python"
chmod +x "$3/bin/python"; echo "python3.11 $1 $2" >> "$LAMBERT_ROOT/record" """,
    }

    @pytest.fixture
    def boot(self, tmp_path):
        for name, body in self.PROGRAMS.items():
            (tmp_path / "bin").mkdir(exist_ok=True)
            (tmp_path / "bin" / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
            (tmp_path / "bin" / name).chmod(0o755)
        bucket = tmp_path / "job"
        bucket.mkdir()
        (bucket / "source.tar.gz").write_bytes(tpu.source_archive())

        class Metadata(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                assert self.headers["Metadata-Flavor"] == "Google"
                self.send_response(200 if self.path == "/attributes/lambert-job" else 404)
                self.end_headers()
                self.wfile.write(str(bucket).encode())

            def log_message(self, *_):
                pass

        def run(code=0) -> tuple[int, list[str], str, str]:
            (tmp_path / "root").mkdir(exist_ok=True)
            (tmp_path / "root/record").write_text("")
            done = subprocess.run(
                ["bash", ROOT / tpu.STARTUP_SCRIPT],
                env={
                    **os.environ,
                    "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
                    "LAMBERT_METADATA_URL": f"http://localhost:{server.server_port}",
                    "LAMBERT_ROOT": str(tmp_path / "root"),
                    "LAMBERT_USER": "",
                    "CODE": str(code),
                },
                capture_output=True,
                text=True,
            )
            assert (done.stdout, done.stderr) == ("", "")
            record = (tmp_path / "root/record").read_text().splitlines()
            logs = "".join(path.read_text() for path in sorted((bucket / "logs").iterdir()))
            return done.returncode, record, (bucket / "status").read_text(), logs

        with http.server.ThreadingHTTPServer(("localhost", 0), Metadata) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield run, bucket
            server.shutdown()

    def test_the_environment_is_made_once(self, boot):
        run, bucket = boot
        code, record, status, logs = run()
        pip = "python -m pip --disable-pip-version-check --no-cache-dir"
        hashed = "install --require-hashes"
        assert record == [
            "python3.11 -m venv",
            f"{pip} {hashed} --requirement requirements.lock",
            f"{pip} uninstall --yes tensorflow",
            f"{pip} {hashed} --no-deps --requirement launch/requirements-tpu.txt",
            f"python -m pip install --no-deps --no-build-isolation {bucket.parent}/root/source",
            f"python -m launch.node {bucket}",
        ]
        assert (code, status) == (0, "ended 0\n")
        assert "it runs\nlaunch: ended with exit code 0 on vm-0\n" in logs
        # After a reboot the environment is there; another source makes it anew.
        assert run()[1] == [f"python -m launch.node {bucket}"]
        (bucket / "source.tar.gz").write_bytes(tpu.source_archive() + b"\0")
        assert len(run()[1]) == 6

    @pytest.mark.parametrize(
        ("code", "status"),
        [(2, "ended 2\n"), (1, "ended 1\n"), (42, "running on vm-0\n"), (143, "running on vm-0\n")],
    )
    def test_only_what_is_over_is_called_ended(self, boot, code, status):
        run, _ = boot
        assert run(code)[::2] == (code, status)

    def test_a_failure_before_the_run_ends_the_job(self, boot):
        run, bucket = boot
        (bucket / "source.tar.gz").unlink()
        code, record, status, logs = run()
        assert (code, record, status) == (1, [], "ended 1\n")
        assert "source.tar.gz" in logs


class TestKeepRunning:
    """The loop of `launch.tpu run`, with the states that gcloud would give."""

    @pytest.fixture
    def run(self, monkeypatch):
        """Takes the states of the request and of the job, look by look; returns what was called."""
        config = LaunchConfig(
            project="p",
            zone="z-a",
            bucket="gs://b",
            data_dir="gs://b/d",
            service_account="a",
            max_restarts=2,
        )
        called, states, reports = [], [], []

        def execute(action):
            called.extend(command[4] for command in action.commands if command[1] == "compute")

        def run(*looks, at_first=None):
            called.clear()
            states[:] = [at_first, *(state for state, _ in looks)]
            reports[:] = [report for _, report in looks]
            try:
                tpu.keep_running(Job(config=config, run_gin=RUN_GIN), "W", 1.0)
            finally:
                assert (states, reports) == ([], [])
            return called

        monkeypatch.setattr(tpu, "execute", execute)
        monkeypatch.setattr(
            tpu, "output_of", lambda c: (reports if c[1] == "storage" else states).pop(0)
        )
        monkeypatch.setattr(tpu.time, "sleep", lambda _: None)
        run.called = called
        return run

    BUSY, GONE = ("ACTIVE", "running on vm"), ("SUSPENDED", "running on vm")

    def test_a_machine_taken_away_is_replaced(self, run, capsys):
        looks = [("WAITING_FOR_RESOURCES", "submitted"), self.BUSY, (None, None), self.GONE]
        assert run(*looks, ("PROVISIONING", "running on vm"), self.BUSY, ("ACTIVE", "ended 0")) == [
            *("create", "delete", "create", "delete")
        ]
        assert "launch: trained; the model is in gs://b/lambert/model" in capsys.readouterr().out

    def test_who_watched_may_come_back(self, run):
        assert run(self.BUSY, ("ACTIVE", "ended 0"), at_first="ACTIVE") == ["delete"]

    def test_the_end_of_the_run_counts_more_than_that_of_the_machine(self, run):
        assert run(self.BUSY, ("SUSPENDED", "ended 0")) == ["create", "delete"]

    def test_a_run_that_failed(self, run):
        with pytest.raises(UserError, match=r"exit code 2; `launch\.tpu logs` shows why"):
            run(self.BUSY, ("ACTIVE", "ended 2"))
        assert run.called == ["create", "delete"]

    def test_a_machine_lost_too_often(self, run):
        with pytest.raises(UserError, match=r"taken away 3 times.*LaunchConfig\.max_restarts"):
            run(self.GONE, self.BUSY, self.GONE, self.GONE)
        assert run.called == ["create", "delete"] * 3

    def test_a_request_that_failed(self, run):
        with pytest.raises(
            UserError, match=r"v5litepod-8 in z-a, valid for ever; try another zone"
        ):
            run(("FAILED", "submitted"))
        assert run.called == ["create", "delete"]

    def test_a_machine_that_never_begins_is_told(self, run, capsys):
        silent = [("ACTIVE", "submitted")] * 15
        run(*silent, self.BUSY, ("ACTIVE", "ended 0"))
        assert capsys.readouterr().out.count("but its machine has not said a word") == 1
        run(*silent[1:], self.BUSY, ("ACTIVE", "ended 0"))
        assert "has not said a word" not in capsys.readouterr().out

    def test_looks_take_time(self):
        with pytest.raises(UserError, match="--poll_seconds -1: must be above 0"):
            tpu.main(["run", "--poll_seconds", "-1"])

    def test_a_network_that_is_gone(self, run):
        with pytest.raises(UserError, match="has failed 31 times in a row; the job may be running"):
            run(*[(None, None)] * 31)
        assert run.called == ["create"]
