"""What a model directory says of its run, and whether it is this run."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import platform
import subprocess
import sys
from pathlib import Path

from data import accounting, schema
from data.errors import UserError
from data.files import write_atomically
from data.manifest import Manifest
from pretrain import config as config_module
from pretrain.config import RunConfig
from pretrain.initial import Initial

RUN_FILE = "run.json"
DATA_FILE = "data.json"
# What may change between two starts of a run. The batches stay the same; train_steps moves the end
# of the schedule, and how and where a step is computed changes the numbers by rounding.
_FREE = {
    "train": {
        "train_steps",
        "micro_batch_size",
        "rematerialize_blocks",
        "logits_chunk_size",
        "jit_compile",
        "eval_batch_size",
        "steps_per_loop",
        "log_interval",
        "eval_interval",
        "checkpoint_interval",
        "keep_checkpoints",
        "wandb_project",
    },
    "input": {"masks", "prefetch", "reader"},
    "cluster": {"strategy", "tpu"},
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """A run as recorded in its model directory."""

    config: RunConfig
    data_sha256: str
    lower_case: bool
    initial_sha256: str | None = None


def check_model_dir(model_dir: str, config: RunConfig, manifest: Manifest) -> None:
    """Raises a UserError if the directory belongs to another configuration or to other data."""
    if Path(model_dir, RUN_FILE).exists():
        run = load_run(model_dir)
        differences = _differences(run, config, manifest)
        if run.initial_sha256 != _initial_sha256(model_dir):
            differences.append("the weights in initial/ are not those it started from")
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


def record_run(model_dir: str, config: RunConfig, data_dir: str, manifest: Manifest) -> None:
    """Writes down what the directory belongs to."""
    directory = Path(model_dir)
    directory.mkdir(parents=True, exist_ok=True)
    vocab = Path(data_dir, schema.VOCAB_FILE).read_bytes()
    record = {
        "config": dataclasses.asdict(config),
        "data_sha256": manifest.sha256,
        "lower_case": manifest.config.lower_case,
        "initial_sha256": _initial_sha256(model_dir),
    }
    for name, content in {
        schema.VOCAB_FILE: vocab,
        "config.gin": config_module.config_text().encode(),
        "operative_config.gin": config_module.operative_config_text().encode(),
        DATA_FILE: json.dumps(describe_data(manifest), indent=1).encode(),
        "environment.json": json.dumps(describe_environment(), indent=1).encode(),
        RUN_FILE: json.dumps(record, indent=1).encode(),  # last: it declares the others
    }.items():
        write_atomically(directory / name, content)


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
    except ValueError as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    try:
        record["config"] = config_module.run_config_from_dict(record["config"])
        return Run(**record)
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is of another version of this program: {error!r}") from error


def describe_data(manifest: Manifest) -> dict:
    """What the data is, for whoever has the run and not the build."""
    splits = {
        split: {
            "sequences": manifest.num_sequences(split),
            "tokens": sum(shard.tokens for shard in manifest.split(split)),
            "documents": sum(shard.documents for shard in manifest.split(split)),
        }
        for split in schema.SPLITS
    }
    packed = {
        source: {
            unit: counts.get(f"{unit}_{accounting.PACKED}", 0)
            for unit in ("documents", "tokens", "bytes")
        }
        for source, counts in manifest.accounts.items()
    }
    return {
        "sha256": manifest.sha256,
        "splits": splits,
        "sources": packed,
        "vocab_pieces": manifest.vocab_pieces,
        "vocab_sha256": manifest.vocab_sha256,
        "build": dataclasses.asdict(manifest.config),
    }


def describe_environment() -> dict:
    """Versions, machine and command, for whoever wants to repeat the run."""
    distributions = {
        distribution.metadata["Name"]: distribution.version
        for distribution in importlib.metadata.distributions()
        if distribution.metadata["Name"]  # a broken installation has none
    }
    return {
        "command": sys.argv,
        "python": platform.python_version(),
        "machine": platform.platform(),
        "git_commit": _git_commit(),
        "packages": dict(sorted(distributions.items(), key=lambda item: item[0].lower())),
    }


def _initial_sha256(model_dir: str) -> str | None:
    """Which imported weights the directory starts from."""
    initial = Initial.load(model_dir)
    return initial.weights_sha256 if initial else None


def _git_commit() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None  # no git, or not a checkout


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
