"""A host of a slice, as launch.node starts it."""

import errno
import subprocess

import pytest

from data import files
from data.errors import UserError
from launch import node
from launch.config import LaunchConfig
from launch.jobs.job import Job
from launch.slice import host
from tests.support.jobs import RUN_GIN


@pytest.fixture
def start(small_build, tmp_path, monkeypatch):
    """A function that starts launch.node on host 1 of a slice of some hosts.

    It returns the exit code, the reason that is left for tpu_startup.sh, and the state of the host.
    """
    config = LaunchConfig(
        bucket=str(tmp_path / "bucket"),
        data_dir=str(small_build),
        scratch_dir="",
        accelerator="v5litepod-16",
    )
    job = Job(config=config, run_gin=RUN_GIN)
    for name, content in job.files().items():
        path = tmp_path / "bucket/lambert" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_atomically(path, content)
    monkeypatch.setenv("LAMBERT_ACCELERATOR", "cpu")
    monkeypatch.setenv("LAMBERT_REASON_FILE", str(tmp_path / "reason"))
    monkeypatch.setenv("LAMBERT_SLICE_INDEX", "1")

    def start(num_hosts: int) -> tuple[int, str, str]:
        addresses = ",".join(f"127.99.0.{number}" for number in range(num_hosts))
        monkeypatch.setenv("LAMBERT_SLICE_HOSTS", addresses)
        try:
            node.main([config.job_dir])
        except SystemExit as stop:
            code = stop.code
        except UserError:
            code = 2
        state = tmp_path / "bucket/lambert/hosts/1"
        return code, (tmp_path / "reason").read_text(), state.read_text() if state.exists() else ""

    return start


def test_wrong_number_of_hosts_is_the_reason(start):
    code, reason, _ = start(3)
    assert (code, reason) == (
        2,
        "LaunchConfig.accelerator='v5litepod-16' has 4 hosts, but this slice has 3 (127.99.0.0,"
        " 127.99.0.1, 127.99.0.2); request the size that the job names",
    )


def test_failed_preflight_is_the_reason(start, monkeypatch):
    commands = []

    def run(command):
        commands.append(command)
        return subprocess.CompletedProcess(command, 2)

    monkeypatch.setattr(host.subprocess, "run", run)
    code, reason, state = start(4)
    assert (code, reason) == (2, "the preflight failed; its lines are in the log")
    assert state.startswith("host 1: runs the preflight on ")
    assert "launch.preflight" in commands[0]


def test_coordinator_uses_servers_only():
    endpoints = ["10.0.0.1:8470", "10.0.0.2:8470"]
    command, variables = host._preflight_program(endpoints, "v5e-16")
    assert command[1:4] == ["-m", "launch.preflight", "--tpu"]
    assert variables == {
        "TPU_LOAD_LIBRARY": "0",
        "TPU_NAME": "grpc://10.0.0.1:8470,grpc://10.0.0.2:8470",
        "TPU_ACCELERATOR_TYPE": "v5litepod-16",
        "LAMBERT_PREEMPTION_URL": "",
    }


class FullDisk:
    """A stream on a full disk."""

    def write(self, text):
        """Raise what a full disk raises."""
        raise OSError(errno.ENOSPC, "No space left on device")

    def flush(self):
        """Do nothing."""


def test_log_that_cannot_be_written_is_a_trouble(monkeypatch):
    log = host.Log()
    monkeypatch.setattr("sys.stdout", FullDisk())
    log.say("text")
    with pytest.raises(OSError, match="No space left"):
        log.write("text")
    assert log.trouble == "its log cannot be written: No space left on device"
    monkeypatch.undo()
    log.say("text")
    assert log.trouble == ""
