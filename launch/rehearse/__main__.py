"""Rehearse a whole job on this machine with a fake cloud, and compare it with an undisturbed run.

    python -m launch.rehearse --data_dir D --work_dir W [--gin_file F]

launch.tpu uploads the job to a bucket (a folder) and requests a spot TPU; the start-up script copies the
data, runs the preflight and trains with two processes. In the middle the machine is preempted. launch.tpu
requests another one, the run resumes, ends, and is exported. Weights and metrics must be bit-identical to
those of the same run without interruption.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.cli.main import run_main
from data.cli.parser import CommandParser
from data.errors import UserError
from launch.jobs.job import ROOT
from launch.rehearse.fake_gcloud import install
from launch.rehearse.fake_vm import FAULTS_VARIABLE, STATE_VARIABLE
from pretrain.train.metrics_log import CLOCK_METRICS

_NAME = "rehearsal"
_WORKERS = 2
# With gin/lambert_tiny.gin and sequences of 512 tokens: long enough to be interrupted in the middle.
_SETTINGS = (
    "TrainConfig.train_steps = 60",
    "TrainConfig.log_interval = 5",
    "TrainConfig.eval_interval = 30",
    "TrainConfig.checkpoint_interval = 20",
    "TrainConfig.steps_per_loop = 1",
    "EncoderConfig.hidden_dropout_prob = 0.1",
    "OptimizerConfig.warmup_steps = 10",
)
_PREEMPTION = {"request": 1, "host": 0, "kind": "notice", "step": 15}
# Metrics that depend on the clock.


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="python -m launch.rehearse",
        description=__doc__,
    )
    parser.add_argument("--data_dir", required=True, help="small build, as of gin/data_tiny.gin")
    parser.add_argument("--work_dir", required=True, help="empty folder", metavar="W")
    parser.add_argument(
        "--gin_file", default="gin/lambert_tiny.gin", help="settings of the run", metavar="F"
    )
    parser.add_argument(
        "--gin_param",
        action="append",
        default=[],
        help="in addition to those of the rehearsal",
        metavar="P",
    )
    return parser


def main(argv: Sequence[str]) -> None:
    """Parse the command line and run the rehearsal."""
    args = _parser().parse_args(argv)
    work_dir = Path(args.work_dir).resolve()
    if work_dir.exists() and any(work_dir.iterdir()):
        raise UserError(f"--work_dir {work_dir}: must be empty; remove it or choose another one")
    params = [*_SETTINGS, *args.gin_param]
    settings = ["--gin_file", args.gin_file, *_flags(params)]
    data_dir = Path(args.data_dir).resolve()

    _say("1. a run without interruption")
    whole = work_dir / "whole"
    _python(
        *("launch.local", "--workers", str(_WORKERS), "--", *settings),
        *("--data_dir", str(data_dir), "--model_dir", str(whole)),
    )
    _say("2. a job whose machine is preempted")
    cloud = work_dir / "cloud"
    _launch(settings, data_dir, work_dir, cloud)
    _say("3. export of both")
    interrupted = work_dir / "bucket" / _NAME / "model"
    exports = {
        path: _export(path, work_dir / f"export-{path.parent.name}")
        for path in (whole, interrupted)
    }
    _say("4. comparison")
    _require_preemption(cloud)
    _require_equal("rows of metrics.jsonl", _rows(whole), _rows(interrupted))
    _require_equal("exported weights", *exports.values())
    print(
        f"rehearsal: {len(_rows(whole))} rows of metrics and all weights"
        f" (sha256 {exports[whole][:12]}) are bit-identical"
    )


def _launch(settings: list[str], data_dir: Path, work_dir: Path, cloud: Path) -> None:
    install(work_dir / "bin")
    job = {
        "name": _NAME,
        "project": "some-project",
        "zone": "us-west4-a",
        "service_account": "lambert-train",
        "bucket": f"file://{work_dir}/bucket",
        "data_dir": f"file://{data_dir}",
        "scratch_dir": str(work_dir / "scratch"),
        "accelerator": "v5litepod-1",  # one device, which any batch size divides
        "spot": True,
        "processes": _WORKERS,
    }
    environment = {
        "PATH": f"{work_dir}/bin:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        STATE_VARIABLE: str(cloud),
        FAULTS_VARIABLE: json.dumps([_PREEMPTION]),
    }
    cloud.mkdir(parents=True)
    _python(
        *("launch.tpu", "run", "--poll_seconds", "1", "--work_dir", str(work_dir / "launch")),
        *settings,
        *_flags([f"LaunchConfig.{name} = {value!r}" for name, value in job.items()]),
        environment=environment,
    )


def _export(model_dir: Path, target: Path) -> str:
    """Return the sha256 of the exported weights."""
    _python(
        *("pretrain.export", "--model_dir", str(model_dir)),
        *("--output_dir", str(target), "--hf_dir", f"{target}-hf"),
    )
    weights = Path(f"{target}-hf", "model.safetensors").read_bytes()
    return hashlib.sha256(weights).hexdigest()


def _require_preemption(cloud: Path) -> None:
    """Raise a UserError unless there were two machines and the first one saved and stopped."""
    requests = (cloud / f"requests-{_NAME}.log").read_text().splitlines()
    lines = [
        line
        for path in cloud.glob("preempted-*.log")
        for line in path.read_text().splitlines()
        if "worker 0: pretraining: stopped after step" in line
    ]
    if len(requests) != 2 or not lines:
        raise UserError(
            f"the rehearsal requested {len(requests)} machines instead of 2, or the first one did not"
            f" save; their logs are in {cloud}"
        )
    print(f"rehearsal: first of two machines: {lines[0]}")


def _require_equal(name: str, whole: object, interrupted: object) -> None:
    if whole != interrupted:
        raise UserError(
            f"the {name} differ:\n  without interruption: {whole}\n  with interruption: {interrupted}"
        )


def _rows(model_dir: Path) -> list[dict[str, Any]]:
    rows = map(json.loads, (model_dir / "metrics.jsonl").read_text().splitlines())
    return [{name: row[name] for name in row.keys() - CLOCK_METRICS} for row in rows]


def _flags(params: Sequence[str]) -> list[str]:
    return [flag for param in params for flag in ("--gin_param", param)]


def _python(module: str, *arguments: str, environment: dict[str, str] | None = None) -> None:
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, env={**os.environ, **(environment or {})}, check=False)
    if done.returncode:
        raise UserError(f"{module} failed with exit code {done.returncode}; its output is above")


def _say(text: str) -> None:
    print(f"rehearsal: {text}", flush=True)


if __name__ == "__main__":
    run_main(main)
