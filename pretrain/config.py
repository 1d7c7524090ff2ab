"""Settings of a run, and gin files turned into frozen dataclasses. The only file that imports gin."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import importlib.util  # noqa: F401  gin uses it without importing it when a file is not found
import logging
import re
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import gin
from data.config import BuildConfig, InputConfig
from data.errors import UserError
from finetune.config import FinetuneConfig, TaskConfig
from launch.config import ClusterConfig, LaunchConfig
from model.config import EncoderConfig
from optim.config import OptimizerConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How long, in which batches, and when to look.

    Attributes:
      train_steps: optimizer updates.
      global_batch_size: sequences in an update, over all devices.
      micro_batch_size: sequences a device holds at once; 0 means its whole share of the batch. A
        smaller one accumulates gradients, which saves memory; the gradient is the same but for
        rounding.
      rematerialize_blocks: keep nothing of a block but its input for the backward pass, and compute
        the rest again: about a third more work, for much larger micro-batches.
      logits_chunk_size: predictions whose logits a device holds at once in training; 0 means all of
        a micro-batch. The backward pass computes them again.
      jit_compile: "on" compiles forward and backward pass with XLA, "off" runs operation by
        operation, "auto" is on for GPUs. CPUs are faster without (oneDNN multiplies matrices
        better); on TPUs everything is compiled anyway.
      eval_batch_size: sequences in an evaluation batch, over all devices.
      steps_per_loop: most steps that run on the devices without returning to Python.
      log_interval: steps between rows of metrics.jsonl.
      eval_interval: steps between evaluations; 0 evaluates at the end only.
      checkpoint_interval: steps between checkpoints; 0 saves at the end only.
      keep_checkpoints: newest checkpoints to keep.
      keep_every: checkpoints at multiples of this step are kept for good; 0 keeps none.
      spike_threshold: a step whose loss or gradient norm lies this many standard deviations above
        the median of the last 128 steps is passed over; 0 passes over none. Steps that are no
        finite number are passed over in any case.
      max_bad_steps: the run stops when more of the last 128 steps were passed over.
      precision: "float32", or "mixed_bfloat16" for bfloat16 compute on float32 weights.
      seed: of initial weights, dropout and the order of the data.
      wandb_project: project of Weights & Biases that is sent the metrics too; "" for none.
    """

    train_steps: int = 200_000
    global_batch_size: int = 8192
    micro_batch_size: int = 0
    rematerialize_blocks: bool = False
    logits_chunk_size: int = 0
    jit_compile: str = "auto"
    eval_batch_size: int = 1024
    steps_per_loop: int = 100
    log_interval: int = 100
    eval_interval: int = 5000
    checkpoint_interval: int = 1000
    keep_checkpoints: int = 5
    keep_every: int = 0
    spike_threshold: float = 10.0
    max_bad_steps: int = 10
    precision: str = "mixed_bfloat16"
    seed: int = 12345
    wandb_project: str = ""

    def __post_init__(self):
        at_least_one = "train_steps global_batch_size eval_batch_size steps_per_loop log_interval"
        for name in [*at_least_one.split(), "keep_checkpoints"]:
            if getattr(self, name) < 1:
                raise UserError(f"TrainConfig.{name}={getattr(self, name)}: must be at least 1")
        at_least_zero = "micro_batch_size logits_chunk_size eval_interval checkpoint_interval"
        at_least_zero += " keep_every spike_threshold max_bad_steps seed"
        for name in at_least_zero.split():
            if getattr(self, name) < 0:
                raise UserError(f"TrainConfig.{name}={getattr(self, name)}: is negative")
        if self.precision not in ("float32", "mixed_bfloat16"):
            raise UserError(
                f"TrainConfig.precision={self.precision!r}: must be 'float32' or 'mixed_bfloat16'"
            )
        if self.jit_compile not in ("auto", "on", "off"):
            raise UserError(
                f"TrainConfig.jit_compile={self.jit_compile!r}: must be 'auto', 'on' or 'off'"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that decides a run, beside its data."""

    train: TrainConfig
    input: InputConfig
    encoder: EncoderConfig
    optimizer: OptimizerConfig
    cluster: ClusterConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinetuneRunConfig:
    """Everything that decides a run of fine-tuning, beside its data and the weights it starts from."""

    train: TrainConfig
    task: TaskConfig
    finetune: FinetuneConfig
    encoder: EncoderConfig
    optimizer: OptimizerConfig
    cluster: ClusterConfig


AnyRunConfig = TypeVar("AnyRunConfig", RunConfig, FinetuneRunConfig)

_CONFIG_CLASSES = {
    cls.__name__: cls
    for cls in (
        BuildConfig,
        InputConfig,
        EncoderConfig,
        OptimizerConfig,
        ClusterConfig,
        LaunchConfig,
        TrainConfig,
        TaskConfig,
        FinetuneConfig,
    )
}


def _unchecked_twin(cls: type) -> type:
    """A class with the same fields and no checks, for gin to fill: gin does not know types."""
    fields = [
        (f.name, f.type, dataclasses.field(default=f.default)) for f in dataclasses.fields(cls)
    ]
    return dataclasses.make_dataclass(cls.__name__, fields, kw_only=True)


_GIN_TWINS = {
    name: gin.external_configurable(_unchecked_twin(cls), name=name, module="lambert")
    for name, cls in _CONFIG_CLASSES.items()
}

# `gin/` lies beside the packages in a checkout and inside this package when installed.
_HERE = Path(__file__).resolve().parent
gin.add_config_file_search_path(str(_HERE if (_HERE / "gin").is_dir() else _HERE.parent))


def add_gin_flags(parser: argparse.ArgumentParser) -> None:
    """Adds --gin_file and --gin_param, both repeatable."""
    parser.add_argument("--gin_file", action="append", default=[], metavar="F")
    parser.add_argument(
        "--strict_gin",
        action="store_true",
        help="refuse gin files that import or refer to anything but the settings of this program",
    )
    parser.add_argument(
        "--gin_param",
        action="append",
        default=[],
        metavar="P",
        help="overrides the files, e.g. --gin_param TrainConfig.train_steps=100",
    )


def load_config(
    files: Sequence[str],
    params: Sequence[str],
    *classes: type,
    defaults: Sequence[str] = (),
    strict: bool = False,
) -> list:
    """Reads gin files and parameters, and builds one checked instance of each class.

    Args:
      files: gin files; later ones override earlier ones.
      params: bindings such as "TrainConfig.seed=7"; they override the files.
      *classes: configuration classes.
      defaults: bindings that stand in for the classes' own defaults; the files override them.
      strict: refuse what could run code. Gin files can import modules and call functions by name.

    Raises:
      UserError: a file is missing or malformed, a parameter is unknown, ill-typed or out of range.
    """
    gin.clear_config()
    logging.disable(logging.ERROR)  # gin logs every path it tries; our error says it once
    try:
        if strict:
            for file in files:
                _refuse_code_in_file(file)
            for param in params:
                _refuse_code(param, f"--gin_param {param!r}")
        with gin.unlock_config():
            for binding in defaults:
                gin.parse_config(binding)
            for file in files:
                gin.parse_config_file(file, skip_unknown=False)
            for param in params:
                _parse_param(param)
        bound = [vars(_GIN_TWINS[cls.__name__]()) for cls in classes]
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"gin file not found: {str(error).splitlines()[0]}") from None
    except UnicodeDecodeError:
        raise UserError(
            f"{', '.join(files)}: must be UTF-8 text, as must what is included"
        ) from None
    except (ValueError, TypeError, SyntaxError, AttributeError, ImportError) as error:
        raise UserError(_explain(error)) from None
    finally:
        logging.disable(logging.NOTSET)
    _refuse_unused_bindings()
    return [cls(**_typed(cls, values)) for cls, values in zip(classes, bound, strict=True)]


def load_run_config(
    files: Sequence[str],
    params: Sequence[str],
    *,
    kind: type[AnyRunConfig] = RunConfig,
    defaults: Sequence[str] = (),
    strict: bool = False,
) -> AnyRunConfig:
    """All settings of `pretrain.run`, or of another kind of run; arguments as of `load_config`."""
    hints = typing.get_type_hints(kind)
    built = load_config(files, params, *hints.values(), defaults=defaults, strict=strict)
    return kind(**dict(zip(hints, built, strict=True)))


def load_job_config(
    files: Sequence[str], params: Sequence[str], *classes: type
) -> tuple[LaunchConfig, str]:
    """Settings of a job on other machines, and the rest as the text of one gin file.

    The text is what the job will read there, so what could run code is refused here.

    Args:
      files: as of `load_config`.
      params: as of `load_config`.
      *classes: the other classes that may be set; all of a run if none is given.

    Raises:
      UserError: as `load_config`, for the settings of the run as well.
    """
    hints = typing.get_type_hints(RunConfig)
    classes = classes or tuple(hints[field.name] for field in dataclasses.fields(RunConfig))
    job, *asked = load_config(files, params, LaunchConfig, *classes, strict=True)
    with gin.unlock_config():
        for key in [key for key in gin.config._CONFIG if key[1].endswith(".LaunchConfig")]:
            del gin.config._CONFIG[key]
    text = config_text()
    if load_config([], [text] if text.strip() else [], *classes, strict=True) != asked:
        raise AssertionError(f"gin wrote something else than it read:\n{text}")
    return job, text


def run_config_from_dict(content: dict, kind: type[AnyRunConfig] = RunConfig) -> AnyRunConfig:
    """The inverse of `dataclasses.asdict`, for settings that were recorded."""
    hints = typing.get_type_hints(kind)
    parts = {name: hints[name](**_typed(hints[name], values)) for name, values in content.items()}
    return kind(**parts)


def config_text() -> str:
    """What was asked for: the bindings of the last `load_config` (config.gin)."""
    return gin.config_str()


def operative_config_text() -> str:
    """What is in force: every parameter of the last `load_config` (operative_config.gin)."""
    return gin.operative_config_str()


class _NoReferences(gin.config_parser.ParserDelegate):
    """Takes references to values for what they are, and refuses those to anything else."""

    def __init__(self, place: str):
        self._place = place

    def configurable_reference(self, scoped_configurable_name, evaluate):
        raise UserError(
            f"{self._place} refers to @{scoped_configurable_name}, which --strict_gin refuses: gin"
            " would call it"
        )

    def macro(self, macro_name):
        return macro_name


def _refuse_code_in_file(file: str) -> None:
    """Includes are followed as gin does: the first of its search paths that has the file."""
    paths = (Path(directory, file) for directory in gin.config._LOCATION_PREFIXES)
    if path := next(filter(Path.is_file, paths), None):
        _refuse_code(path.read_text(encoding="utf-8"), str(path))


def _refuse_code(text: str, place: str) -> None:
    try:
        for statement in gin.config_parser.ConfigParser(text, _NoReferences(place)):
            _refuse_statement(statement, place)
    except SyntaxError as error:
        error.filename = error.filename or place
        raise


def _refuse_statement(statement, place: str) -> None:
    if isinstance(statement, gin.config_parser.IncludeStatement):
        _refuse_code_in_file(statement.filename)
    elif isinstance(statement, gin.config_parser.ImportStatement):
        raise UserError(
            f"{place} imports {statement.module!r}, which --strict_gin refuses: the module would be run"
        )
    elif statement.selector not in _CONFIG_CLASSES and getattr(statement, "arg_name", None):
        raise UserError(
            f"{place} sets {statement.selector}.{statement.arg_name}, which --strict_gin refuses: there"
            f" are {', '.join(sorted(_CONFIG_CLASSES))}"
        )


def _parse_param(param: str) -> None:
    try:
        gin.parse_config(param, skip_unknown=False)
    except (SyntaxError, ValueError) as error:
        if isinstance(error, SyntaxError) or "parse" in str(error):
            raise UserError(
                f"--gin_param {param!r}: expected NAME = VALUE, with text in quotes"
            ) from None
        raise


def _explain(error: Exception) -> str:
    """Gin's message in one line, with the place and the nearest name that exists."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}: {error.msg}: {(error.text or '').strip()}"
    message = str(error).splitlines()[0].rstrip(".: ")
    found = re.search(r'In file "(.*)", line (\d+)', str(error))
    place = f"{found[1]}, line {found[2]}: " if found else ""
    if unknown := re.search(r"'([\w.]+)' doesn't have a parameter named '(\w+)'", message):
        owner = unknown[1].rpartition(".")[2]
        names = [field.name for field in dataclasses.fields(_CONFIG_CLASSES[owner])]
        message = f"{owner} has no parameter {unknown[2]!r}; {_nearest(unknown[2], names)}"
    elif unknown := re.search(r"No configurable matching '([\w.]+)'", message):
        nearest = _nearest(unknown[1], list(_CONFIG_CLASSES))
        message = f"there is nothing to configure called {unknown[1]!r}; {nearest}"
    return f"{place}{message}"


def _refuse_unused_bindings() -> None:
    """Raises for what was bound and means nothing to this command.

    Without this, `train_steps=5` would define a macro that nobody reads, and `BuildConfig.copies=3`
    would be accepted by a command that builds nothing.
    """
    for scope, selector in set(gin.config._CONFIG) - set(gin.config._OPERATIVE_CONFIG):
        if selector == "gin.macro":
            owners = [
                f"{cls.__name__}.{scope}"
                for cls in _CONFIG_CLASSES.values()
                if scope in {field.name for field in dataclasses.fields(cls)}
            ]
            hint = f"; did you mean {' or '.join(owners)}?" if owners else ""
            raise UserError(f"{scope!r} is set, but nothing refers to it{hint}")
        name = selector.rpartition(".")[2]
        raise UserError(f"{name} is set, but this command has no use for it; remove its settings")


def _nearest(name: str, candidates: list[str]) -> str:
    close = difflib.get_close_matches(name, candidates, n=1)
    return f"did you mean {close[0]!r}?" if close else f"there are {', '.join(sorted(candidates))}"


def _typed(cls: type, values: dict) -> dict:
    """The values of a class's fields, each of the declared type."""
    hints = typing.get_type_hints(cls)
    return {name: _typed_value(cls, name, value, hints[name]) for name, value in values.items()}


def _typed_value(cls: type, name: str, value, expected):
    if typing.get_origin(expected) is tuple:
        if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
            return tuple(value)
        wanted = "a list of strings"
    else:
        if expected is float and type(value) is int:
            return float(value)
        if type(value) is expected:
            return value
        wanted = {int: "a whole number", float: "a number", bool: "True or False"}.get(
            expected, "a string"
        )
    raise UserError(f"{cls.__name__}.{name}={value!r}: must be {wanted}")
