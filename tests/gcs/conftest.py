"""A bucket with what each step of the pipeline makes there; see tests/gcs/__main__.py."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data import files
from data.build import main as build
from finetune import run as finetune_run
from pretrain.checkpoints.catalog import committed
from pretrain.export import __main__ as export
from tests.gcs.server import serve
from tests.support.finetuning import OWN, SETTINGS, write_clauses
from tests.support.jobs import upload
from tests.support.paths import GOLDEN, ROOT
from tests.support.published import ENCODER, TINY

FOLDER = "LAMBERT_GCS_FOLDER"
BUCKET = "gs://lambert"
BUILD = [
    "BuildConfig.copies = 2",
    "BuildConfig.num_shards = 2",
    "BuildConfig.max_seq_length = 64",
    "BuildConfig.max_predictions = 10",
    "BuildConfig.eval_fraction = 0.25",
]
RUN = [
    *TINY,
    *ENCODER,
    "TrainConfig.train_steps = 40",
    "TrainConfig.checkpoint_interval = 10",
    "TrainConfig.eval_interval = 20",
]


def gin(params):
    return [f"--gin_param={param}" for param in params]


@pytest.fixture(scope="session")
def storage():
    """The server. It needs a network of its own, which `make test-gcs` makes."""
    if FOLDER not in os.environ:
        pytest.skip("needs a network of its own: make test-gcs")
    with serve(Path(os.environ[FOLDER])) as storage:
        storage.create_bucket("lambert")
        yield storage


@pytest.fixture(scope="session")
def data(storage):
    """A build whose inputs, vocabulary and output are in the bucket."""
    upload(GOLDEN / "books", f"{BUCKET}/books")
    files.write_atomically(f"{BUCKET}/wiki.xml.bz2", (GOLDEN / "wiki.xml.bz2").read_bytes())
    inputs = [f"--books={BUCKET}/books/*.txt", f"--wiki={BUCKET}/*.bz2"]
    flags = [f"--vocab_file={GOLDEN}/vocab.txt", f"--output_dir={BUCKET}/data"]
    build([*gin(BUILD), *inputs, *flags])
    return f"{BUCKET}/data"


def start_run(data, model_dir, scratch, log):
    """Start a pretraining run in a process of its own."""
    flags = [f"--data_dir={data}", f"--model_dir={model_dir}", f"--scratch_dir={scratch}"]
    command = [sys.executable, "-m", "pretrain.run", *gin(RUN), *flags]
    with open(log, "w") as file:
        return subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT)


@pytest.fixture(scope="session")
def trained(storage, data, tmp_path_factory):
    """A run that is killed after its first checkpoint, and ends while storage fails now and then.

    Returns: (model directory, outputs of both processes).
    """
    model_dir, folder = f"{BUCKET}/model", tmp_path_factory.mktemp("run")
    process = start_run(data, model_dir, folder / "scratch", folder / "killed.log")
    while process.poll() is None and not (files.exists(model_dir) and committed(model_dir)):
        time.sleep(0.2)
    assert process.poll() is None, (folder / "killed.log").read_text()[-3000:]
    process.kill()
    process.wait()
    killed_at = max(ref.step for ref in committed(model_dir))
    assert killed_at < 40, (folder / "killed.log").read_text()[-3000:]
    with storage.fault("upload|rewriteTo|GET", 503, every=7):
        process = start_run(data, model_dir, folder / "scratch", folder / "resumed.log")
        assert process.wait(timeout=500) == 0, (folder / "resumed.log").read_text()[-3000:]
    return model_dir, [(folder / f"{name}.log").read_text() for name in ("killed", "resumed")]


@pytest.fixture(scope="session")
def exported(trained):
    """(E, H) of the run, in the bucket."""
    model_dir, _ = trained
    folders = f"{BUCKET}/export", f"{BUCKET}/hf"
    export.main(
        [f"--model_dir={model_dir}", f"--output_dir={folders[0]}", f"--hf_dir={folders[1]}"]
    )
    return folders


@pytest.fixture(scope="session")
def finetuned(exported, clauses, tmp_path_factory):
    """A model directory in the bucket, fine-tuned from E on a task in the bucket, and its H."""
    task = tmp_path_factory.mktemp("task") / "t"
    write_clauses(task, clauses)
    upload(task, f"{BUCKET}/task")
    params = [*SETTINGS, *OWN, "TaskConfig.kind = 'classification'", "TrainConfig.train_steps = 8"]
    flags = [f"--encoder={exported[0]}", f"--task_data={BUCKET}/task"]
    outputs = [f"--model_dir={BUCKET}/finetuned", f"--hf_dir={BUCKET}/finetuned-hf"]
    finetune_run.main([*gin(params), *flags, *outputs])
    return f"{BUCKET}/finetuned", f"{BUCKET}/finetuned-hf"


def json_of(path):
    return json.loads(files.read_bytes(path))
