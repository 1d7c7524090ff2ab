"""Check a pretraining configuration against its data, and describe what it amounts to."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from data.config import BuildConfig
from data.errors import UserError
from data.manifest import Manifest
from launch.accelerators.costs import Step, memory, num_parameters
from pretrain.config import RunConfig
from pretrain.train.config import TrainConfig
from pretrain.train.recipe import padded_vocab_size, recipe_lines


def resolve(config: RunConfig, manifest: Manifest) -> RunConfig:
    """Return the configuration with the vocabulary size of the data filled in.

    Raises:
      UserError: the configuration contradicts the data.
    """
    encoder, build = config.encoder, manifest.config
    if encoder.vocab_size == 0:
        encoder = dataclasses.replace(encoder, vocab_size=manifest.vocab_pieces)
    padded = padded_vocab_size(manifest.vocab_pieces)
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


def check_memory(
    config: RunConfig, *, seq_length: int, replicas: int, memory: tuple[int, str]
) -> None:
    """Raise a UserError for settings that certainly need more memory than a device has.

    The estimates are lower bounds, parts of the formula of launch.plan (docs/plan.md): weights, gradients
    and moments; and with them, for each sequence of a micro-batch, the inputs of all blocks, which the
    backward pass needs even if it recomputes the rest.

    Args:
      config: settings of the run; vocab_size is known.
      seq_length: tokens in a sequence, S.
      replicas: devices that share a batch.
      memory: memory of a device in bytes, and what the device is.
    """
    encoder, train = config.encoder, config.train
    parameters = num_parameters(encoder)
    shards = replicas if config.optimizer.shard else 1
    state = 4 + 4 + config.optimizer.properties.state_bytes_per_parameter / shards
    share = train.global_batch_size // replicas
    width = encoder.hidden_size * (2 if train.precision == "mixed_bfloat16" else 4)
    micro_batch = min(train.micro_batch_size or share, share)
    inputs = micro_batch * seq_length * width * encoder.num_hidden_layers
    needs = {
        f"EncoderConfig.hidden_size={encoder.hidden_size} and num_hidden_layers="
        f"{encoder.num_hidden_layers}": parameters * state,
        f"TrainConfig.global_batch_size={train.global_batch_size} and micro_batch_size="
        f"{train.micro_batch_size}": parameters * state + inputs,
        f"TrainConfig.eval_batch_size={train.eval_batch_size}": (
            train.eval_batch_size // replicas * seq_length * width
        ),
    }
    for settings, needed in needs.items():
        if needed > memory[0]:
            raise UserError(
                f"{settings} need at least {needed / 2**30:,.1f} GiB, {memory[1]} has"
                f" {memory[0] / 2**30:,.1f} GiB; choose smaller values (launch.plan estimates the"
                " memory)"
            )


def passes(train: TrainConfig, sequences: int, copies: int) -> tuple[float, int]:
    """Return how often a run reads each sequence, and how many different masks of it there are.

    Args:
      train: settings of the training loop.
      sequences: sequences in the training split.
      copies: masked copies in the data; 0 if every pass has new masks.
    """
    number = train.train_steps * train.global_batch_size / sequences
    return number, copies or math.ceil(number)


def describe(
    config: RunConfig, manifest: Manifest | None, *, trained: Sequence[str], replicas: int = 1
) -> str:
    """Return a description of a resolved and checked configuration, in lines of text.

    Args:
      config: settings of the run.
      manifest: manifest of the data, if known.
      trained: names of the variables that the optimizer updates.
      replicas: devices that share a batch.
    """
    lines = ["Recipe"]
    if config.encoder.vocab_size:
        build = manifest.config if manifest else BuildConfig()
        lines.append(_memory_line(config, build, replicas=replicas))
    lines += recipe_lines(config.train, config.optimizer, trained=trained, replicas=replicas)
    if manifest:
        lines += _data_lines(config, manifest)
    return "\n  ".join(lines)


def _memory_line(config: RunConfig, build: BuildConfig, *, replicas: int) -> str:
    """Return the number of parameters, and the memory of a device as launch.plan estimates it."""
    seq_length = min(build.max_seq_length, config.encoder.max_position_embeddings)
    step = Step(
        encoder=config.encoder,
        seq_length=seq_length,
        max_predictions=min(build.max_predictions, seq_length),
        batch=1,
        micro_batch=1,
        precision=config.train.precision,
        rematerialize_blocks=config.train.rematerialize_blocks,
        optimizer=config.optimizer.optimizer,
        optimizer_shards=replicas if config.optimizer.shard else 1,
        steps_per_loop=config.train.steps_per_loop,
    )
    of_one = memory(step)
    fixed = of_one.weights + of_one.copies + of_one.moments + of_one.gradients
    return (
        f"{num_parameters(config.encoder):,} trained parameters; a device needs about"
        f" {_size(fixed)} for weights, moments and gradients, and"
        f" {_size(of_one.activations + of_one.logits)} for each sequence of a micro-batch"
        " (launch.plan has the figures of an accelerator)"
    )


def _size(num_bytes: int) -> str:
    units = (("GB", 1e9), ("MB", 1e6))
    unit, scale = next((unit for unit in units if num_bytes >= unit[1]), ("kB", 1e3))
    return f"{num_bytes / scale:.3g} {unit}"


def _data_lines(config: RunConfig, manifest: Manifest) -> list[str]:
    unique = manifest.num_sequences("train")
    num_passes, distinct = passes(config.train, unique, manifest.config.copies)
    return [
        f"data (manifest {manifest.sha256[:8]}): {unique:,} training sequences of"
        f" {manifest.config.max_seq_length} tokens, {manifest.num_sequences('eval'):,} held out",
        f"ids, checked in each batch: pieces below {manifest.vocab_pieces:,} of"
        f" {config.encoder.vocab_size:,} embeddings, positions below {manifest.config.max_seq_length}"
        f" of {config.encoder.max_position_embeddings}, type 0 of"
        f" {config.encoder.type_vocab_size}",
        f"{num_passes:.1f} passes, each of {distinct} masked copies seen"
        f" {num_passes / distinct:.1f} times",
    ]
