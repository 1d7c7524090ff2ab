"""A fake gcloud on this machine: storage in folders, and TPU VMs that are processes.

`install` writes it into a folder as `gcloud`. It implements the few commands that launch.tpu and
tpu_startup.sh use, refuses all others, and keeps its state in the folder FAKE_GCLOUD_STATE. A VM runs the
start-up script, with its own metadata server, on a disk on which the environment is already installed. The
first VM is preempted once the run has logged step FAKE_GCLOUD_PREEMPTION_STEP: the notice, time to save, then
SIGKILL.
"""

from __future__ import annotations

import argparse
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
from collections.abc import Iterator, Sequence
from pathlib import Path

from data.errors import CommandParser, UserError, run_main
from launch.jobs.job import ROOT, SOURCE_FILE, Job
from launch.worker.environment import ACCELERATOR_VARIABLE

STATE_VARIABLE = "FAKE_GCLOUD_STATE"
STEP_VARIABLE = "FAKE_GCLOUD_PREEMPTION_STEP"
_SCHEME = "file://"
_NOTICE_SECONDS = 60.0
_SAVED = "the run has saved its state"  # printed by launch.supervise after exit code 42


def install(folder: Path) -> None:
    """Write `gcloud` into a folder that is to be on PATH."""
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "gcloud"
    script.write_text(
        f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m launch.rehearse.fake_gcloud "$@"\n'
    )
    script.chmod(0o755)


def main(argv: Sequence[str]) -> None:
    """Run a command of gcloud, or `vm NAME`, which runs a VM to its end."""
    if argv[:1] == ["vm"]:
        _Vm(argv[1]).run()
    elif argv[:2] == ["storage", "cp"]:
        _copy(argv[2:-1], argv[-1])
    elif argv[:2] == ["storage", "cat"]:
        for path in _matching(argv[2]):
            sys.stdout.write(path.read_text())
    elif argv[:3] == ["compute", "tpus", "queued-resources"]:
        _queued_resources(argv[3:])
    else:
        raise UserError(f"fake gcloud does not implement {' '.join(argv)!r}")


def _path(url: str) -> Path:
    return Path(url.removeprefix(_SCHEME))


def _matching(url: str) -> list[Path]:
    path = _path(url)
    paths = sorted(path.parent.glob(path.name))
    if not paths:
        raise UserError(f"{url} matched no objects")
    return paths


def _copy(sources: Sequence[str], target: str) -> None:
    for source in sources:
        path = _path(target)
        path = path / _path(source).name if target.endswith("/") else path
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_path(source), path)


def _queued_resources(argv: Sequence[str]) -> None:
    parser = CommandParser(prog="gcloud compute tpus queued-resources", allow_abbrev=False)
    parser.add_argument("verb", choices=("create", "describe", "delete"))
    parser.add_argument("name")
    for flag in (
        "project",
        "zone",
        "node-id",
        "accelerator-type",
        "runtime-version",
        "service-account",
        "format",
    ):
        parser.add_argument(f"--{flag}")
    parser.add_argument("--metadata")
    parser.add_argument("--metadata-from-file")
    for flag in ("spot", "internal-ips", "force", "quiet"):
        parser.add_argument(f"--{flag}", action="store_true")
    args = parser.parse_args(argv)
    folder = _state(args.name)
    if args.verb == "create":
        _create(args, folder)
    elif not folder.exists():
        raise UserError(f"{args.name} was not found")
    elif args.verb == "describe":
        print((folder / "state").read_text())
    else:
        for pid in (folder / "pids").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(int(pid), signal.SIGKILL)
        shutil.rmtree(folder)


def _state(name: str) -> Path:
    return Path(os.environ[STATE_VARIABLE], name)


def _create(args: argparse.Namespace, folder: Path) -> None:
    if folder.exists():
        raise UserError(f"{args.name} already exists")
    folder.mkdir(parents=True)
    metadata = dict(item.split("=", 1) for item in args.metadata.split(","))
    script = args.metadata_from_file.removeprefix("startup-script=")
    request = {"metadata": metadata, "script": Path(script).read_text(), "spot": args.spot}
    (folder / "request.json").write_text(json.dumps(request))
    (folder / "state").write_text("ACTIVE")
    with open(folder.parent / "requests.log", "a") as log:
        log.write(f"{args.name} spot={args.spot} {args.accelerator_type}\n")
    command = [sys.executable, "-m", "launch.rehearse.fake_gcloud", "vm", args.name]
    vm = subprocess.Popen(
        command,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=open(folder.parent / "vm-errors.log", "a"),  # noqa: SIM115  used by the process
    )
    (folder / "pids").write_text(f"{vm.pid}\n")


class _Vm:
    """A machine that runs its start-up script and may be preempted."""

    def __init__(self, name: str):
        self._folder = _state(name)
        request = json.loads((self._folder / "request.json").read_text())
        self._metadata, self._script = request["metadata"], request["script"]
        self._job = Job.load(self._metadata["lambert-job"])
        requests = (self._folder.parent / "requests.log").read_text().splitlines()
        self._is_preemptible = request["spot"] and len(requests) == 1
        self._is_preempted = False

    def run(self) -> None:
        """Run until the script has ended or the machine is preempted."""
        disk = self._folder / "disk"
        disk.mkdir()
        (disk / "venv").symlink_to(sys.prefix)
        archive = _path(self._metadata["lambert-job"]) / SOURCE_FILE
        (disk / "installed").write_text(
            f"{hashlib.sha256(archive.read_bytes()).hexdigest()}  -\n"  # as sha256sum prints it
        )
        script = self._folder / "startup-script"
        script.write_text(self._script)
        with self._metadata_server() as url:
            variables = {
                "LAMBERT_METADATA_URL": url,
                "LAMBERT_PREEMPTION_URL": f"{url}/preempted",
                "LAMBERT_ROOT": str(disk),
                "LAMBERT_USER": "",
                ACCELERATOR_VARIABLE: "cpu",
            }
            process = subprocess.Popen(
                ["bash", str(script)], env={**os.environ, **variables}, start_new_session=True
            )
            with open(self._folder / "pids", "a") as pids:
                pids.write(f"{process.pid}\n")
            try:
                while process.poll() is None:
                    if self._is_preemptible and self._has_reached_step():
                        self._preempt(process)
                    time.sleep(0.2)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def _has_reached_step(self) -> bool:
        metrics = _path(self._job.model_dir) / "metrics.jsonl"
        if not metrics.exists():
            return False
        steps = [json.loads(line)["step"] for line in metrics.read_text().splitlines()[:-1]]
        return max(steps, default=0) >= int(os.environ[STEP_VARIABLE])

    def _preempt(self, process: subprocess.Popen[bytes]) -> None:
        self._is_preempted = True
        deadline = time.monotonic() + _NOTICE_SECONDS
        while time.monotonic() < deadline and _SAVED not in self._log():
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        (self._folder / "state").write_text("SUSPENDED")
        for path in (self._folder / "disk/logs").glob("*.log"):
            shutil.copyfile(path, self._folder.parent / f"preempted-{path.name}")

    def _log(self) -> str:
        return "".join(path.read_text() for path in (self._folder / "disk/logs").glob("*.log"))

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


if __name__ == "__main__":
    run_main(main)
