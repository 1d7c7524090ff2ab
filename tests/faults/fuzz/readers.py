"""The readers of all records, and what must hold for a record that is read."""

from __future__ import annotations

import dataclasses
import functools
import math
from pathlib import Path

from data.build import summary
from data.checked_json import is_inside
from data.manifest import Manifest
from data.stages.journal import Journal
from finetune import predict, seed_files
from finetune.pretrained import _pooler_is_untrained
from finetune.summary import SUMMARY_FILE, describe, read_summary
from launch.jobs.job import JOB_FILE, Job
from launch.slurm import batch_script
from model import huggingface
from pretrain.checkpoints import catalog
from pretrain.checkpoints.best import BEST_FILE, best_step
from pretrain.checkpoints.model_dir import (
    DATA_FILE,
    ENVIRONMENT_FILE,
    RUN_FILE,
    identity,
    load_run,
    read_data,
    read_environment,
)
from pretrain.checkpoints.warm_start import WarmStart
from pretrain.config import RunConfig
from pretrain.convert import common
from pretrain.train.bad_steps import LOG_FILE, BadStepLog
from pretrain.train.metrics import MetricAccumulator, read_notes
from pretrain.train.metrics_log import METRICS_FILE, read_metrics, repair_metrics
from tests.faults.artefacts import SEED_DIR
from tests.faults.fuzz.records import RecordKind

_STEP = "model/checkpoints/step-00000006"
_UNFINISHED = "unfinished/unfinished"


def _manifest(build: str, file: str, folder: Path) -> None:
    path = folder / file
    manifest = Manifest.parse(path.read_bytes(), str(path))
    assert all(is_inside(file.path) for file in manifest.files)
    assert Manifest.parse(manifest.to_json().encode(), "again") == manifest
    if any(shard.tokens for shard in manifest.shards):
        assert "\n" not in summary(manifest)
    manifest.check_sizes(str(folder / build))


def _commit(folder: Path) -> None:
    ref = catalog.ref_of(folder / "model", 6)
    assert catalog.committed(folder / "model") == [ref]
    record = catalog.verify(ref)
    for name in ("config_sha256", "data_sha256"):
        record.text(name)
    accumulator = MetricAccumulator(read_notes(record.mapping("notes")).get("window"))
    assert MetricAccumulator(accumulator.to_json()).to_json() == accumulator.to_json()


def _newest(folder: Path) -> None:
    catalog.remove_unfinished(folder / "model")
    assert catalog.committed(folder / "model")


def _run(folder: Path) -> None:
    run = load_run(str(folder / "model"), RunConfig)
    assert all(isinstance(value, str) for value in identity(run).values())


def _metrics(folder: Path) -> None:
    rows = read_metrics(folder / "model")
    assert repair_metrics(folder / "model", 6) == 1 + sum(row["step"] <= 6 for row in rows)
    again = read_metrics(folder / "model")
    assert [row["step"] for row in again] == [row["step"] for row in rows if row["step"] <= 6]


def _bad_steps(folder: Path) -> None:
    log = BadStepLog(
        str(folder / "log"), max_bad_steps=1, seed=1, global_batch_size=4, num_sequences=9
    )
    log.drop_after(6)
    first = log.first_recent(6)
    assert first is None or 1 <= first <= 6


def _journal(record: str, folder: Path) -> None:
    """Read the record of a task; a damaged one counts as missing, so that the task runs again."""
    task = record.removesuffix(".json")
    ran = []

    def make() -> tuple[dict, list[str]]:
        ran.append(task)
        return {"records": 0}, []

    result, found = Journal(str(folder / "unfinished")).run_once(
        task, make, key="k", paths=["packed/train/shard-00000.npy"], fields=("records",)
    )
    assert bool(ran) == (not found) or result["records"] == 0


def _settings(folder: Path) -> None:
    path = folder / "hf/config.json"
    config = huggingface.config_from_json(common.read_json(path), str(path))
    assert all(not isinstance(v, float) or math.isfinite(v) for v in vars(config).values())


def _exported(folder: Path) -> None:
    common.read_record(folder / "export/export.json")
    _pooler_is_untrained(str(folder / "export"))


def _job(folder: Path) -> None:
    job = Job.load(str(folder / "job"))
    values = dataclasses.astuple(job.config)
    assert not any(
        set(value) & set("`;|&<>\\\"'*? \n") for value in values if isinstance(value, str)
    )
    assert batch_script(job).isascii()


MANIFEST = RecordKind(
    file="data/manifest.json",
    needs=("data",),
    read=functools.partial(_manifest, "data", "data/manifest.json"),
)
OTHERS = [
    RecordKind(
        file=f"{_UNFINISHED}/plan.json",
        read=lambda folder: Manifest.parse(
            (folder / f"{_UNFINISHED}/plan.json").read_bytes(), "plan.json"
        ),
    ),
    RecordKind(
        file=f"{_UNFINISHED}/done/pack/train-00000.json",
        needs=("unfinished/packed",),
        read=functools.partial(_journal, "pack/train-00000.json"),
    ),
    RecordKind(file=f"{_STEP}/{catalog.COMMIT_FILE}", needs=(_STEP,), read=_commit),
    RecordKind(file=f"model/{catalog.NEWEST_FILE}", needs=(_STEP,), read=_newest),
    RecordKind(file=f"model/{BEST_FILE}", read=lambda folder: best_step(folder / "model")),
    RecordKind(file=f"model/{RUN_FILE}", read=_run),
    RecordKind(file=f"model/{DATA_FILE}", read=lambda folder: read_data(str(folder / "model"))),
    RecordKind(
        file=f"model/{ENVIRONMENT_FILE}",
        read=lambda folder: read_environment(str(folder / "model")),
    ),
    RecordKind(file=f"model/{METRICS_FILE}", read=_metrics),
    RecordKind(file=f"log/{LOG_FILE}", read=_bad_steps),
    RecordKind(file="export/export.json", read=_exported),
    RecordKind(
        file="warm/initial/source.json",
        read=lambda folder: WarmStart.load(str(folder / "warm")),
    ),
    RecordKind(file="hf/config.json", read=_settings),
    RecordKind(
        file="hf/tokenizer.json", read=lambda folder: common.find_vocab(folder / "hf", None)
    ),
    RecordKind(
        file="tuned/export/export.json",
        read=lambda folder: predict._read_record(folder / "tuned/export/export.json"),
    ),
    RecordKind(
        file=f"tuned/{SUMMARY_FILE}",
        read=lambda folder: describe(read_summary(str(folder / "tuned"))),
    ),
    RecordKind(
        file=f"{SEED_DIR}/{seed_files.METRICS_FILE}",
        read=lambda folder: seed_files.read_scores(str(folder / SEED_DIR)),
    ),
    RecordKind(
        file=f"{SEED_DIR}/{DATA_FILE}",
        read=lambda folder: seed_files.read_task_data(str(folder / SEED_DIR)),
    ),
    RecordKind(file=f"job/{JOB_FILE}", needs=("job",), read=_job),
]
