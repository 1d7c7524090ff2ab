"""Whether a configuration makes sense, for itself and with its data, and what it amounts to."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
from collections.abc import Sequence

from data.errors import UserError
from data.manifest import Manifest
from optim.config import OptimizerConfig, matches
from pretrain.config import RunConfig
from pretrain.train.config import TrainConfig

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


def padded_vocab_size(pieces: int) -> int:
    """The most rows that an embedding table of so many pieces may have."""
    return -(-pieces // _VOCAB_MULTIPLE) * _VOCAB_MULTIPLE


def check_table_size(rows: int, pieces: int, where: str) -> None:
    """Raises a UserError unless an embedding table can be that of a vocabulary."""
    if not pieces <= rows <= padded_vocab_size(pieces):
        raise UserError(
            f"{where}: the embedding table has {rows} rows, the vocabulary {pieces} pieces; use the"
            " vocabulary it was trained with"
        )


def check(config: RunConfig, *, replicas: int = 1) -> None:
    """Raises a UserError unless there are steps after the warm-up and the batches divide evenly.

    Also if metrics are to go to a service whose client is not installed.
    """
    train = config.train
    if train.wandb_project and importlib.util.find_spec("wandb") is None:
        raise UserError(
            f"TrainConfig.wandb_project={train.wandb_project!r}, but wandb is not installed:"
            " `pip install wandb`, or leave the setting out"
        )
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


def passes(train: TrainConfig, sequences: int, copies: int) -> tuple[float, int]:
    """Passes of a run over so many sequences, and how many masks of each it can see.

    Without copies, every pass makes masks of its own.
    """
    number = train.train_steps * train.global_batch_size / sequences
    return number, copies or math.ceil(number)


def check_variables(optimizer: OptimizerConfig, trained: Sequence[str]) -> None:
    """Raises a UserError if a pattern matches no variable: then it has a slip of the pen."""
    for setting in ("exclude_from_weight_decay", "exclude_from_layer_adaptation"):
        for pattern in getattr(optimizer, setting):
            if not any(matches([pattern], name) for name in trained):
                raise UserError(
                    f"OptimizerConfig.{setting}: {pattern!r} matches none of the {len(trained)}"
                    f" trained variables, e.g. {trained[0]}; correct it or leave it out"
                )


def describe_settings(config: RunConfig) -> str:
    """Every setting of the resolved configuration, for people."""
    lines = []
    for part in dataclasses.fields(config):
        instance = getattr(config, part.name)
        lines.append(type(instance).__name__)
        lines += [f"  {name} = {value!r}" for name, value in dataclasses.asdict(instance).items()]
    return "\n".join(lines)


def describe(
    config: RunConfig,
    manifest: Manifest | None,
    *,
    trained: Sequence[str],
    replicas: int = 1,
) -> str:
    """What a resolved and checked configuration amounts to, for people.

    Args:
      config: the settings.
      manifest: of the data, if known.
      trained: names of the variables that the optimizer is given.
      replicas: devices that share a batch.
    """
    lines = [
        *("Recipe", *_batch_lines(config, replicas), *_optimizer_lines(config)),
        *_variable_lines(config.optimizer, trained),
    ]
    if manifest:
        lines += _data_lines(config, manifest)
    return "\n  ".join(lines)


def _batch_lines(config: RunConfig, replicas: int) -> list[str]:
    train = config.train
    share = train.global_batch_size // replicas
    micro = min(train.micro_batch_size or share, share)
    chunk = train.logits_chunk_size
    return [
        f"{train.train_steps:,} updates of {train.global_batch_size:,} sequences:"
        f" {train.train_steps * train.global_batch_size:,} sequences",
        f"batch: {train.global_batch_size:,} = {replicas:,} replica{'s' * (replicas > 1)}"
        f" x {micro:,} at once x {share // micro:,} accumulated",
        f"{train.precision}; blocks "
        + ("computed again in the backward pass" if train.rematerialize_blocks else "kept whole")
        + f"; logits {f'of {chunk:,} predictions at a time' if chunk else 'all at once'}",
    ]


def _optimizer_lines(config: RunConfig) -> list[str]:
    from optim.build import build_schedule  # TensorFlow

    optimizer, steps = config.optimizer, config.train.train_steps
    schedule = build_schedule(optimizer, steps)
    peak_update = max(optimizer.warmup_steps, 1)
    first, peak, last = (float(schedule(step)) for step in (0, peak_update - 1, steps - 1))
    assert math.isclose(peak, optimizer.peak_learning_rate, rel_tol=1e-6)
    clip = optimizer.effective_clip_norm
    return [
        f"learning rate {peak:.6g} reached at update {peak_update:,}, from {first:.3g} at the first"
        f" to {last:.3g} at the last ({optimizer.schedule})",
        f"{optimizer.label}, gradients "
        + (f"clipped to a global norm of {clip:g}" if clip else "not clipped"),
    ]


def _variable_lines(optimizer: OptimizerConfig, trained: Sequence[str]) -> list[str]:
    decayed = [name for name in trained if optimizer.decays(name)]
    adapted = [name for name in trained if optimizer.adapts(name)]
    constant = [name for name in trained if not optimizer.adapts(name)]
    lines = [
        f"trained: {_examples(trained)}",
        f"decayed by {optimizer.weight_decay_rate:g}: {_examples(decayed)}; not:"
        f" {_examples([name for name in trained if name not in set(decayed)])}",
    ]
    if optimizer.optimizer == "lamb":
        lines.append(f"adapted: {_examples(adapted)}; not: {_examples(constant)}")
        if optimizer.variant == "nvlamb" and constant:
            lines.append(
                "note: NVIDIA's nvlamb adapts every variable; for that, set"
                " OptimizerConfig.exclude_from_layer_adaptation = []"
            )
    return lines


def _examples(names: Sequence[str]) -> str:
    return f"{len(names)} variables ({names[0].partition(':')[0]})" if names else "none"


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
