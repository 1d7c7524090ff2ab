"""Places, runs of our commands, and fields of rows that all parts of the benchmark share."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import platform
from pathlib import Path
from typing import Any

from bench.data.measure import machine
from bench.sample_build import make_build, run_module

DEMO_GIN, DEMO_DATA_GIN, DEMO_PIECES = (
    "gin/demo.gin",
    "gin/data_demo.gin",
    2000,
)  # as in the Makefile
_DISTRIBUTIONS = ("tensorflow", "tf_keras", "tf-models-official")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Places:
    """Directories of a benchmark.

    Attributes:
      work: directory of all files; finished runs in it are not repeated.
      weights: published encoder, as read by pretrain.import_weights.
    """

    work: Path
    weights: Path

    def demo_build(self) -> Path:
        """Return the build of the demo, which is made if it is missing."""
        return make_build(self.work / "demo", "--gin_file", DEMO_DATA_GIN, pieces=DEMO_PIECES)


def pretrain(data_dir: Path, model_dir: Path, gin_file: str, seed: int, steps: int) -> None:
    """Pretrain with `pretrain.run`, which resumes an interrupted run and does not repeat a finished one.

    Args:
      data_dir: build directory.
      model_dir: model directory.
      gin_file: settings.
      seed: TrainConfig.seed.
      steps: TrainConfig.train_steps; 0 takes that of the settings.
    """
    settings = [f"TrainConfig.seed = {seed}"]
    settings += [f"TrainConfig.train_steps = {steps}"] if steps else []
    params = [flag for setting in settings for flag in ("--gin_param", setting)]
    run_module(
        *("pretrain.run", "--gin_file", gin_file, *params),
        *("--data_dir", data_dir, "--model_dir", model_dir),
    )


def facts(part: str, setting: str, *, stage: str = "learn") -> dict[str, Any]:
    """Return the fields that all rows of a part share."""
    return {
        "stage": stage,
        "part": part,
        "setting": setting,
        "command": f"python -m bench.{stage}",
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in _DISTRIBUTIONS},
        },
        "machine": machine(),
        "date": datetime.date.today().isoformat(),
    }
