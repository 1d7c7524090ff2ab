"""A host of a slice from its data to its end: called by launch.node."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from data import files
from data.errors import UserError
from data.manifest import Manifest
from launch.accelerators.tpu_types import google_type
from launch.jobs.job import GIN_FILE, Job
from launch.slice import settings
from launch.slice.agent import Agent
from launch.slice.coordinator import Coordinator, Program
from launch.slice.identity import Identity, identity_of
from launch.slice.job_files import REASON_VARIABLE, HubRecord, JobFiles, require_no_other_hub
from launch.slice.membership import Membership, find_membership
from launch.slice.processes import MachineLock, Server
from launch.slice.settings import Times
from launch.worker.commands import preflight_command, run_command
from launch.worker.environment import ACCELERATOR_VARIABLE, LOAD_LIBTPU_VARIABLE
from launch.worker.stage import stage, storage_errors_as_user_errors
from pretrain.checkpoints.catalog import SAVED_FILE
from pretrain.train.preemption import URL_VARIABLE, PreemptionNotice

# A host with less reports it; its log and TensorFlow need some.
_MIN_FREE_BYTES = 2**26
_LOOK_AGAIN_FACTOR = 2.5  # reports of another hub that must stay away, see `require_no_other_hub`


class Log:
    """Standard output of this host; `trouble` is why it cannot be written."""

    def __init__(self) -> None:
        self.trouble = ""
        self._lock = threading.Lock()

    def write(self, text: str) -> None:
        """Print a line, or raise an OSError."""
        try:
            with self._lock:
                print(f"slice: {time.strftime('%H:%M:%S')} {text}", flush=True)
            self.trouble = ""
        except OSError as error:
            self.trouble = f"its log cannot be written: {error.strerror}"
            raise

    def say(self, text: str) -> None:
        """Print a line if that is possible."""
        with contextlib.suppress(OSError):
            self.write(text)


def run_host(job: Job, job_dir: str, num_hosts: int, accelerator: str) -> int:
    """Run this host's part of a job on a slice, and return the exit code.

    Args:
      job: job, whose accelerator is "cpu" in a rehearsal.
      job_dir: directory of the job.
      num_hosts: number of hosts of the slice.
      accelerator: TPU type of the slice.

    Raises:
      UserError: this host or the slice cannot run the job.
    """
    try:
        membership = find_membership(accelerator, num_hosts)
        lock = MachineLock(membership.address)
        with PreemptionNotice() as notice, tempfile.TemporaryDirectory(prefix="lambert-") as folder:
            gin_file = Path(folder, GIN_FILE)
            gin_file.write_text(job.run_gin, encoding="utf-8")
            host = _Host(job, JobFiles(job_dir=job_dir), membership, accelerator, lock, notice)
            code, reason = host.run(str(gin_file))
    except UserError as error:
        _leave_reason(str(error))
        raise
    _leave_reason(reason)
    if code and reason:
        print(f"error: {reason}", file=sys.stderr, flush=True)
    return code


def _leave_reason(reason: str) -> None:
    """Leave the reason of the exit for tpu_startup.sh, which reports it."""
    if path := os.environ.get(REASON_VARIABLE):
        with contextlib.suppress(OSError):
            Path(path).write_text(" ".join(reason.split()))


class _Host:
    def __init__(
        self,
        job: Job,
        job_files: JobFiles,
        membership: Membership,
        accelerator: str,
        lock: MachineLock,
        notice: PreemptionNotice,
    ):
        self._job, self._files, self._membership = job, job_files, membership
        self._accelerator, self._lock, self._notice = accelerator, lock, notice
        self._times, self._log = Times.from_environment(os.environ), Log()
        self._instance = secrets.token_hex(8)

    def run(self, gin_file: str) -> tuple[int, str]:
        """Prepare this host and serve the hub; return the exit code and the reason."""
        self._report("copies the data")
        data_dir = self._job.config.data_dir
        if self._job.config.scratch_dir:
            data_dir = stage(data_dir, self._job.config.scratch_dir)
        paths = {"data_dir": data_dir, "gin_file": gin_file}
        self._report("runs the preflight")
        command = preflight_command(self._job, is_slice_host=True, **paths)
        if code := subprocess.run(command).returncode:
            return (
                code if code > 0 else 128 - code,
                "the preflight failed; its lines are in the log",
            )
        self._report("waits for the hub")
        identity = identity_of(
            self._job,
            manifest_sha256=Manifest.load(data_dir).sha256,
            num_hosts=len(self._membership.addresses),
        )
        agent = self._agent(identity)
        if self._membership.index:
            return agent.run()
        with _in_background(agent, self._log):
            return self._coordinator(identity, paths).run()

    def _report(self, doing: str) -> None:
        text = f"host {self._membership.index}: {doing} on {socket.gethostname()}"
        self._log.say(text)
        with storage_errors_as_user_errors(self._files.job_dir):
            self._files.write_state(str(self._membership.index), f"{text}\n")

    def _agent(self, identity: Identity) -> Agent:
        port = settings.port(settings.SERVER_PORT_VARIABLE, settings.SERVER_PORT, os.environ)
        command = [
            *(sys.executable, "-m", "launch.slice.server", "--port", str(port)),
            *("--host", str(self._membership.index)),
            *("--addresses", ",".join(self._membership.addresses)),
        ]
        if self._is_rehearsal:
            command += ["--cpus", os.environ.get(settings.CPUS_VARIABLE, "1")]
        else:
            command += ["--accelerator", self._accelerator]
        return Agent(
            self._membership,
            identity,
            instance=self._instance,
            server=Server(command, port=port, say=self._log.write),
            read_hub=self._files.read_hub,
            notice=lambda: self._notice.reason or "",
            trouble=self._trouble,
            times=self._times,
            say=self._log.say,
        )

    def _coordinator(self, identity: Identity, paths: Mapping[str, str]) -> Coordinator:
        require_no_other_hub(
            self._files,
            self._membership.address,
            _LOOK_AGAIN_FACTOR * self._times.report,
            time.sleep,
        )
        record = HubRecord(
            instance=self._instance,
            address=self._membership.address,
            port=settings.port(settings.HUB_PORT_VARIABLE, settings.HUB_PORT, os.environ),
            token=secrets.token_hex(32),
        )
        # The devices of a rehearsal are CPUs, which the preflight of each host has checked.
        programs: list[Program] = [lambda endpoints: self._run_program(endpoints, paths)]
        if not self._is_rehearsal:
            programs.insert(0, lambda endpoints: _preflight_program(endpoints, self._accelerator))
        return Coordinator(
            self._membership,
            identity,
            job=self._files,
            programs=programs,
            record=record,
            saved=self._saved,
            lock=self._lock,
            times=self._times,
            crashes=self._job.config.crashes,
            say=self._log.say,
        )

    @property
    def _is_rehearsal(self) -> bool:
        return ACCELERATOR_VARIABLE in os.environ

    def _run_program(
        self, endpoints: Sequence[str], paths: Mapping[str, str]
    ) -> tuple[Sequence[str], Mapping[str, str]]:
        command = run_command(self._job, **paths)
        tpu = tpu_address(endpoints)
        command += ["--gin_param", f"ClusterConfig.tpu = '{tpu}'"]
        return command, coordinator_variables(tpu, self._accelerator)

    def _saved(self) -> str:
        """Return a text that changes with every checkpoint."""
        try:
            return files.read_bytes(files.join(self._job.model_dir, SAVED_FILE)).decode(
                "utf-8", "replace"
            )
        except FileNotFoundError:
            return ""

    def _trouble(self) -> str:
        if self._log.trouble:
            return self._log.trouble
        folder = self._job.config.scratch_dir or tempfile.gettempdir()
        try:
            free = shutil.disk_usage(folder).free
        except OSError as error:
            return f"{folder}: {error.strerror}"
        return f"{folder} has {free:,} bytes free" if free < _MIN_FREE_BYTES else ""


def tpu_address(endpoints: Sequence[str]) -> str:
    """Return ClusterConfig.tpu of a slice: "grpc://10.0.0.10:8470,grpc://10.0.0.11:8470"."""
    return ",".join(f"grpc://{endpoint}" for endpoint in endpoints)


def coordinator_variables(tpu: str, accelerator: str) -> dict[str, str]:
    """Return the environment variables of the coordinator, which uses chips through servers only.

    Args:
      tpu: ClusterConfig.tpu.
      accelerator: TPU type such as "v5e-16".
    """
    return {
        LOAD_LIBTPU_VARIABLE: "0",
        "TPU_NAME": tpu,
        "TPU_ACCELERATOR_TYPE": google_type(accelerator),
        URL_VARIABLE: "",  # one place reacts to preemption notices: the hub
    }


def _preflight_program(
    endpoints: Sequence[str], accelerator: str
) -> tuple[Sequence[str], Mapping[str, str]]:
    """Return the check of all devices of the slice together."""
    command = [sys.executable, "-m", "launch.preflight", "--tpu", "--free_gb", "0"]
    return command, coordinator_variables(tpu_address(endpoints), accelerator)


@contextlib.contextmanager
def _in_background(agent: Agent, log: Log) -> Iterator[None]:
    """Run an agent in a thread while the context lasts."""

    def run() -> None:
        try:
            agent.run()
        except UserError as error:
            log.say(f"error: {error}")

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        agent.is_stopped.set()
        thread.join(timeout=10)
