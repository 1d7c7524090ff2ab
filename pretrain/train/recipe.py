"""Check the settings that all kinds of training share, and describe what they amount to."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
from collections.abc import Sequence
from typing import Any

from data.errors import UserError
from model.config import EncoderConfig
from model.kernels.devices import DEVICES, cudnn_device_problem, cudnn_problem
from model.kernels.devices import problem as kernel_problem
from optim.config import OptimizerConfig, matches
from pretrain.train.config import TrainConfig

# Embedding tables may be padded to a multiple of this many rows.
_VOCAB_MULTIPLE = 128


def padded_vocab_size(pieces: int) -> int:
    """Return the most rows an embedding table may have for a vocabulary of `pieces` entries."""
    return -(-pieces // _VOCAB_MULTIPLE) * _VOCAB_MULTIPLE


def check_table_size(rows: int, pieces: int, where: str) -> None:
    """Raise a UserError unless an embedding table fits a vocabulary, padding rows allowed.

    Args:
      rows: rows of the embedding table.
      pieces: entries of the vocabulary.
      where: the file or run, for the message.
    """
    if not pieces <= rows <= padded_vocab_size(pieces):
        raise UserError(
            f"{where}: the embedding table has {rows} rows, the vocabulary {pieces} pieces; use the"
            " vocabulary it was trained with"
        )


def check_settings(train: TrainConfig, optimizer: OptimizerConfig, *, replicas: int = 1) -> None:
    """Check settings against each other and against the number of replicas.

    Args:
      train: settings of the training loop.
      optimizer: settings of the optimizer.
      replicas: devices that share a batch.

    Raises:
      UserError: the warm-up takes all steps, a batch does not divide evenly, or metrics are to go to
        Weights & Biases and its client is not installed.
    """
    if train.wandb_project and importlib.util.find_spec("wandb") is None:
        raise UserError(
            f"TrainConfig.wandb_project={train.wandb_project!r}, but wandb is not installed:"
            " `pip install wandb`, or leave the setting out"
        )
    if optimizer.warmup_steps >= train.train_steps:
        raise UserError(
            f"OptimizerConfig.warmup_steps={optimizer.warmup_steps} leaves nothing of"
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


def check_device(train: TrainConfig, device: str) -> None:
    """Raise a UserError if attention is to be by kernels on a kind of device that has none.

    Args:
      train: settings of the training loop.
      device: key of `model.kernels.devices.DEVICES`.
    """
    problem = DEVICES[device].problem
    if train.attention == "cudnn":
        problem = cudnn_device_problem(device)
    if train.attention in ("kernel", "cudnn") and problem:
        raise _no_kernels(train, device, problem)


def choose_kernels(
    train: TrainConfig, encoder: EncoderConfig, *, device: str, seq_length: int
) -> str | None:
    """Return the kind of device whose attention kernels training uses; None for XLA or a library.

    Args:
      train: settings of the training loop.
      encoder: architecture.
      device: what `launch.strategy.device_kind` returns, a key of `model.kernels.devices.DEVICES`.
      seq_length: tokens of a sequence.

    Raises:
      UserError: TrainConfig.attention asks for kernels, and there are none for this run.
    """
    heads = encoder.num_attention_heads
    sizes: dict[str, Any] = {
        "head_size": encoder.hidden_size // heads,
        "dtype": "bfloat16" if train.precision == "mixed_bfloat16" else train.precision,
    }
    is_default = train.attention == "auto" and DEVICES[device].is_default
    if train.attention == "cudnn":
        dropout = encoder.attention_probs_dropout_prob
        kernels, problem = "cudnn", cudnn_problem(device, dropout=dropout, **sizes)
    elif train.attention == "kernel" or is_default:
        kernels = DEVICES[device].kernels
        problem = kernel_problem(device, positions=seq_length, heads=heads, **sizes)
    else:
        return None
    if not problem and kernels in ("gpu", "cudnn") and train.jit_compile == "off":
        problem = "kernels are part of a program of XLA, and TrainConfig.jit_compile is 'off'"
    if not problem:
        return kernels
    if is_default:
        return None
    raise _no_kernels(train, device, problem)


def _no_kernels(train: TrainConfig, device: str, problem: str) -> UserError:
    return UserError(
        f"TrainConfig.attention={train.attention!r} on {DEVICES[device].name}: {problem}; set it to 'auto'"
        " or 'xla'"
    )


def check_variables(optimizer: OptimizerConfig, trained: Sequence[str]) -> None:
    """Raise a UserError if a pattern matches no variable: it is probably misspelled."""
    for setting in ("exclude_from_weight_decay", "exclude_from_layer_adaptation"):
        for pattern in getattr(optimizer, setting):
            if not any(matches([pattern], name) for name in trained):
                raise UserError(
                    f"OptimizerConfig.{setting}: {pattern!r} matches none of the {len(trained)}"
                    f" trained variables, e.g. {trained[0]}; correct it or leave it out"
                )


def describe_settings(config: Any) -> str:
    """Return all settings of a configuration (RunConfig, FinetuneRunConfig) as text."""
    lines = []
    for part in dataclasses.fields(config):
        instance = getattr(config, part.name)
        lines.append(type(instance).__name__)
        lines += [f"  {name} = {value!r}" for name, value in dataclasses.asdict(instance).items()]
    return "\n".join(lines)


def recipe_lines(
    train: TrainConfig, optimizer: OptimizerConfig, *, trained: Sequence[str], replicas: int = 1
) -> list[str]:
    """Return lines of text about batches, learning rate and trained variables.

    Args:
      train: settings of the training loop.
      optimizer: settings of the optimizer.
      trained: names of the variables that the optimizer updates.
      replicas: devices that share a batch.
    """
    return [
        *_batch_lines(train, replicas),
        *_optimizer_lines(optimizer, train.train_steps),
        *_variable_lines(optimizer, trained),
    ]


def _batch_lines(train: TrainConfig, replicas: int) -> list[str]:
    share = train.global_batch_size // replicas
    micro = min(train.micro_batch_size or share, share)
    chunk = train.logits_chunk_size
    return [
        f"{train.train_steps:,} updates of {train.global_batch_size:,} sequences:"
        f" {train.train_steps * train.global_batch_size:,} sequences",
        f"batch: {train.global_batch_size:,} = {replicas:,} replica{'s' * (replicas > 1)}"
        f" x micro-batch of {micro:,} x {share // micro:,} accumulation steps",
        f"{train.precision}; activations of blocks "
        + ("recomputed in the backward pass" if train.rematerialize_blocks else "kept")
        + f"; logits in {f'chunks of {chunk:,} predictions' if chunk else 'one chunk'}",
    ]


def _optimizer_lines(optimizer: OptimizerConfig, steps: int) -> list[str]:
    from optim.build import build_schedule  # TensorFlow

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
    if optimizer.properties.has_trust_ratios:
        lines.append(f"adapted: {_examples(adapted)}; not: {_examples(constant)}")
        if optimizer.variant == "nvlamb" and constant:
            lines.append(
                "note: NVIDIA's nvlamb adapts every variable; for that, set"
                " OptimizerConfig.exclude_from_layer_adaptation = []"
            )
    return lines


def _examples(names: Sequence[str]) -> str:
    return f"{len(names)} variables ({names[0].partition(':')[0]})" if names else "none"
