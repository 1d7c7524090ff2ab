"""The record of a run in its model directory, and the check that a start continues that run."""

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
from typing import TYPE_CHECKING, Any

from absl import logging

from data import files, schema
from data.checked_json import read_json
from data.errors import UserError
from pretrain.gin_files import config_text, operative_config_text, run_config_from_dict

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

RUN_FILE = "run.json"
DATA_FILE = "data.json"
ENVIRONMENT_FILE = "environment.json"
_LOCK_FILE = ".lock"
# Settings that may change when a run resumes. The batches stay the same. train_steps moves the end of
# the schedule, how and where a step is computed changes numbers by rounding, and spike_threshold decides
# which steps are skipped.
_FREE = {
    "train": {
        "train_steps",
        "micro_batch_size",
        "rematerialize_blocks",
        "logits_chunk_size",
        "jit_compile",
        "attention",
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
    "optimizer": {"shard"},
    "cluster": {"strategy", "tpu", "deterministic"},
    # Fine-tuning: when to check, and how answers are decoded.
    "finetune": {"epochs", "evaluations", "collapse_check_fraction", "collapse_margin"},
    "task": {"max_answer_length", "n_best_size"},
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """The identity of a run, as recorded in its model directory.

    Attributes:
      config: all settings: a RunConfig, or the settings of another kind of run.
      data_sha256: hash that identifies the data.
      lower_case: whether the text is lower-cased.
      initial_sha256: hash of the weights that the run starts from; None if it starts at random.
    """

    config: Any
    data_sha256: str
    lower_case: bool
    initial_sha256: str | None = None


_RUN_FIELDS = {field.name for field in dataclasses.fields(Run)}


@contextlib.contextmanager
def locked(model_dir: str) -> Iterator[None]:
    """Lock the directory against other runs. The lock ends with the process, however that ends.

    Storage with a scheme such as gs:// has no locks and is left unlocked.

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
                f"{model_dir} is in use by {file.read().strip() or 'another process'}; wait until it"
                " ends, stop it, or choose another --model_dir"
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}")
        file.flush()
        yield


class Presence:
    """The check that a model directory is still the one that the run started in."""

    def __init__(self, model_dir: str):
        """Remember the directory, which has the record of its run."""
        self._model_dir, self._identity = model_dir, _file_identity(model_dir)

    @property
    def is_there(self) -> bool:
        """Whether the directory has been neither moved, nor removed, nor emptied."""
        return _file_identity(self._model_dir) == self._identity and files.exists(
            files.join(self._model_dir, RUN_FILE)
        )

    def require(self) -> None:
        """Raise a UserError unless the directory is still there."""
        if not self.is_there:
            raise UserError(
                f"{self._model_dir} was moved, removed or emptied during the run; nothing more is"
                " written: bring it back and run the same command again to resume"
            )


def _file_identity(path: str) -> tuple[int, int] | None:
    """Return device and inode of a local directory; None for storage with a scheme."""
    if files.is_remote(path):
        return None
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return (0, 0)
    return status.st_dev, status.st_ino


def check_model_dir(model_dir: str, run: Run) -> None:
    """Check that a directory is new or belongs to a run, and print which settings have changed.

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
            refused.append("it started from other weights than those in initial/ or --encoder")
        if refused:
            raise UserError(
                f"{model_dir} belongs to another run: {'; '.join(refused)}; choose another"
                " --model_dir, or use the settings it was started with"
            )
        if allowed:
            logging.info(f"training: resuming with changed settings: {'; '.join(allowed)}")
    elif files.exists(files.join(model_dir, "checkpoints")):
        raise UserError(
            f"{model_dir} has checkpoints but no {RUN_FILE}, so their run is unknown; choose another"
            " --model_dir"
        )


def record_run(model_dir: str, run: Run, *, vocab_text: str, data: dict[str, Any]) -> None:
    """Write the record of a run into its directory.

    Args:
      model_dir: model directory.
      run: settings and data of the run.
      vocab_text: content of the vocabulary file.
      data: summary of the data, for readers of the run who lack the data.
    """
    for name, content in {
        schema.VOCAB_FILE: vocab_text,
        "config.gin": config_text(),
        "operative_config.gin": operative_config_text(),
        DATA_FILE: json.dumps(data, indent=1),
        ENVIRONMENT_FILE: json.dumps(describe_environment(), indent=1),
        RUN_FILE: json.dumps(dataclasses.asdict(run), indent=1),  # last: it implies the others
    }.items():
        files.write_atomically(files.join(model_dir, name), content.encode())


def identity(run: Run) -> dict[str, str]:
    """Return hashes of the data and of all settings that may not change, for commit records.

    Settings at their defaults are left out, so that a setting added in a later version does not change
    the hash of runs that do not use it.
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
    """Read what `record_run` wrote.

    Args:
      model_dir: model directory.
      kind: dataclass of its settings: RunConfig for pretraining.

    Raises:
      UserError: there is no run of this kind in the directory.
    """
    path = files.join(model_dir, RUN_FILE)
    try:
        record = read_json(path, remedy="bring it back from a backup or choose another --model_dir")
    except FileNotFoundError:
        raise UserError(
            f"{model_dir} is not a model directory: {path} is missing; train one with"
            f" `python -m pretrain.run --model_dir {model_dir} ...`"
        ) from None
    parts = record.mapping("config")
    names = [field.name for field in dataclasses.fields(kind)]
    if ("task" in parts) != ("task" in names):
        made_by = "finetune.run" if "task" in parts else "pretrain.run"
        raise UserError(f"{model_dir} is a model directory made by {made_by}; choose another one")
    unknown = sorted({*parts.fields} - {*names}) + sorted({*record.fields} - _RUN_FIELDS)
    if unknown:
        raise UserError(
            f"{path} was written by another version of this program: it has {unknown[0]!r:.60}"
        )
    settings = {name: parts.mapping(name).fields for name in names}
    try:
        config: Any = run_config_from_dict(settings, kind)
    except UserError as error:  # not a setting of this start
        raise record.damaged(str(error)) from error
    except KeyError as error:
        raise UserError(
            f"{path} was written by another version of this program: it has {error!s:.60}"
        ) from None
    return Run(
        config=config,
        data_sha256=record.text("data_sha256"),
        lower_case=record.boolean("lower_case"),
        initial_sha256=record.text("initial_sha256", default=None),
    )


def read_data(model_dir: str) -> dict[str, Any] | None:
    """Return data.json of a pretraining run; None if an older version started the run.

    Raises:
      DamagedRecord: a field is missing or has a wrong type.
    """
    path = files.join(model_dir, DATA_FILE)
    if not files.exists(path):
        return None
    record = read_json(path, remedy="delete it")
    for name, units in {
        "splits": ("sequences", "tokens", "documents"),
        "sources": ("documents", "tokens", "bytes"),
    }.items():
        for counts in record.mappings(name).values():
            for unit in units:
                counts.integer(unit, minimum=0)
    for split in schema.SPLITS:
        record.mapping("splits").mapping(split)
    record.sha256("sha256")
    record.integer("vocab_pieces", minimum=0)
    record.sha256("vocab_sha256")
    build = record.mapping("build")
    build.integer("copies", minimum=0)
    build.integer("max_seq_length", minimum=1)
    build.number("masked_lm_rate", minimum=0)
    return record.fields


def read_environment(model_dir: str) -> dict[str, Any] | None:
    """Return what `describe_environment` returned at the last start; None if it is not recorded.

    Raises:
      DamagedRecord: a field is missing or has a wrong type.
    """
    path = files.join(model_dir, ENVIRONMENT_FILE)
    if not files.exists(path):
        return None
    record = read_json(path, remedy="delete it")
    record.texts("command")
    record.text("python")
    record.text("machine")
    record.text("git_commit", default=None)
    packages = record.mapping("packages")
    for name in packages.fields:
        packages.text(name)
    return record.fields


def describe_environment() -> dict[str, Any]:
    """Return versions, machine and command, to reproduce the run."""
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


def _differences(before: DataclassInstance, now: DataclassInstance) -> tuple[list[str], list[str]]:
    """Return forbidden and allowed changes between two configurations, as sentences."""
    refused: list[str] = []
    allowed: list[str] = []
    for part in dataclasses.fields(now):
        old, new = getattr(before, part.name), getattr(now, part.name)
        for field in dataclasses.fields(old):
            was, is_now = getattr(old, field.name), getattr(new, field.name)
            if was != is_now:
                may_change = field.name in _FREE.get(part.name, ())
                name = f"{type(old).__name__}.{field.name}"
                (allowed if may_change else refused).append(f"{name} was {was} and is {is_now} now")
    return refused, allowed
