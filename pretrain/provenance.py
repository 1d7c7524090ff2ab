"""Record of a pretraining run's settings and data in its model directory."""

from __future__ import annotations

import dataclasses
from typing import Any

from data import schema
from data.manifest import Manifest
from data.stages import accounting
from pretrain.checkpoints.model_dir import Run
from pretrain.checkpoints.warm_start import WarmStart
from pretrain.config import RunConfig


def identify_run(model_dir: str, config: RunConfig, manifest: Manifest) -> Run:
    """Return the identity of a run: its settings, its data and the weights it starts from.

    Args:
      model_dir: model directory, which may hold imported weights.
      config: resolved settings.
      manifest: manifest of the data.
    """
    warm_start = WarmStart.load(model_dir)
    return Run(
        config=config,
        data_sha256=manifest.sha256,
        lower_case=manifest.config.lower_case,
        initial_sha256=warm_start.weights_sha256 if warm_start else None,
    )


def describe_data(manifest: Manifest) -> dict[str, Any]:
    """Return the summary of the data for data.json, for readers of the run who lack the build."""
    splits = {
        split: {
            "sequences": manifest.num_sequences(split),
            "tokens": sum(shard.tokens for shard in manifest.split(split)),
            "documents": sum(shard.documents for shard in manifest.split(split)),
        }
        for split in schema.SPLITS
    }
    packed = {
        source: {
            unit: counts.get(f"{unit}_{accounting.PACKED}", 0)
            for unit in ("documents", "tokens", "bytes")
        }
        for source, counts in manifest.accounts.items()
    }
    return {
        "sha256": manifest.sha256,
        "splits": splits,
        "sources": packed,
        "vocab_pieces": manifest.vocab_pieces,
        "vocab_sha256": manifest.vocab_sha256,
        "build": dataclasses.asdict(manifest.config),
    }
