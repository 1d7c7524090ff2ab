"""Files for the cases to damage, made once: a build, the same build unfinished, and a trained model.

inputs/       a Wikipedia dump and books
vocab.txt     vocabulary of 1,500 pieces
data/         a build with two masked copies; data.gin has its settings
unfinished/   the same build, killed before its manifest
model/        a run of 6 steps with checkpoints 2, 4 and 6; run.gin has its settings
export/       the run as SavedModels; in hf/ in Hugging Face's format, in tf-models/ as a checkpoint
warm/         a model directory that starts from hf/
task/         a task of two labels and its files; task.gin has its settings
tuned/        the encoder fine-tuned on it with one seed
log/          a log of bad steps
job/          a job as machines read it
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path

from pretrain.train.bad_steps import BadStep, BadStepLog
from tests.faults.case import Command
from tests.support.finetuning import OWN, SETTINGS, write_rows
from tests.support.jobs import make_job
from tests.support.paths import GOLDEN
from tests.support.pretraining import TINY

BOOKS = ("lovers_complaint.txt", "passionate_pilgrim.txt", "phoenix_and_the_turtle.txt")
BUILD_SETTINGS = """\
BuildConfig.copies = 2
BuildConfig.num_shards = 2
BuildConfig.max_seq_length = 64
BuildConfig.max_predictions = 10
BuildConfig.eval_fraction = 0.25
BuildConfig.seed = 7
"""
INPUT_FLAGS = ("--wiki=inputs/*.bz2", "--books=inputs/books/*.txt")
BUILD = Command(
    module="data.build",
    args=("--gin_file=data.gin", *INPUT_FLAGS, "--vocab_file=vocab.txt", "--output_dir=data"),
    needs=("inputs", "vocab.txt", "data.gin"),
)
TRAIN = Command(
    module="pretrain.run",
    args=("--gin_file=run.gin", "--data_dir=data", "--model_dir=model"),
    needs=("data", "run.gin"),
)
EXPORT = Command(
    module="pretrain.export.__main__",
    args=("--model_dir=model", "--output_dir=export", "--hf_dir=hf", "--tf_models_dir=tf-models"),
    needs=("model",),
)
IMPORT = Command(
    module="pretrain.import_weights", args=("--from=hf", "--model_dir=warm"), needs=("hf",)
)
SEED_DIR = "tuned/seed-12345"
TUNE_FLAGS = ("--gin_file=task.gin", "--encoder=export", "--task_data=task")
TUNE = Command(
    module="finetune.run",
    args=(*TUNE_FLAGS, "--model_dir=tuned"),
    needs=("task", "task.gin", "export"),
)
# In this order; each runs in a fork, in the folder of the artefacts.
STEPS = {"data": BUILD, "model": TRAIN, "export": EXPORT, "warm": IMPORT, "tuned": TUNE}


def write_inputs(folder: Path) -> None:
    """Write everything that no command makes."""
    inputs = folder / "inputs"
    (inputs / "books").mkdir(parents=True)
    for name in BOOKS:
        shutil.copy(GOLDEN / "books" / name, inputs / "books" / name)
    shutil.copy(GOLDEN / "wiki.xml.bz2", inputs / "wiki.xml.bz2")
    shutil.copy(GOLDEN / "vocab.txt", folder / "vocab.txt")
    (folder / "data.gin").write_text(BUILD_SETTINGS)
    run = [line for line in TINY if "keep_checkpoints" not in line]
    run += ["TrainConfig.keep_checkpoints = 3"]
    (folder / "run.gin").write_text("".join(f"{line}\n" for line in run))
    write_task(folder)
    log = BadStepLog(
        str(folder / "log"), max_bad_steps=9, seed=1, global_batch_size=4, num_sequences=90
    )
    log.record([BadStep(step=n, loss=8.5, grad_norm=math.inf, kind=1, recent=n) for n in (3, 5)])
    job = make_job(data_dir="data", bucket="jobs", scratch_dir="scratch", accelerator="cpu")
    for name, content in job.files().items():
        (folder / "job").mkdir(exist_ok=True)
        (folder / "job" / name).write_bytes(content)


def write_task(folder: Path) -> None:
    """Write the task whether a line of verse ends with a comma."""
    text = (folder / "inputs/books" / BOOKS[0]).read_text()
    lines = [line.strip() for line in text.splitlines() if len(line.split()) > 5][10:50]
    rows = [{"text": line, "label": "yes" if line[-1] == "," else "no"} for line in lines]
    write_rows(folder / "task", rows)
    settings = [
        *SETTINGS,
        *OWN,
        "TaskConfig.kind = 'classification'",
        "TrainConfig.train_steps = 4",
    ]
    (folder / "task.gin").write_text("".join(f"{line}\n" for line in settings))


def keep_unfinished(folder: Path) -> None:
    """Build once more, but leave out what a build does last: its manifest, and the removal of its work."""
    from data import build, build_dir
    from data.manifest import Manifest

    class Killed(Exception):  # noqa: N818
        pass

    def stop(*_: object) -> None:
        raise Killed

    Manifest.write = stop
    build_dir.remove_leftovers = stop
    with_other_folder = [
        arg.replace("=data", "=unfinished") for arg in BUILD.args if "gin" not in arg
    ]
    try:
        build.main(["--gin_file=data.gin", *with_other_folder])
    except Exception as error:
        if "Killed" not in repr(error):
            raise
    assert (folder / "unfinished/unfinished/done").is_dir()
    assert not (folder / "unfinished/manifest.json").exists()


def make_steps(folder: Path) -> dict[str, Callable[[], object]]:
    """Return functions that make the artefacts, in order; each wants a process in `folder`."""
    from tests.faults.sandbox import call_main

    steps: dict[str, Callable[[], object]] = {"inputs": lambda: write_inputs(folder)}
    for name, command in STEPS.items():
        steps[name] = lambda command=command: call_main(command)
        if name == "data":
            steps["unfinished"] = lambda: keep_unfinished(folder)
    return steps
