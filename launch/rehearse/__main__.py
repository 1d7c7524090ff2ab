"""Rehearse a whole job on this machine with a fake cloud, and compare it with an undisturbed run.

    python -m launch.rehearse --data_dir D --work_dir W [--gin_file F]

launch.tpu uploads the job to a bucket (a folder) and requests a spot TPU; the start-up script copies the
data, runs the preflight and trains with two processes. In the middle the machine is preempted. launch.tpu
requests another one, the run resumes, ends, and is exported. Weights and metrics must be bit-identical to
those of the same run without interruption.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from data.cli.main import run_main
from data.errors import UserError
from launch.jobs.job import ROOT
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


def main(argv: Sequence[str]) -> None:
    """Parse the command line and run the rehearsal."""
    args = parser("launch.rehearse", __doc__ or "").parse_args(argv)
    work_dir = empty_folder(args.work_dir)
    params = [*_SETTINGS, *args.gin_param]
    settings = ["--gin_file", args.gin_file, *gin_flags(params)]
    data_dir = Path(args.data_dir).resolve()

    say("1. a run without interruption")
    whole = work_dir / "whole"
    run_module(
        *("launch.local", "--workers", str(_WORKERS), "--", *settings),
        *("--data_dir", str(data_dir), "--model_dir", str(whole)),
    )
    say("2. a job whose machine is preempted")
    cloud = work_dir / "cloud"
    _launch(settings, data_dir, work_dir, cloud)
    say("3. export of both")
    interrupted = work_dir / "bucket" / _NAME / "model"
    exports = {
        path: _sha256(export(path, work_dir / f"export-{path.parent.name}"))
        for path in (whole, interrupted)
    }
    say("4. comparison")
    _require_preemption(cloud)
    _require_equal("rows of metrics.jsonl", metric_rows(whole), metric_rows(interrupted))
    _require_equal("exported weights", *exports.values())
    print(
        f"rehearsal: {len(metric_rows(whole))} rows of metrics and all weights"
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
    run_module(
        *("launch.tpu", "run", "--poll_seconds", "1", "--work_dir", str(work_dir / "launch")),
        *settings,
        *gin_flags([f"LaunchConfig.{name} = {value!r}" for name, value in job.items()]),
        environment=environment,
    )


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


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    run_main(main)
