"""Read gin files into frozen dataclasses. The only module that imports gin."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import functools
import importlib
import importlib.util
import logging
import re
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import gin
from data.errors import UserError

AnyRunConfig = TypeVar("AnyRunConfig")

# Every class of settings, with its module by name: a command that reads gin files does not depend on
# the packages of other commands, but recognizes their settings in error messages.
_SETTINGS = {
    "BuildConfig": "data.config",
    "InputConfig": "data.config",
    "EncoderConfig": "model.config",
    "OptimizerConfig": "optim.config",
    "ClusterConfig": "launch.config",
    "LaunchConfig": "launch.config",
    "TrainConfig": "pretrain.train.config",
    "TaskConfig": "finetune.config",
    "FinetuneConfig": "finetune.config",
}


@functools.cache
def config_classes() -> dict[str, type]:
    """Return every class of settings by name; all are registered with gin."""
    classes = {
        name: getattr(importlib.import_module(module), name) for name, module in _SETTINGS.items()
    }
    for cls in classes.values():
        _gin_twin(cls)
    return classes


@functools.cache
def _gin_twin(cls: type):
    """Return the class that gin fills: the same fields without checks, since gin ignores types."""
    fields = [
        (f.name, f.type, dataclasses.field(default=f.default)) for f in dataclasses.fields(cls)
    ]
    twin = dataclasses.make_dataclass(cls.__name__, fields, kw_only=True)
    return gin.external_configurable(twin, name=cls.__name__, module="lambert")


# `gin/` is next to the packages in a checkout, and inside this package when installed.
_HERE = Path(__file__).resolve().parent
gin.add_config_file_search_path(str(_HERE if (_HERE / "gin").is_dir() else _HERE.parent))


def add_gin_flags(parser: argparse.ArgumentParser) -> None:
    """Add --gin_file, --gin_param (both repeatable) and --strict_gin."""
    parser.add_argument("--gin_file", action="append", default=[], metavar="F")
    parser.add_argument(
        "--strict_gin",
        action="store_true",
        help="refuse gin files that import modules or refer to anything but settings of this program",
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
) -> list[Any]:
    """Read gin files and parameters, and build one checked instance of each class.

    Args:
      files: gin files; later ones override earlier ones.
      params: bindings such as "TrainConfig.seed=7"; they override the files.
      *classes: classes of settings.
      defaults: bindings that replace the classes' own defaults; the files override them.
      strict: refuse statements that could run code: gin files can import modules and call functions.

    Raises:
      UserError: a file is missing or malformed, a parameter is unknown, ill-typed or out of range.
    """
    config_classes()
    gin.clear_config()
    logging.disable(
        logging.ERROR
    )  # gin logs every path that it tries; our error names the file once
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
        bound = [vars(_gin_twin(cls)()) for cls in classes]
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"gin file not found: {str(error).splitlines()[0]}") from None
    except UnicodeDecodeError:
        raise UserError(
            f"{', '.join(files)}: these files and the files they include must be UTF-8 text"
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
    kind: type[AnyRunConfig],
    defaults: Sequence[str] = (),
    strict: bool = False,
) -> AnyRunConfig:
    """Read all settings of a run.

    Args:
      files: as in `load_config`.
      params: as in `load_config`.
      kind: dataclass whose fields are classes of settings, such as RunConfig.
      defaults: as in `load_config`.
      strict: as in `load_config`.
    """
    hints = typing.get_type_hints(kind)
    built = load_config(files, params, *hints.values(), defaults=defaults, strict=strict)
    return kind(**dict(zip(hints, built, strict=True)))


def load_and_split(
    files: Sequence[str], params: Sequence[str], separate: type, *classes: type
) -> tuple[typing.Any, str]:
    """Read one class of settings, and return the others as the text of one gin file.

    Other machines will read the text, so statements that could run code are refused.

    Args:
      files: as in `load_config`.
      params: as in `load_config`.
      separate: the class to return as an instance.
      *classes: the other classes that may be set.

    Raises:
      UserError: as `load_config`, for all of the classes.
    """
    instance, *others = load_config(files, params, separate, *classes, strict=True)
    with gin.unlock_config():
        for key in [key for key in gin.config._CONFIG if key[1].endswith(f".{separate.__name__}")]:
            del gin.config._CONFIG[key]
    text = config_text()
    if load_config([], [text] if text.strip() else [], *classes, strict=True) != others:
        raise AssertionError(f"gin did not write what it read:\n{text}")
    return instance, text


def run_config_from_dict(content: dict[str, Any], kind: type[AnyRunConfig]) -> AnyRunConfig:
    """Rebuild settings that `dataclasses.asdict` turned into a dict.

    Args:
      content: values by part and setting.
      kind: dataclass whose fields are classes of settings.

    Raises:
      UserError: a value has the wrong type or is out of range.
      KeyError, TypeError: a part or a setting is unknown.
    """
    hints = typing.get_type_hints(kind)
    parts = {name: hints[name](**_typed(hints[name], values)) for name, values in content.items()}
    return kind(**parts)


def config_text() -> str:
    """Return the bindings of the last `load_config`, for config.gin."""
    return gin.config_str()


def operative_config_text() -> str:
    """Return every parameter of the last `load_config`, for operative_config.gin."""
    return gin.operative_config_str()


class _NoReferences(gin.config_parser.ParserDelegate):
    """Accept macros, which name values, and refuse references to functions."""

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
    """Check a file where gin would find it: in the first of its search paths that has it."""
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
            f"{place} imports {statement.module!r}, which --strict_gin refuses: it would run the module"
        )
    elif statement.selector not in _SETTINGS and getattr(statement, "arg_name", None):
        raise UserError(
            f"{place} sets {statement.selector}.{statement.arg_name}, which --strict_gin refuses;"
            f" the settings are {', '.join(sorted(_SETTINGS))}"
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
    """Return gin's message in one line, with the location and the most similar existing name."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}: {error.msg}: {(error.text or '').strip()}"
    message = str(error).splitlines()[0].rstrip(".: ")
    match = re.search(r'In file "(.*)", line (\d+)', str(error))
    location = f"{match[1]}, line {match[2]}: " if match else ""
    if unknown := re.search(r"'([\w.]+)' doesn't have a parameter named '(\w+)'", message):
        owner = unknown[1].rpartition(".")[2]
        names = [field.name for field in dataclasses.fields(config_classes()[owner])]
        message = f"{owner} has no parameter {unknown[2]!r}; {_nearest(unknown[2], names)}"
    elif unknown := re.search(r"No configurable matching '([\w.]+)'", message):
        nearest = _nearest(unknown[1], list(_SETTINGS))
        message = f"{unknown[1]!r} is not a class of settings; {nearest}"
    return f"{location}{message}"


def _refuse_unused_bindings() -> None:
    """Raise a UserError for bindings that this command does not use.

    Without this check, `train_steps=5` would define an unused macro, and `BuildConfig.copies=3` would
    be accepted by a command that builds nothing.
    """
    for scope, selector in set(gin.config._CONFIG) - set(gin.config._OPERATIVE_CONFIG):
        if selector == "gin.macro":
            owners = [
                f"{cls.__name__}.{scope}"
                for cls in config_classes().values()
                if scope in {field.name for field in dataclasses.fields(cls)}
            ]
            hint = f"; did you mean {' or '.join(owners)}?" if owners else ""
            raise UserError(f"{scope!r} is set, but nothing refers to it{hint}")
        name = selector.rpartition(".")[2]
        raise UserError(f"{name} is set, but this command does not use it; remove its settings")


def _nearest(name: str, candidates: list[str]) -> str:
    close = difflib.get_close_matches(name, candidates, n=1)
    return (
        f"did you mean {close[0]!r}?" if close else f"valid names: {', '.join(sorted(candidates))}"
    )


def _typed(cls: type, values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a class's fields, converted to their declared types."""
    hints = typing.get_type_hints(cls)
    return {name: _typed_value(cls, name, value, hints[name]) for name, value in values.items()}


def _typed_value(cls: type, name: str, value, expected):
    if typing.get_origin(expected) is tuple:
        if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
            return tuple(value)
        expected_text = "a list of strings"
    else:
        if expected is float and type(value) is int:
            return float(value)
        if type(value) is expected:
            return value
        expected_text = {int: "a whole number", float: "a number", bool: "True or False"}.get(
            expected, "a string"
        )
    raise UserError(f"{cls.__name__}.{name}={value!r}: must be {expected_text}")
