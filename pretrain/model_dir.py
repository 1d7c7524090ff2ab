"""What a model directory says of its run, and whether it is this run."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from data import schema
from data.errors import UserError
from data.files import write_atomically
from data.manifest import Manifest
from pretrain import config as config_module
from pretrain.config import RunConfig

RUN_FILE = "run.json"
# What may change between two starts of a run: none of it changes the numbers, but for train_steps
# (which moves the end of the schedule) and the devices (to rounding).
_FREE = {
    "train": {
        "train_steps",
        "micro_batch_size",
        "eval_batch_size",
        "steps_per_loop",
        "log_interval",
        "eval_interval",
        "checkpoint_interval",
        "keep_checkpoints",
    },
    "input": {"masks", "prefetch"},
    "cluster": {"strategy", "tpu"},
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """A run as recorded in its model directory."""

    config: RunConfig
    data_sha256: str
    lower_case: bool


def open_model_dir(model_dir: str, config: RunConfig, data_dir: str, manifest: Manifest) -> None:
    """Records a new run, or checks that the directory belongs to this one.

    Raises:
      UserError: the directory belongs to another configuration or to other data.
    """
    path = Path(model_dir, RUN_FILE)
    if path.exists():
        differences = _differences(load_run(model_dir), config, manifest)
        if differences:
            raise UserError(
                f"{model_dir} belongs to another run: {'; '.join(differences)}; choose another"
                " --model_dir, or give the settings it was started with"
            )
    elif Path(model_dir, "checkpoints").exists():
        raise UserError(
            f"{model_dir} has checkpoints but no {RUN_FILE}, so nobody knows what they belong to;"
            " choose another --model_dir"
        )
    record = {
        "config": dataclasses.asdict(config),
        "data_sha256": manifest.sha256,
        "lower_case": manifest.config.lower_case,
    }
    environment = json.dumps(describe_environment(), indent=1)
    Path(model_dir).mkdir(parents=True, exist_ok=True)
    shutil.copyfile(Path(data_dir, schema.VOCAB_FILE), Path(model_dir, schema.VOCAB_FILE))
    write_atomically(path, json.dumps(record, indent=1).encode())
    write_atomically(Path(model_dir, "config.gin"), config_module.config_text().encode())
    operative = config_module.operative_config_text()
    write_atomically(Path(model_dir, "operative_config.gin"), operative.encode())
    write_atomically(Path(model_dir, "environment.json"), environment.encode())


def load_run(model_dir: str) -> Run:
    """Reads back what `open_model_dir` recorded.

    Raises:
      UserError: there is no run in the directory.
    """
    path = Path(model_dir, RUN_FILE)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{model_dir} is not a model directory: {path} is missing; train one with"
            f" `python -m pretrain.run --model_dir {model_dir} ...`"
        ) from None
    return Run(
        config=config_module.run_config_from_dict(record["config"]),
        data_sha256=record["data_sha256"],
        lower_case=record["lower_case"],
    )


def describe_environment() -> dict:
    """Versions, machine and command, for whoever wants to repeat the run."""
    commit = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"],
        capture_output=True,
        text=True,
    )
    return {
        "command": sys.argv,
        "python": platform.python_version(),
        "machine": platform.platform(),
        "git_commit": commit.stdout.strip() or None,
        "packages": {
            distribution.metadata["Name"]: distribution.version
            for distribution in sorted(
                importlib.metadata.distributions(), key=lambda d: d.metadata["Name"].lower()
            )
        },
    }


def _differences(run: Run, config: RunConfig, manifest: Manifest) -> list[str]:
    found = []
    for part in dataclasses.fields(RunConfig):
        old, new = getattr(run.config, part.name), getattr(config, part.name)
        for field in dataclasses.fields(old):
            values = getattr(old, field.name), getattr(new, field.name)
            if values[0] != values[1] and field.name not in _FREE.get(part.name, ()):
                name = f"{type(old).__name__}.{field.name}"
                found.append(f"{name} is {values[0]} there and {values[1]} now")
    if run.data_sha256 != manifest.sha256:
        found.append(
            f"its data has manifest {run.data_sha256[:8]}, --data_dir has {manifest.sha256[:8]}"
        )
    return found
