"""A machine of the fake cloud: it runs its start-up script and suffers faults.

It has its own metadata server, and a disk on which the environment is already installed. FAKE_GCLOUD_FAULTS
has a JSON list of faults, each with `request` (the first, second, ... request of the job), `host` and `kind`:

    notice         at `step`: the preemption notice, time to save, then SIGKILL for all hosts
    vanish         at `step`: SIGSTOP for all processes; when the hub has noticed, the machine boots again
    kill           at `step`: SIGKILL for all processes; the machine boots again
    full_disk      from the start: the data do not fit on the disk (needs root)
    other_package  from the start: one module of the installed package differs
"""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from launch.jobs.job import ROOT, SOURCE_FILE, Job
from launch.rehearse import network
from launch.slice.job_files import HOSTS_FOLDER, HUB_STATE
from launch.worker.environment import ACCELERATOR_VARIABLE

STATE_VARIABLE = "FAKE_GCLOUD_STATE"
FAULTS_VARIABLE = "FAKE_GCLOUD_FAULTS"
_SCHEME = "file://"
_NOTICE_SECONDS = 120.0
_VANISHED_SECONDS = 120.0
# Printed after exit code 42: by launch.supervise, and on slices by tpu_startup.sh.
_SAVED = ("the run has saved its state", "launch: stopped; starting again")
_PACKAGES = ("bench", "data", "finetune", "gin", "launch", "model", "optim", "pretrain")


def local_path(url: str) -> Path:
    """Return the file or folder that plays an object of the storage."""
    return Path(url.removeprefix(_SCHEME))


def processes_of(folder: Path) -> list[int]:
    """Return the processes of machines whose disks are in a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"LAMBERT_ROOT={folder}/".encode() in path.read_bytes():
                found.append(int(path.parent.name))
    return found


class Vm:
    """A host of a TPU."""

    def __init__(self, folder: Path, host: int):
        """Take the folder of the request, and the number of the host."""
        self._request, self._host = folder, host
        self._folder = folder / f"host-{host}"
        self._disk = self._folder / "disk"
        request = json.loads((folder / "request.json").read_text())
        self._script = request["script"]
        self._metadata = request["metadata"] | {
            "agent-worker-number": str(host),
            "worker-network-endpoints": ",".join(f"a:b:{each}" for each in request["addresses"]),
        }
        self._is_slice = len(request["addresses"]) > 1
        self._job_dir = self._metadata["lambert-job"]
        self._job = Job.load(self._job_dir)
        faults = json.loads(os.environ.get(FAULTS_VARIABLE, "[]"))
        self._faults: list[dict[str, Any]] = [
            fault
            for fault in faults
            if fault["request"] == request["number"] and fault["host"] == host
        ]
        self._is_preempted = False

    def run(self) -> None:
        """Run until the script has ended or the machine is preempted."""
        self._install()
        with self._metadata_server() as url:
            process = self._boot(url)
            try:
                while process.poll() is None:
                    fault = self._next_fault()
                    if fault == "notice":
                        self._preempt(process)
                    elif fault:
                        self._stop(fault)
                        process.wait()
                        process = self._boot(url)
                    time.sleep(0.2)
            finally:
                self._signal(signal.SIGKILL)

    def _install(self) -> None:
        """Prepare the disk as after an installation."""
        (self._disk / "bin").mkdir(parents=True)
        (self._disk / "venv").symlink_to(sys.prefix)
        archive = local_path(self._job_dir) / SOURCE_FILE
        (self._disk / "installed").write_text(
            f"{hashlib.sha256(archive.read_bytes()).hexdigest()}  -\n"  # as sha256sum prints it
        )
        (self._folder / "startup-script").write_text(self._script)
        if self._is_slice:
            hostname = self._disk / "bin/hostname"
            hostname.write_text(f"#!/bin/sh\necho vm-{self._host}\n")
            hostname.chmod(0o755)
        if self._is_slice and network.has_namespaces():
            self._mount_scratch()
        self._source = ROOT
        if self._has("other_package"):
            self._source = self._disk / "source"
            for name in _PACKAGES:
                shutil.copytree(
                    ROOT / name, self._source / name, ignore=shutil.ignore_patterns("__pycache__")
                )
            with open(self._source / "launch/__init__.py", "a") as module:
                module.write("# another version\n")

    def _mount_scratch(self) -> None:
        """Give the machine a scratch directory of its own; `ip netns exec` has made its mounts private."""
        target = Path(self._job.config.scratch_dir)
        own = self._disk / "scratch"
        for folder in (target, own):
            folder.mkdir(parents=True, exist_ok=True)
        command = ["mount", "--bind", str(own), str(target)]
        if self._has("full_disk"):
            command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(target)]
        subprocess.run(command, check=True)

    def _boot(self, url: str) -> subprocess.Popen[bytes]:
        variables = {
            "LAMBERT_METADATA_URL": url,
            "LAMBERT_PREEMPTION_URL": f"{url}/preempted",
            "LAMBERT_ROOT": str(self._disk),
            "LAMBERT_USER": "",
            ACCELERATOR_VARIABLE: "cpu",
            "PATH": f"{self._disk}/bin:{os.environ['PATH']}",
            "PYTHONPATH": str(self._source),
        }
        return subprocess.Popen(
            ["bash", str(self._folder / "startup-script")],
            env={**os.environ, **variables},
            start_new_session=True,
        )

    def _has(self, kind: str) -> bool:
        return any(fault["kind"] == kind for fault in self._faults)

    def _next_fault(self) -> str:
        """Return the kind of a fault whose step the run has logged, once; "" for none."""
        for fault in self._faults:
            if fault.get("step") and self._step() >= fault["step"]:
                self._faults.remove(fault)
                return fault["kind"]
        return ""

    def _step(self) -> int:
        metrics = local_path(self._job.model_dir) / "metrics.jsonl"
        if not metrics.exists():
            return 0
        steps = [json.loads(line)["step"] for line in metrics.read_text().splitlines()[:-1]]
        return max(steps, default=0)

    def _preempt(self, process: subprocess.Popen[bytes]) -> None:
        self._is_preempted = True
        deadline = time.monotonic() + _NOTICE_SECONDS
        while time.monotonic() < deadline and not any(text in self._log() for text in _SAVED):
            time.sleep(0.1)
        if self._is_slice:
            time.sleep(2.0)  # for the other hosts, which are told to end too
        self._signal(signal.SIGKILL, self._request)
        process.wait()
        (self._request / "state").write_text("SUSPENDED")
        for path in self._request.glob("host-*/disk/logs/*.log"):
            shutil.copyfile(path, self._request.parent / f"preempted-{path.name}")

    def _stop(self, fault: str) -> None:
        """Kill all processes; those of a vanished machine only after the hub has noticed."""
        if fault == "vanish":
            self._signal(signal.SIGSTOP)
            deadline = time.monotonic() + _VANISHED_SECONDS
            state = local_path(self._job_dir) / HOSTS_FOLDER / HUB_STATE
            while time.monotonic() < deadline and "not a word" not in state.read_text():
                time.sleep(0.2)
        self._signal(signal.SIGKILL)

    def _signal(self, number: int, folder: Path | None = None) -> None:
        for pid in processes_of(folder or self._folder):
            if pid != os.getpid():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    def _log(self) -> str:
        return "".join(path.read_text() for path in (self._disk / "logs").glob("*.log"))

    @contextlib.contextmanager
    def _metadata_server(self) -> Iterator[str]:
        vm = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                kind, _, name = self.path.strip("/").partition("/")
                value = vm._metadata.get(name) if kind == "attributes" else None
                if kind == "preempted":
                    value = "TRUE" if vm._is_preempted else "FALSE"
                has_header = self.headers["Metadata-Flavor"] == "Google"
                self.send_response(200 if value is not None and has_header else 404)
                self.end_headers()
                self.wfile.write((value or "").encode())

            def log_message(self, *_: object) -> None:
                pass

        with http.server.ThreadingHTTPServer(("localhost", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield f"http://localhost:{server.server_port}"
            server.shutdown()
