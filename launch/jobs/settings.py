"""Read the settings of a job on other machines."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Sequence

from launch.config import LaunchConfig
from pretrain.config import RunConfig
from pretrain.gin_files import load_and_split


def load_job_config(
    files: Sequence[str], params: Sequence[str], *classes: type
) -> tuple[LaunchConfig, str]:
    """Return the settings of a job, and those of its program as the text of one gin file.

    Args:
      files: gin files; later ones override earlier ones.
      params: bindings such as "TrainConfig.seed=7"; they override the files.
      *classes: configuration classes of the program; those of a pretraining run if none is given.

    Raises:
      UserError: see `pretrain.gin_files.load_config`; settings of the program are checked too.
    """
    hints = typing.get_type_hints(RunConfig)
    run_classes = tuple(hints[field.name] for field in dataclasses.fields(RunConfig))
    return load_and_split(files, params, LaunchConfig, *(classes or run_classes))
