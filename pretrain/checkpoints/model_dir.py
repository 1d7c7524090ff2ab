"""What a model directory says of its run, and whether it is this run."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data import files, schema
from data.errors import UserError
from pretrain.gin_files import config_text, operative_config_text, run_config_from_dict

RUN_FILE = "run.json"
DATA_FILE = "data.json"
_LOCK_FILE = ".lock"
# What may change between two starts of a run. The batches stay the same; train_steps moves the end
# of the schedule, how and where a step is computed changes the numbers by rounding, and the threshold
# of spikes decides which steps are passed over.
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
        "keep_every",
        "wandb_project",
        "max_bad_steps",
        "spike_threshold",
    },
    "input": {"masks", "prefetch", "reader"},
    "cluster": {"strategy", "tpu"},
    # Of fine-tuning: when to look, and how answers are read off the outputs.
    "finetune": {"epochs", "evaluations", "collapse_check_fraction", "collapse_margin"},
    "task": {"max_answer_length", "n_best_size"},
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """A run as recorded in its model directory.

    Attributes:
      config: all settings: a RunConfig, or those of another kind of run.
      data_sha256: names the data.
      lower_case: whether their text is lower-cased.
      initial_sha256: of weights that it starts from; None if it starts from fresh ones.
    """

    config: Any
    data_sha256: str
    lower_case: bool
    initial_sha256: str | None = None


@contextlib.contextmanager
def locked(model_dir: str) -> Iterator[None]:
    """Keeps other runs out of the directory; the lock ends with the process, however that ends.

    Storage with a scheme such as gs:// has no locks: there it is up to the user.

    Raises:
      UserError: another process holds the lock.
    """
    if files.is_remote(model_dir):
        yield
        return
    os.makedirs(model_dir, exist_ok=True)
    with open(files.join(model_dir, _LOCK_FILE), "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise UserError(
                f"{model_dir} is in use by {file.read().strip() or 'another process'}; wait for its"
                " end or stop it, or choose another --model_dir"
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}")
        file.flush()
        yield


def check_model_dir(model_dir: str, run: Run) -> None:
    """Says which settings have changed since the directory was used last.

    Raises:
      UserError: the directory belongs to another run.
    """
    if files.exists(files.join(model_dir, RUN_FILE)):
        before = load_run(model_dir, type(run.config))
        refused, allowed = _differences(before.config, run.config)
        if before.data_sha256 != run.data_sha256:
            refused.append(
                f"its data has sha256 {before.data_sha256[:8]}, the data given {run.data_sha256[:8]}"
            )
        if before.initial_sha256 != run.initial_sha256:
            refused.append("it started from other weights than initial/ or --encoder gives now")
        if refused:
            raise UserError(
                f"{model_dir} belongs to another run: {'; '.join(refused)}; choose another"
                " --model_dir, or give the settings it was started with"
            )
        if allowed:
            print(f"training: going on with other settings: {'; '.join(allowed)}")
    elif files.exists(files.join(model_dir, "checkpoints")):
        raise UserError(
            f"{model_dir} has checkpoints but no {RUN_FILE}, so nobody knows what they belong to;"
            " choose another --model_dir"
        )


def record_run(model_dir: str, run: Run, *, vocab_text: str, data: dict) -> None:
    """Writes down what the directory belongs to.

    Args:
      model_dir: the directory.
      run: the run.
      vocab_text: content of the vocabulary file.
      data: what the data is, for whoever has the run and not the data.
    """
    for name, content in {
        schema.VOCAB_FILE: vocab_text,
        "config.gin": config_text(),
        "operative_config.gin": operative_config_text(),
        DATA_FILE: json.dumps(data, indent=1),
        "environment.json": json.dumps(describe_environment(), indent=1),
        RUN_FILE: json.dumps(dataclasses.asdict(run), indent=1),  # last: it declares the others
    }.items():
        files.write_atomically(files.join(model_dir, name), content.encode())


def identity(run: Run) -> dict[str, str]:
    """Hashes of data and of all settings that may not change, for the records of checkpoints.

    A setting at its default is left out: a setting that is new in a later version of this program
    changes no hash of a run that does not use it.
    """
    fixed = {}
    for part in dataclasses.fields(run.config):
        settings = getattr(run.config, part.name)
        for field in dataclasses.fields(settings):
            value = getattr(settings, field.name)
            if field.name not in _FREE.get(part.name, ()) and value != field.default:
                fixed[f"{part.name}.{field.name}"] = value
    text = json.dumps(fixed, sort_keys=True)
    return {
        "config_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "data_sha256": run.data_sha256,
    }


def load_run(model_dir: str, kind: type) -> Run:
    """Reads back what `record_run` recorded.

    Args:
      model_dir: the directory.
      kind: dataclass of its settings: RunConfig for pretraining.

    Raises:
      UserError: there is no run of this kind in the directory.
    """
    path = files.join(model_dir, RUN_FILE)
    try:
        record = json.loads(files.read_bytes(path))
    except FileNotFoundError:
        raise UserError(
            f"{model_dir} is not a model directory: {path} is missing; train one with"
            f" `python -m pretrain.run --model_dir {model_dir} ...`"
        ) from None
    except ValueError as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    try:
        if ("task" in record["config"]) != ("task" in {f.name for f in dataclasses.fields(kind)}):
            made_by = "finetune.run" if "task" in record["config"] else "pretrain.run"
            raise UserError(f"{model_dir} is a model directory of {made_by}; choose another one")
        record["config"] = run_config_from_dict(record["config"], kind)
        return Run(**record)
    except UserError:
        raise
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is of another version of this program: {error!r}") from error


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


def _git_commit() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None  # no git, or not a checkout


def _differences(before, now) -> tuple[list[str], list[str]]:
    """What differs between two configurations and must not, and what differs and may."""
    refused, allowed = [], []
    for part in dataclasses.fields(now):
        old, new = getattr(before, part.name), getattr(now, part.name)
        for field in dataclasses.fields(old):
            was, is_now = getattr(old, field.name), getattr(new, field.name)
            if was != is_now:
                may_change = field.name in _FREE.get(part.name, ())
                name = f"{type(old).__name__}.{field.name}"
                (allowed if may_change else refused).append(
                    f"{name} is {was} there and {is_now} now"
                )
    return refused, allowed
