"""Handmade model directories, for tests of code that reads them."""

import dataclasses
import json
from pathlib import Path

from data.config import InputConfig
from launch.config import ClusterConfig
from model.config import EncoderConfig
from optim.config import OptimizerConfig
from pretrain.config import RunConfig
from pretrain.train.config import TrainConfig


def run_config(**train) -> RunConfig:
    """Return settings of a run with the given TrainConfig."""
    return RunConfig(
        train=TrainConfig(**train),
        input=InputConfig(),
        encoder=EncoderConfig(vocab_size=1500),
        optimizer=OptimizerConfig(warmup_steps=10),
        cluster=ClusterConfig(),
    )


def make_model_dir(path: Path, rows=(), **train) -> Path:
    """Write settings and metrics without data.json, as an older version did."""
    path.mkdir(parents=True, exist_ok=True)
    record = {
        "config": dataclasses.asdict(run_config(**train)),
        "data_sha256": "ab" * 32,
        "lower_case": True,
    }
    (path / "run.json").write_text(json.dumps(record))
    if rows:
        (path / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path
