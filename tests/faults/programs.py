"""Programs for parts of the product that no command of its own runs alone; they take seconds less.

python -m tests.faults.programs stage SOURCE SCRATCH     as launch.node copies a build
python -m tests.faults.programs job JOB                  as launch.node reads a job
python -m tests.faults.programs read DATA MASKS READER   as training reads a split, once
python -m tests.faults.programs restore MODEL            as training chooses a checkpoint
python -m tests.faults.programs save MODEL STEP          as training saves one and removes old ones
python -m tests.faults.programs repair MODEL             as training reads its logs
python -m tests.faults.programs release EXPORT           as embed and fill_mask load an export
python -m tests.faults.programs pages TUNED              as finetune.run writes its reports
"""

from __future__ import annotations

import hashlib
import json
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from data.cli.main import run_main

if TYPE_CHECKING:
    from pretrain.checkpoints.checkpoint import Checkpoints


def main(argv: Sequence[str]) -> None:
    """Run one of the programs."""
    name, *arguments = argv
    getattr(sys.modules[__name__], f"_{name}")(*arguments)


def _stage(source: str, scratch: str) -> None:
    from launch.worker.stage import stage

    stage(source, scratch)


def _job(job_dir: str) -> None:
    from launch.jobs.job import Job
    from launch.worker.commands import preflight_command, run_command
    from launch.worker.environment import tensorflow_variables

    job = Job.load(job_dir)
    tensorflow_variables(job.config, {})
    for command in (preflight_command, run_command):
        print(shlex.join(command(job, data_dir="data", gin_file="run.gin")[1:]))


def _read(data_dir: str, masks: str, reader: str) -> None:
    import tensorflow as tf

    from data.config import InputConfig
    from data.manifest import Manifest
    from data.read.input_pipeline import training_batches
    from data.read.split_reader import SplitReader

    split = SplitReader(data_dir, Manifest.load(data_dir), "train", masks)
    steps = -(-split.num_sequences * max(1, split.copies) // 64)  # every copy of every sequence
    function = training_batches(
        split,
        InputConfig(masks=masks, reader=reader, prefetch=1),
        seed=1,
        global_batch_size=64,
        start_step=0,
    )
    digest = hashlib.sha256()
    with split.reraise_reader_errors():
        for batch in function(tf.distribute.InputContext()).take(steps):
            for name in sorted(batch):
                digest.update(batch[name].numpy().tobytes())
    print(f"{steps} batches of {masks} masks: {digest.hexdigest()}")


def _checkpoints(model_dir: str, keep: int) -> Checkpoints:
    import tensorflow as tf

    from pretrain.checkpoints.checkpoint import Checkpoints
    from pretrain.checkpoints.model_dir import identity, load_run
    from pretrain.config import RunConfig
    from pretrain.train.metrics import read_notes

    run = identity(load_run(model_dir, RunConfig))
    items = {"saved": tf.train.Checkpoint()}
    return Checkpoints(model_dir, items=items, run=run, keep=keep, read_notes=read_notes)


def _restore(model_dir: str) -> None:
    from pretrain.checkpoints import catalog
    from pretrain.train.metrics import MetricAccumulator

    restored = _checkpoints(model_dir, keep=1).restore_newest()
    catalog.remove_unfinished(model_dir)
    if restored is None:
        print("there has never been a checkpoint")
        return
    accumulator = MetricAccumulator(restored.notes.get("window"))
    print(f"restored step {restored.step}, {accumulator.num_steps} steps since the last row")


def _save(model_dir: str, step: str) -> None:
    checkpoints = _checkpoints(model_dir, keep=2)
    checkpoints.restore_newest()
    checkpoints.save(int(step))
    checkpoints.finish(int(step))


def _repair(model_dir: str) -> None:
    from pretrain.train.bad_steps import BadStepLog
    from pretrain.train.metrics_log import repair_metrics

    print(f"the next row is {repair_metrics(model_dir, 6)}")
    log = BadStepLog(model_dir, max_bad_steps=9, seed=1, global_batch_size=4, num_sequences=90)
    log.drop_after(6)
    print(json.dumps(log.first_recent(6)))


def _pages(model_dir: str) -> None:
    from finetune.report.pages import write_report, write_seed_report
    from finetune.summary import read_summary

    summary = read_summary(model_dir)
    for seed in summary["seeds"]:
        write_seed_report(f"{model_dir}/seed-{seed['seed']}")
    write_report(model_dir, summary)


def _release(export_dir: str) -> None:
    import tensorflow as tf

    from pretrain.export.load import LoadedExport

    export = LoadedExport.load(export_dir)
    pieces = export.preprocessor.tokenize(tf.constant(["a lover's complaint"]))
    features = export.preprocessor.bert_pack_inputs([pieces], seq_length=16)
    output = export.encoder(features)["sequence_output"].numpy()
    print(f"sum {abs(output).sum():.4f}, {pieces.to_list()}")


if __name__ == "__main__":
    run_main(main)
