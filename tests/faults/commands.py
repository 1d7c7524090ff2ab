"""The commands that cases run, and what their results are."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from tests.faults.artefacts import INPUT_FLAGS
from tests.faults.case import Command
from tests.support.pretraining import CLOCK_METRICS

_DATA, _MODEL = ("data", "run.gin"), ("data", "run.gin", "model")


def digests(*patterns: str) -> Callable[[Path, str], object]:
    """Return a result: the sha256 of all files that match patterns."""

    def result(folder: Path, _: str) -> object:
        return {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for pattern in patterns
            for path in sorted(folder.glob(pattern))
            if path.is_file()
        }

    return result


def build_result(name: str) -> Callable[[Path, str], object]:
    """Return the result of a build: all its files."""
    return digests(f"{name}/*.json", f"{name}/vocab.txt", f"{name}/[!u]*/**/*")


def training_result(folder: Path, _: str) -> object:
    """Return the rows of metrics without what depends on the clock, and the final weights."""
    rows = [json.loads(line) for line in (folder / "model/metrics.jsonl").read_text().splitlines()]
    rows = [{name: v for name, v in row.items() if name not in CLOCK_METRICS} for row in rows]
    commit = json.loads((folder / "model/checkpoints/step-00000006/COMMIT.json").read_text())
    weights = commit["files"]["ckpt.data-00000-of-00001"]["sha256"]
    return {"rows": {f"{row['step']} {sorted(row)[0]}": row for row in rows}, "weights": weights}


def last_line(_: Path, output: str) -> object:
    """Return the last line of the output."""
    return output.strip().splitlines()[-1]


# Builds.
VERIFY = Command(module="data.build", args=("--verify=data",), needs=("data",))
VIEW = Command(module="data.view.__main__", args=("data", "--html="), needs=("data",))
STAGE = Command(
    title="copy to a machine",
    module="tests.faults.programs",
    args=("stage", "data", "scratch"),
    needs=("data",),
    writes=("scratch*",),
    # What is whole stays for the next attempt, but never with the manifest, which is written last.
    leaves=("scratch", f"scratch/data-{'?' * 12}", "scratch/*/[!m]*", "scratch/*/masked*"),
    result=digests("scratch/**/*"),
)
READ_PYTHON = Command(
    title="read with numpy",
    module="tests.faults.programs",
    args=("read", "data", "materialised", "python"),
    needs=("data",),
)
READ_GRAPH = Command(
    title="read with TensorFlow",
    module="tests.faults.programs",
    args=("read", "data", "materialised", "graph"),
    needs=("data",),
)
READ_ONLINE = Command(
    title="mask with numpy",
    module="tests.faults.programs",
    args=("read", "data", "online", "python"),
    needs=("data",),
)
READ_ONLINE_GRAPH = Command(
    title="mask with TensorFlow",
    module="tests.faults.programs",
    args=("read", "data", "online", "graph"),
    needs=("data",),
)
REBUILD = Command(
    module="data.build",
    args=("--gin_file=data.gin", *INPUT_FLAGS, "--vocab_file=vocab.txt", "--output_dir=data"),
    needs=("inputs", "vocab.txt", "data.gin", "data"),
    writes=("data/*",),
    result=build_result("data"),
)
RESUME_BUILD = Command(
    module="data.build",
    args=("--gin_file=data.gin", *INPUT_FLAGS, "--vocab_file=vocab.txt", "--output_dir=unfinished"),
    needs=("inputs", "vocab.txt", "data.gin", "unfinished"),
    writes=("unfinished*",),
    result=build_result("unfinished"),
)


# Runs.
_RUN = ("--gin_file=run.gin", "--data_dir=data", "--model_dir=model")
TRAIN = Command(
    module="pretrain.run",
    args=_RUN,
    needs=_MODEL,
    writes=("model/*",),
    result=training_result,
)
EVAL = Command(
    module="pretrain.run",
    args=(*_RUN, "--mode=eval"),
    needs=_MODEL,
    writes=("model/*.v2", "model/metrics.jsonl"),
    result=last_line,
)
DRY_RUN = Command(
    module="pretrain.run",
    args=("--gin_file=run.gin", "--data_dir=data", "--dry_run"),
    needs=_DATA,
)
REPORT = Command(
    module="pretrain.report.__main__",
    args=("model",),
    needs=("model",),
    writes=("model/report.html",),
    result=digests("model/report.html"),
)
EXPORT = Command(
    module="pretrain.export.__main__",
    args=("--model_dir=model", "--output_dir=new"),
    needs=("model",),
    writes=("new*",),
)
EXPORT_BEST = dataclasses.replace(EXPORT, args=(*EXPORT.args, "--checkpoint=best"))

PLAN = Command(
    module="launch.plan.__main__",
    args=("--gin_file=gin/lambert_large.gin", "--accelerator=v5e-8", "--data_dir=data"),
    needs=("data",),
)
