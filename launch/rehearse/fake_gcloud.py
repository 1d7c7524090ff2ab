"""A fake gcloud on this machine: storage in folders, and TPUs whose hosts are processes.

`install` writes it into a folder as `gcloud`. It implements the few commands that launch.tpu and
tpu_startup.sh use, refuses all others, and keeps its state in the folder FAKE_GCLOUD_STATE. Every host of a
TPU is a machine of fake_vm.py.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from data.cli.main import run_main
from data.cli.parser import CommandParser
from data.errors import UserError
from launch.accelerators.tpu_types import hosts_of
from launch.jobs.job import ROOT
from launch.rehearse import network
from launch.rehearse.fake_vm import STATE_VARIABLE, Vm, local_path, processes_of


def install(folder: Path) -> None:
    """Write `gcloud` into a folder that is to be on PATH."""
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "gcloud"
    script.write_text(
        f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m launch.rehearse.fake_gcloud "$@"\n'
    )
    script.chmod(0o755)


def main(argv: Sequence[str]) -> None:
    """Run a command of gcloud, or `vm NAME HOST`, which runs a machine to its end."""
    if argv[:1] == ["vm"]:
        Vm(_state(argv[1]), int(argv[2])).run()
    elif argv[:2] == ["storage", "cp"]:
        _copy(argv[2:-1], argv[-1])
    elif argv[:2] == ["storage", "cat"]:
        for path in _matching(argv[2]):
            sys.stdout.write(path.read_text())
    elif argv[:3] == ["compute", "tpus", "queued-resources"]:
        _queued_resources(argv[3:])
    else:
        raise UserError(f"fake gcloud does not implement {' '.join(argv)!r}")


def _matching(url: str) -> list[Path]:
    path = local_path(url)
    paths = sorted(path.parent.glob(path.name))
    if not paths:
        raise UserError(f"{url} matched no objects")
    return paths


def _copy(sources: Sequence[str], target: str) -> None:
    for source in sources:
        path = local_path(target)
        path = path / local_path(source).name if target.endswith("/") else path
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(local_path(source), path)


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
        "tags",
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
        for process in processes_of(folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        shutil.rmtree(folder)


def _state(name: str) -> Path:
    return Path(os.environ[STATE_VARIABLE], name)


def _create(args: argparse.Namespace, folder: Path) -> None:
    if folder.exists():
        raise UserError(f"{args.name} already exists")
    folder.mkdir(parents=True)
    metadata = dict(item.split("=", 1) for item in args.metadata.split(","))
    script = args.metadata_from_file.removeprefix("startup-script=")
    num_hosts = hosts_of(args.accelerator_type)
    with open(folder.parent / f"requests-{args.name}.log", "a+") as log:
        log.seek(0)
        number = len(log.readlines()) + 1
        log.write(f"{args.name} spot={args.spot} {args.accelerator_type}\n")
    request = {
        "metadata": metadata,
        "script": Path(script).read_text(),
        "number": number,
        "addresses": [network.address(host) for host in range(num_hosts)],
    }
    (folder / "request.json").write_text(json.dumps(request))
    (folder / "state").write_text("ACTIVE")
    for host in range(num_hosts):
        command = [sys.executable, "-m", "launch.rehearse.fake_gcloud", "vm", args.name, str(host)]
        vm = subprocess.Popen(
            network.inside(host, command) if num_hosts > 1 else command,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=open(folder.parent / "vm-errors.log", "a"),  # noqa: SIM115  used by the process
        )
        with open(folder / "pids", "a") as pids:
            pids.write(f"{vm.pid}\n")


if __name__ == "__main__":
    run_main(main)
