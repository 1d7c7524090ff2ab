"""Read gin files into frozen dataclasses. The only module that imports gin."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import importlib
import importlib.util
import logging
import math
import os
import re
import tokenize
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import gin
from data.errors import UserError
from pretrain.gin_literals import printable
from pretrain.strict_gin import describe_missing_file, nearest, read_bindings

AnyRunConfig = TypeVar("AnyRunConfig")
AnySettings = TypeVar("AnySettings")

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


# What gin raises for malformed files. Other errors come from modules that a file imports.
_GIN_ERRORS = (
    *(ValueError, TypeError, SyntaxError, AttributeError, ImportError, RecursionError),
    *(KeyError, IndexError, MemoryError, StopIteration),
)
# No path may have these, and no terminal should see them.
_CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


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
def _gin_twin(cls: type) -> type[Any]:
    """Return the class that gin fills: the same fields without checks, since gin ignores types."""
    fields = [
        (f.name, f.type, dataclasses.field(default=f.default)) for f in dataclasses.fields(cls)
    ]
    twin = dataclasses.make_dataclass(cls.__name__, fields, kw_only=True)
    return gin.external_configurable(twin, name=cls.__name__, module="lambert")


# `gin/` is next to the packages in a checkout, and inside this package when installed.
_HERE = Path(__file__).resolve().parent
_HOME = _HERE if (_HERE / "gin").is_dir() else _HERE.parent
gin.add_config_file_search_path(str(_HOME))
# In place of gin's own reader, which takes a byte order mark for a statement.
gin.config._FILE_READERS[0] = (functools.partial(open, encoding="utf-8-sig"), os.path.isfile)


def add_gin_flags(parser: argparse.ArgumentParser) -> None:
    """Add --gin_file, --gin_param (both repeatable) and --strict_gin."""
    parser.add_argument(
        "--gin_file",
        action="append",
        default=[],
        metavar="F",
        help="settings; may be given several times, later ones override earlier ones",
    )
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
        with gin.unlock_config():
            for binding in defaults:
                gin.parse_config(binding)
            if strict:
                gin.parse_config(_read_strictly(files, params), skip_unknown=False)
            else:
                _parse_code(files, params)
        bound = [vars(_gin_twin(cls)()) for cls in classes]
    except UserError:
        raise
    except OSError as error:
        if error.filename:
            raise  # found, but cannot be read
        path = re.search(r"Unable to open file: (.*?)\. Searched", str(error))
        name = path[1] if path else str(error).partition("\n")[0]
        raise UserError(describe_missing_file(name, _HOME)) from None
    except UnicodeDecodeError:
        raise UserError(
            f"{', '.join(files)}: these files and the files they include must be UTF-8 text"
        ) from None
    except _GIN_ERRORS as error:
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
        _drop_unused_macros()
    text = config_text()
    if load_config([], [text] if text.strip() else [], *classes, strict=True) != others:
        raise AssertionError(f"gin did not write what it read:\n{text}")
    return instance, text


def _drop_unused_macros() -> None:
    """Remove macros that no setting and no other macro refers to."""
    config = gin.config._CONFIG
    while True:
        references = {ref.scoped_selector for ref in gin.config.iterate_references(config)}
        unused = [
            key for key in config if key[1] == "gin.macro" and "/".join(key) not in references
        ]
        if not unused:
            return
        for key in unused:
            del config[key]


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


def settings_from_dict(values: dict[str, Any], cls: type[AnySettings]) -> AnySettings:
    """Rebuild one class of settings from a dict.

    Args:
      values: values by setting.
      cls: class of settings.

    Raises:
      UserError: a value has the wrong type or is out of range, or a setting is unknown.
    """
    if unknown := values.keys() - typing.get_type_hints(cls).keys():
        raise UserError(f"{cls.__name__} has no parameter {_shown(min(unknown))}")
    return cls(**_typed(cls, values))


def config_text() -> str:
    """Return the bindings of the last `load_config`, for config.gin."""
    return gin.config_str()


def operative_config_text() -> str:
    """Return every parameter of the last `load_config`, for operative_config.gin."""
    return gin.operative_config_str()


def _read_strictly(files: Sequence[str], params: Sequence[str]) -> str:
    """Return the bindings of untrusted files; gin opens none of them."""
    settings = {
        name: [field.name for field in dataclasses.fields(cls)]
        for name, cls in config_classes().items()
    }
    return read_bindings(files, params, settings=settings, home=_HOME)


def _parse_code(files: Sequence[str], params: Sequence[str]) -> None:
    """Let gin read files and parameters, which may import modules and call functions."""
    for file in files:
        try:
            gin.parse_config_file(file, skip_unknown=False)
        except tokenize.TokenError as error:
            raise UserError(f"{file} ends within brackets or text: {error.args[0]}") from None
        except IndentationError as error:
            error.filename = file
            raise
    for param in params:
        _parse_param(param)


def _parse_param(param: str) -> None:
    try:
        gin.parse_config(param, skip_unknown=False)
    except (SyntaxError, ValueError, tokenize.TokenError) as error:
        if not isinstance(error, ValueError) or "parse" in str(error):
            raise UserError(
                f"--gin_param {_shown(param)}: expected NAME = VALUE, with text in quotes"
            ) from None
        raise


def _explain(error: Exception) -> str:
    """Return gin's message in one line, with the location and the most similar existing name."""
    if isinstance(error, SyntaxError):
        problem = printable((error.msg or "").partition("\n")[0], 200)
        text = printable((error.text or "").strip())
        return f"{error.filename}, line {error.lineno}: {problem}: {text}"
    message = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".: ")
    match = re.search(r'In file "(.*)", line (\d+)', str(error))
    location = f"{match[1]}, line {match[2]}: " if match else ""
    if isinstance(error, RecursionError):
        message = (
            "nested too deeply: a file includes itself, macros refer to each other, or there are too many"
            " brackets"
        )
    elif unset := re.search(r"'macro' \(.*\) in scope '([\w./]+)'", str(error)):
        message = f"%{unset[1]} is not set"
    elif unknown := re.search(r"'([\w.]+)' doesn't have a parameter named '(\w+)'", message):
        owner = unknown[1].rpartition(".")[2]
        names = [field.name for field in dataclasses.fields(config_classes()[owner])]
        message = f"{owner} has no parameter {unknown[2]!r}; {nearest(unknown[2], names)}"
    elif unknown := re.search(r"No configurable matching '([\w.]+)'", message):
        hint = nearest(unknown[1], list(_SETTINGS))
        message = f"{unknown[1]!r} is not a class of settings; {hint}"
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


def _typed(cls: type, values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a class's fields, converted to their declared types."""
    hints = typing.get_type_hints(cls)
    return {name: _typed_value(cls, name, value, hints[name]) for name, value in values.items()}


def _typed_value(cls: type, name: str, value: Any, expected: Any) -> Any:
    setting = f"{cls.__name__}.{name}"
    if value is gin.REQUIRED:
        raise UserError(
            f"{setting} has no value: a gin file sets it to %gin.REQUIRED; set it in a later file or with"
            f" --gin_param {setting}=..."
        )
    if typing.get_origin(expected) is tuple:
        if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
            for item in value:
                _check_text(setting, item)
            return tuple(value)
        expected_text = "a list of strings"
    else:
        if expected in (int, float) and type(value) is int and not -(2**63) <= value < 2**63:
            raise UserError(f"{setting}={_shown(value)}: is out of range; the largest is 2**63 - 1")
        if expected is float and type(value) is int:
            return float(value)
        if type(value) is expected:
            if expected is float and not math.isfinite(value):
                raise UserError(f"{setting}={value}: must be a finite number")
            if expected is str:
                _check_text(setting, value)
            return value
        expected_text = {int: "a whole number", float: "a number", bool: "True or False"}.get(
            expected, "a string"
        )
    raise UserError(f"{setting}={_shown(value)}: must be {expected_text}")


def _check_text(setting: str, value: str) -> None:
    if _CONTROL_CHARACTER.search(value):
        raise UserError(f"{setting}={_shown(value)}: contains a control character")


def _shown(value: Any) -> str:
    """Return a value as text of bounded length; Python refuses to print numbers of 5,000 digits."""
    try:
        return printable(repr(value), 200)
    except (ValueError, RecursionError):
        return f"<{type(value).__name__}>"
