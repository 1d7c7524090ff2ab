"""Fuzz gin files in strict mode; tests.support.gin_fuzz has the inputs."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from pretrain.config import RunConfig
from pretrain.gin_files import load_run_config
from tests.support import gin_fuzz
from tests.support.watch import Watch


def fuzz(folder: Path, artefacts: Path, numbers: Iterator[int]) -> Iterator[str]:
    """Read texts of statements, some hostile, some with characters changed."""
    del artefacts
    load_run_config([], [], kind=RunConfig, strict=True)  # imports the modules of all settings
    inside, watch = gin_fuzz.make_folder(folder), Watch()
    gin_fuzz.check_watch(inside, watch)
    for number in numbers:
        text = gin_fuzz.make_input(random.Random(f"gin/{number}"))
        yield gin_fuzz.check(text, inside, watch)
