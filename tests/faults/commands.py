"""The commands that cases run, and what their results are."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

from data.checked_json import parse_json_lines
from pretrain.checkpoints.catalog import committed, verify
from pretrain.train.metrics_log import CLOCK_METRICS
from tests.faults.artefacts import INPUT_FLAGS, TUNE_FLAGS
from tests.faults.case import Command

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


def restored_result(folder: Path, output: str) -> object:
    """Return whether the newest sound checkpoint was chosen, and every other one named."""
    chosen = re.search(r"restored step (\d)", output)
    named = re.findall(r"step-0000000(\d).*; trying the one before", output)
    named += re.findall(r"step (\d) has lost its COMMIT.json; renamed", output)
    steps = sorted({*named, *(chosen.groups() if chosen else ())}, reverse=True)
    return "the newest sound one" if steps == ["6", "4", "2"][: len(steps)] else output


def kept_result(folder: Path, _: str) -> object:
    """Return the number of checkpoints, which are all sound: two as far as there are so many."""
    left = committed(folder / "model")
    for ref in left:
        verify(ref)
    return {"sound checkpoints": min(len(left), 2), "newest": left[-1].step}


def rows_result(folder: Path, _: str) -> object:
    """Return whether every row that can be read in a damaged log, as it was set aside, is in the log."""
    lost = []
    for path in (folder / "model").glob("*.jsonl.damaged"):
        log = path.with_suffix("")
        kept = {json.loads(line)["step"] for line in log.read_bytes().splitlines()}
        rows = [record for _, record in parse_json_lines(path.read_bytes(), path) if record]
        steps = {row.fields["step"] for row in rows if type(row.fields.get("step")) is int}
        lost += sorted(step for step in steps - kept if 0 < step <= 6)
    return f"lost rows of steps {lost}" if lost else "no sound row is lost"


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
_NEW_BUILD = (
    *("--gin_file=data.gin", "--gin_param=BuildConfig.eval_fraction=0.0"),
    *("--vocab_file=vocab.txt", "--output_dir=new"),
)
BUILD_BOOKS = Command(
    title="data.build --books",
    module="data.build",
    args=(*_NEW_BUILD, "--books=inputs/books/**"),
    needs=("inputs", "vocab.txt", "data.gin"),
    writes=("new*",),
    leaves=("new*",),
)
BUILD_WIKI = dataclasses.replace(
    BUILD_BOOKS, title="data.build --wiki", args=(*_NEW_BUILD, "--wiki=inputs/*.bz2")
)
VOCAB = Command(
    module="data.vocab.__main__",
    args=("--input=inputs/books/**", "--vocab_size=500", "--output_file=new.txt"),
    needs=("inputs",),
    writes=("new.txt",),
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
TRAIN_ON = dataclasses.replace(
    TRAIN,
    args=(*_RUN, "--gin_param=TrainConfig.train_steps=8"),
    title="pretrain.run, two steps more",
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
REPORT_SCRIPTS = dataclasses.replace(
    REPORT, result=lambda folder, _: "<script>alert(" in (folder / "model/report.html").read_text()
)
EXPORT_NEWEST = dataclasses.replace(EXPORT, args=(*EXPORT.args, "--checkpoint=6"))
EXPORT_BEST = dataclasses.replace(EXPORT, args=(*EXPORT.args, "--checkpoint=best"))

RESTORE = Command(
    title="choose a checkpoint",
    module="tests.faults.programs",
    args=("restore", "model"),
    needs=("model",),
    writes=("model/*",),
    result=restored_result,
)
SAVE = Command(
    title="save step 8",
    module="tests.faults.programs",
    args=("save", "model", "8"),
    needs=("model",),
    writes=("model/*",),
    result=kept_result,
)
REPAIR = Command(
    title="read the logs",
    module="tests.faults.programs",
    args=("repair", "model"),
    needs=("model", "log"),
    writes=("model/*.jsonl*",),
    result=rows_result,
)
RELEASE = Command(
    title="load an export",
    module="tests.faults.programs",
    args=("release", "export"),
    needs=("export",),
)

# Imports, fine-tuning, jobs.
IMPORT = Command(
    module="pretrain.import_weights",
    args=("--from=hf", "--model_dir=new"),
    needs=("hf",),
    writes=("new*",),
    result=digests("new/initial/weights.safetensors", "new/initial/vocab.txt"),
)
IMPORT_EXPORT = dataclasses.replace(
    IMPORT, args=("--from=export", "--model_dir=new"), needs=("export",)
)
IMPORT_CHECKPOINT = dataclasses.replace(
    IMPORT, args=("--from=tf-models", "--model_dir=new"), needs=("tf-models",)
)
_WARM = ("--gin_file=run.gin", "--data_dir=data", "--model_dir=warm")
WARM_DRY_RUN = Command(
    module="pretrain.run", args=(*_WARM, "--dry_run"), needs=("data", "run.gin", "warm")
)
WARM_EVAL = Command(
    module="pretrain.run",
    args=(*_WARM, "--mode=eval"),
    needs=("data", "run.gin", "warm"),
    writes=("warm/*",),
    result=last_line,
)
TUNE = Command(
    module="finetune.run",
    args=(*TUNE_FLAGS, "--model_dir=new"),
    needs=("task", "task.gin", "export"),
    writes=("new*",),
    leaves=("new*",),
    result=digests("new/summary.json"),
)
TUNE_DRY_RUN = dataclasses.replace(  # reading hf/ takes less time than reading a SavedModel
    TUNE,
    args=("--gin_file=task.gin", "--encoder=hf", "--task_data=task", "--dry_run"),
    needs=("task", "task.gin", "hf"),
    result=last_line,
)
RESUME_TUNING = dataclasses.replace(
    TUNE,
    args=(*TUNE_FLAGS, "--model_dir=tuned"),
    needs=(*TUNE.needs, "tuned"),
    writes=("tuned*",),
    leaves=("tuned*",),
    result=digests("tuned/summary.json"),
)
SUMMARY = Command(module="finetune.summary", args=("tuned",), needs=("tuned",))
TUNED_REPORT = Command(
    title="reports of fine-tuning",
    module="tests.faults.programs",
    args=("pages", "tuned"),
    needs=("tuned",),
    writes=("tuned/*report.html",),
    leaves=("tuned/*report.html",),
    result=digests("tuned/report.html", "tuned/*/report.html"),
)
PREDICT = Command(
    module="finetune.predict",
    args=("--model_dir=tuned/export", "--input=task/test.jsonl", "--output=answers.jsonl"),
    needs=("tuned", "task"),
    writes=("answers.jsonl",),
    result=digests("answers.jsonl"),
)


def predict(name: str) -> Command:
    """Return the command that predicts for another input."""
    args = ("--model_dir=tuned/export", f"--input={name}", "--output=answers.jsonl")
    return dataclasses.replace(PREDICT, args=args, needs=("tuned",))


JOB = Command(
    title="read a job", module="tests.faults.programs", args=("job", "job"), needs=("job",)
)

PLAN = Command(
    module="launch.plan.__main__",
    args=("--gin_file=gin/lambert_large.gin", "--accelerator=v5e-8", "--data_dir=data"),
    needs=("data",),
)
