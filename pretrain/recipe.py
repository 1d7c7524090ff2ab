"""Whether a configuration makes sense, for itself and with its data, and what it amounts to."""

from __future__ import annotations

import dataclasses
import math

from data.errors import UserError
from data.manifest import Manifest
from pretrain.config import RunConfig

# Embedding tables may have a few rows more than pieces, to be a multiple of this.
_VOCAB_MULTIPLE = 128


def resolve(config: RunConfig, manifest: Manifest) -> RunConfig:
    """Fills in what the data decides, and checks the configuration against the data.

    Raises:
      UserError: naming the settings and the data that contradict each other.
    """
    encoder, build = config.encoder, manifest.config
    if encoder.vocab_size == 0:
        encoder = dataclasses.replace(encoder, vocab_size=manifest.vocab_pieces)
    padded = -(-manifest.vocab_pieces // _VOCAB_MULTIPLE) * _VOCAB_MULTIPLE
    if not manifest.vocab_pieces <= encoder.vocab_size <= padded:
        raise UserError(
            f"EncoderConfig.vocab_size={encoder.vocab_size} does not fit the vocabulary of the data,"
            f" {manifest.vocab_pieces} pieces; set it to 0 to take the data's (or to at most"
            f" {padded}, padded for the hardware)"
        )
    if encoder.max_position_embeddings < build.max_seq_length:
        raise UserError(
            f"EncoderConfig.max_position_embeddings={encoder.max_position_embeddings} is smaller"
            f" than the sequences of the data, {build.max_seq_length} tokens"
        )
    manifest.require_masks(config.input.masks)
    return dataclasses.replace(config, encoder=encoder)


def check(config: RunConfig, *, replicas: int = 1) -> None:
    """Raises a UserError unless there are steps after the warm-up and the batches divide evenly."""
    train = config.train
    if config.optimizer.warmup_steps >= train.train_steps:
        raise UserError(
            f"OptimizerConfig.warmup_steps={config.optimizer.warmup_steps} leaves nothing of"
            f" TrainConfig.train_steps={train.train_steps}; it must be smaller"
        )
    for name in ("global_batch_size", "eval_batch_size"):
        size = getattr(train, name)
        if size % replicas:
            raise UserError(
                f"TrainConfig.{name}={size} is not a multiple of {replicas} replicas; try"
                f" {size // replicas * replicas or replicas}"
            )
    share = train.global_batch_size // replicas
    if 0 < train.micro_batch_size < share and share % train.micro_batch_size:
        divisors = [
            d for d in range(1, share + 1) if share % d == 0 and d <= train.micro_batch_size
        ]
        raise UserError(
            f"TrainConfig.micro_batch_size={train.micro_batch_size} does not divide the"
            f" {share} sequences of a replica (TrainConfig.global_batch_size="
            f"{train.global_batch_size} over {replicas} replicas); try {divisors[-1]}"
        )


def describe(config: RunConfig, manifest: Manifest | None, data_dir: str) -> str:
    """The resolved configuration, and what it amounts to, for people."""
    lines = []
    for part in dataclasses.fields(config):
        instance = getattr(config, part.name)
        lines.append(type(instance).__name__)
        lines += [f"  {name} = {value!r}" for name, value in dataclasses.asdict(instance).items()]
    sequences = config.train.train_steps * config.train.global_batch_size
    optimizer = config.optimizer
    lines += [
        "Run",
        f"  {config.train.train_steps:,} updates of {config.train.global_batch_size:,} sequences:"
        f" {sequences:,} sequences",
        f"  learning rate {optimizer.peak_learning_rate:g} reached at update"
        f" {max(optimizer.warmup_steps, 1):,}, then down to {optimizer.end_learning_rate:g}",
    ]
    if manifest:
        unique = manifest.num_sequences("train")
        passes = sequences / unique
        copies = manifest.config.copies
        distinct = copies if copies else math.ceil(passes)
        lines += [
            f"Data {data_dir} (manifest {manifest.sha256[:8]})",
            f"  {unique:,} training sequences of {manifest.config.max_seq_length} tokens:"
            f" {passes:.1f} passes, each of {distinct} masked copies seen"
            f" {passes / distinct:.1f} times",
            f"  {manifest.num_sequences('eval'):,} held-out sequences",
        ]
    return "\n".join(lines)
