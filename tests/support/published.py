"""A model directory with random weights, made without training, and its exports."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from data.manifest import Manifest
from model.names import weights
from model.weights import assign
from pretrain.checkpoints.checkpoint import Checkpoints
from pretrain.checkpoints.model_dir import identity, record_run
from pretrain.config import RunConfig
from pretrain.experiment import build_trainer
from pretrain.export import __main__ as export
from pretrain.gin_files import load_run_config
from pretrain.provenance import describe_data, identify_run
from pretrain.recipe import resolve

TINY = [
    "TrainConfig.train_steps = 6",
    "TrainConfig.global_batch_size = 4",
    "TrainConfig.eval_batch_size = 16",
    "TrainConfig.log_interval = 2",
    "TrainConfig.checkpoint_interval = 2",
    "TrainConfig.precision = 'float32'",
    "ClusterConfig.strategy = 'default'",
    "OptimizerConfig.warmup_steps = 2",
]
ENCODER = [
    "EncoderConfig.hidden_size = 16",
    "EncoderConfig.num_hidden_layers = 2",
    "EncoderConfig.num_attention_heads = 2",
    "EncoderConfig.intermediate_size = 32",
    "EncoderConfig.max_position_embeddings = 64",
    "EncoderConfig.hidden_activation = 'gelu'",
]


def random_values(config: RunConfig, *parts: str) -> dict[str, np.ndarray]:
    """Return distinct random weights by name, biases and LayerNorms included; no parts means all."""
    rng = np.random.default_rng(5)
    drawn = {w.name: rng.normal(0, 0.3, w.shape) for w in weights(config.encoder)}
    return {w.name: drawn[w.name].astype(np.float32) for w in weights(config.encoder, *parts)}


def assert_same_weights(actual: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]):
    """Compare weights bit for bit."""
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        assert actual[name].dtype == np.float32
        np.testing.assert_array_equal(actual[name], value)


def run_config(data_dir: Path) -> RunConfig:
    settings = load_run_config([], [*TINY, *ENCODER], kind=RunConfig)
    return resolve(settings, Manifest.load(data_dir))


def make_model_dir(path: Path, data_dir: Path) -> None:
    """Write a model directory as `pretrain.run` does, with random weights at step 6."""
    config, manifest = run_config(data_dir), Manifest.load(data_dir)
    run = identify_run(str(path), config, manifest)
    vocab_text = manifest.load_vocab(data_dir).text
    record_run(str(path), run, vocab_text=vocab_text, data=describe_data(manifest))
    trainer = build_trainer(config, tf.distribute.get_strategy())
    assign(trainer.model, random_values(config, "encoder", "head"))
    items = trainer.checkpoint_items
    checkpoints = Checkpoints(path, items=items, run=identity(run), keep=1)
    checkpoints.save(6)
    checkpoints.wait()


@dataclasses.dataclass(frozen=True)
class Published:
    """A model directory and its exports by `pretrain.export`."""

    config: RunConfig
    model_dir: Path
    export_dir: Path
    hf_dir: Path
    tf_models_dir: Path


def published_in(path: Path, data_dir: Path) -> Published:
    """Return what `publish` writes into a directory."""
    return Published(
        config=run_config(data_dir),
        model_dir=path / "model",
        export_dir=path / "export",
        hf_dir=path / "hf",
        tf_models_dir=path / "tf-models",
    )


def publish(path: Path, data_dir: Path) -> None:
    make_model_dir(path / "model", data_dir)
    published = published_in(path, data_dir)
    flags = {
        "model_dir": published.model_dir,
        "output_dir": published.export_dir,
        "hf_dir": published.hf_dir,
        "tf_models_dir": published.tf_models_dir,
    }
    export.main([f"--{name}={value}" for name, value in flags.items()])
