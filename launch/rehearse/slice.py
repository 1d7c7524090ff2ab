"""Rehearse jobs on a TPU slice of several hosts on this machine, with a fake cloud and CPUs as TPU cores.

    python -m launch.rehearse.slice --data_dir D --work_dir W [--accelerator v5litepod-16]

As root every host has a network and a disk of its own. Three jobs are launched by launch.tpu:

1. A host other than the first gets a preemption notice: all hosts save and end, and another slice resumes.
   There a host vanishes without a word, and later another one is killed; both boot again, and the run
   resumes twice. Weights and metrics must be bit-identical to those of an undisturbed run on one host with as
   many devices, and equal those of one process, which adds up in another order, up to rounding.
2. The disk of a host is full: the job ends and names the host.
3. The package of a host differs: the job ends before the first step and names the host.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from data.cli.main import run_main
from data.errors import UserError
from launch.accelerators.tpu_types import hosts_of
from launch.jobs.job import ROOT
from launch.rehearse import network
from launch.rehearse.fake_gcloud import install
from launch.rehearse.fake_vm import FAULTS_VARIABLE, STATE_VARIABLE
from launch.rehearse.shared import (
    empty_folder,
    export,
    gin_flags,
    metric_rows,
    parser,
    run_module,
    say,
)
from launch.slice.host import tpu_address
from launch.slice.processes import READY
from launch.slice.settings import CPUS_VARIABLE, SERVER_PORT_VARIABLE, TIMES_VARIABLE
from launch.worker.stage import stage

_SETTINGS = (
    "TrainConfig.train_steps = 36",
    "TrainConfig.log_interval = 2",
    "TrainConfig.eval_interval = 18",
    "TrainConfig.checkpoint_interval = 4",
    "TrainConfig.steps_per_loop = 1",
    "TrainConfig.global_batch_size = 16",
    "TrainConfig.eval_batch_size = 32",
    "EncoderConfig.hidden_dropout_prob = 0.1",
    "OptimizerConfig.warmup_steps = 4",
)
_CPUS = 2  # of each host
# The machines of a rehearsal share two cores, so that even heartbeats are late.
_TIMES = "beat=0.5,lost=20,join=300,server=240,save=120,wait=1,report=1"
_JOB_SECONDS = 3600
_MOST_LOSS_DIFFERENCE = 1e-4  # relative
_MOST_WEIGHT_DIFFERENCE = 1e-4  # relative to the norm of each variable
# Smaller norms count as this: biases of keys have no gradient but rounding, because softmax ignores them.
_SMALLEST_NORM = 0.1


def main(argv: Sequence[str]) -> None:
    """Parse the command line and run the rehearsal."""
    flags = parser("launch.rehearse.slice", __doc__ or "")
    flags.add_argument("--accelerator", default="v5litepod-16", help="TPU type", metavar="A")
    args = flags.parse_args(argv)
    work_dir = empty_folder(args.work_dir)
    num_hosts = hosts_of(args.accelerator)
    if num_hosts < 2:
        raise UserError(f"--accelerator {args.accelerator}: must be a slice of several hosts")
    settings = ["--gin_file", args.gin_file, *gin_flags([*_SETTINGS, *args.gin_param])]
    with network.namespaces(num_hosts) as variables:
        os.environ.update(variables)
        place = "in network namespaces" if network.has_namespaces() else "on loopback"
        say(f"{num_hosts} hosts with {_CPUS} devices each, {place}")
        cloud = _Cloud(work_dir, Path(args.data_dir).resolve(), settings, args.accelerator)
        _rehearse_faults(cloud, num_hosts - 1)
        if network.has_namespaces():
            _rehearse_refusal(
                cloud, "full-disk", "full_disk", num_hosts - 1, "bytes free, the data"
            )
        else:
            say("the full disk is left out: it needs root")
        _rehearse_refusal(
            cloud, "other-package", "other_package", num_hosts - 1, "differs from host 0: package"
        )
    say("passed")


class _Cloud:
    """A fake cloud in a folder, and jobs on it."""

    def __init__(self, work_dir: Path, data_dir: Path, settings: list[str], accelerator: str):
        self.work_dir, self.data_dir, self.settings = work_dir, data_dir, settings
        self._accelerator, self._state = accelerator, work_dir / "cloud"
        self._state.mkdir(parents=True)
        install(work_dir / "bin")
        # Without disks of their own, the hosts must not fill the same folder at once.
        if not network.has_namespaces():
            stage(f"file://{data_dir}", str(work_dir / "scratch"))

    def launch(
        self, name: str, faults: Sequence[Mapping[str, object]]
    ) -> subprocess.CompletedProcess[str]:
        """Run a job to its end with `launch.tpu run`, print its output, and return it."""
        job = {
            "name": name,
            "project": "some-project",
            "zone": "us-west4-a",
            "service_account": "lambert-train",
            "bucket": f"file://{self.work_dir}/bucket",
            "data_dir": f"file://{self.data_dir}",
            "scratch_dir": str(self.work_dir / "scratch"),
            "accelerator": self._accelerator,
            "spot": True,
        }
        variables = {
            "PATH": f"{self.work_dir}/bin:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            STATE_VARIABLE: str(self._state),
            FAULTS_VARIABLE: json.dumps(faults),
            TIMES_VARIABLE: _TIMES,
            CPUS_VARIABLE: str(_CPUS),
            # On loopback the hosts share the ports of this machine.
            **({} if network.has_namespaces() else {SERVER_PORT_VARIABLE: "0"}),
        }
        params = [f"LaunchConfig.{key} = {value!r}" for key, value in job.items()]
        command = [
            *(sys.executable, "-m", "launch.tpu", "run", "--poll_seconds", "5"),
            *("--work_dir", str(self.work_dir / "launch"), *self.settings),
            *gin_flags([*params, "ClusterConfig.strategy = 'stand_in'"]),
        ]
        process = subprocess.run(
            command,
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_JOB_SECONDS,
        )
        print(process.stdout, end="", flush=True)
        return process

    def job_dir(self, name: str) -> Path:
        """Return the directory of a job."""
        return self.work_dir / "bucket" / name

    def logs(self, name: str) -> str:
        """Return the logs of all hosts of a job."""
        paths = sorted((self.job_dir(name) / "logs").glob("*.log"))
        return "\n".join(path.read_text() for path in paths)


def _rehearse_faults(cloud: _Cloud, last_host: int) -> None:
    say("1. a run in one process, and one on a slice of one host, without interruption")
    whole, one_host = cloud.work_dir / "whole", cloud.work_dir / "one-host"
    run_module(
        *("pretrain.run", *cloud.settings),
        *("--data_dir", str(cloud.data_dir), "--model_dir", str(whole)),
    )
    _run_on_one_host(cloud, one_host, (last_host + 1) * _CPUS)
    say("2. a slice with a notice; another one with a host that vanishes and a host that is killed")
    name, other_host = "faults", max(last_host - 1, 1)
    faults = [
        {"request": 1, "host": last_host, "kind": "notice", "step": 6},
        {"request": 2, "host": other_host, "kind": "vanish", "step": 14},
        {"request": 2, "host": last_host, "kind": "kill", "step": 24},
    ]
    done = cloud.launch(name, faults)
    if done.returncode:
        raise UserError(f"launch.tpu ended with exit code {done.returncode}; see {cloud.work_dir}")
    logs = cloud.logs(name)
    for text in ("has the preemption notice", "stopped after step", "not a word for"):
        _require(text in logs, f"the logs lack {text!r}")
    _require(logs.count("failure 1 of") >= 2, "the logs lack two failures, each after a checkpoint")
    say("3. comparison")
    model_dir = cloud.job_dir(name) / "model"
    rows = {path: metric_rows(path) for path in (whole, one_host, model_dir)}
    weights = {path: export(path, path.parent / f"{path.name}-export") for path in rows}
    _require(rows[one_host] == rows[model_dir], "metrics differ from those of one host")
    _require(
        weights[one_host].read_bytes() == weights[model_dir].read_bytes(),
        "weights differ from those of one host",
    )
    say("metrics and weights are bit-identical to those of one host with as many devices")
    loss = _loss_difference(rows[whole], rows[model_dir])
    change = _weight_difference(weights[whole], weights[model_dir])
    _require(loss <= _MOST_LOSS_DIFFERENCE, f"losses differ by up to {loss:.1e}")
    _require(change <= _MOST_WEIGHT_DIFFERENCE, f"weights differ by up to {change:.1e}")
    say(
        f"from one process losses differ by at most {loss:.1e}, weights by {change:.1e} of their norm"
    )


def _run_on_one_host(cloud: _Cloud, model_dir: Path, num_devices: int) -> None:
    """Run on a host that has as many devices as the whole slice, and in place of chips CPUs, too."""
    command = [sys.executable, "-m", "launch.slice.server", "--cpus", str(num_devices)]
    with subprocess.Popen(
        [*command, "--port", "0", "--host", "0", "--addresses", "127.0.0.1"],
        stdin=subprocess.PIPE,  # the server ends when it is closed
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        try:
            ready = next((line for line in server.stdout or () if line.startswith(READY)), "")
            _require(bool(ready), "the TensorFlow server of one host did not start")
            tpu = tpu_address([ready.split()[1]])
            params = ["ClusterConfig.strategy = 'stand_in'", f"ClusterConfig.tpu = '{tpu}'"]
            run_module(
                *("pretrain.run", *cloud.settings, *gin_flags(params)),
                *("--data_dir", str(cloud.data_dir), "--model_dir", str(model_dir)),
            )
        finally:
            server.kill()


def _rehearse_refusal(cloud: _Cloud, name: str, kind: str, host: int, text: str) -> None:
    say(f"{name}: host {host} is to be refused")
    done = cloud.launch(name, [{"request": 1, "host": host, "kind": kind}])
    lines = [line for line in done.stdout.splitlines() if line.startswith("error: ")]
    named = [line for line in lines if f"host {host}" in line and text in line]
    _require(bool(done.returncode and named), f"the job did not end with {text!r}")
    metrics = cloud.job_dir(name) / "model/metrics.jsonl"
    _require(not metrics.exists(), "the run started")


def _loss_difference(whole: list[dict[str, Any]], other: list[dict[str, Any]]) -> float:
    """Return the largest relative difference of losses; infinite if steps or names of metrics differ."""
    if [(row["step"], row.keys()) for row in whole] != [(r["step"], r.keys()) for r in other]:
        return math.inf
    pairs = [
        (row[name], match[name])
        for row, match in zip(whole, other, strict=True)
        for name in row
        if name.endswith("loss")
    ]
    return max((abs(a - b) / abs(a) for a, b in pairs), default=math.inf)


def _weight_difference(whole: Path, other: Path) -> float:
    """Return the largest norm of a difference, relative to the norm of the variable."""
    first, second = (load_file(path) for path in (whole, other))
    norms = {name: float(np.linalg.norm(array)) for name, array in first.items()}
    return max(
        float(np.linalg.norm(first[name] - second[name])) / max(norm, _SMALLEST_NORM)
        for name, norm in norms.items()
    )


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise UserError(f"the rehearsal failed: {problem}; logs are below --work_dir")


if __name__ == "__main__":
    run_main(main)
