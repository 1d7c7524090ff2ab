"""Derive the settings that depend on the task's data, and describe a fine-tuning run."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from data.errors import UserError
from finetune.config import FinetuneConfig, FinetuneRunConfig
from finetune.tasks.task import Split, Task
from model.config import EncoderConfig
from model.names import POOLER
from pretrain.train import recipe as shared
from pretrain.train.config import TrainConfig
from pretrain.train.recipe import recipe_lines

# (setting of FinetuneConfig, part of the configuration and setting derived from it)
_DERIVED = (
    ("epochs", "train", "train_steps"),
    ("warmup_fraction", "optimizer", "warmup_steps"),
    ("evaluations", "train", "eval_interval"),
)
# Steps after the warm-up before which no run is given up: even runs that succeed may take some hundreds
# of updates to leave the loss of a constant answer, and little is saved by ending a short run early.
MIN_STEPS_BEFORE_CHECK = 300
_MAX_SKIPS = 3  # skipped examples to list for each split


def resolve(
    config: FinetuneRunConfig, *, num_examples: int, has_pairs: bool = False
) -> FinetuneRunConfig:
    """Derive train_steps, eval_interval and warmup_steps from the size of the training split.

    Args:
      config: settings of the run.
      num_examples: sequences in the training split.
      has_pairs: whether there are sequences of two segments.

    Raises:
      UserError: a derived setting is also set itself, max_seq_length exceeds the encoder's position
        embeddings, or the encoder cannot tell two segments apart.
    """
    for name, part, derived in _DERIVED:
        settings = getattr(config, part)
        value = getattr(settings, derived)
        default = {field.name: field.default for field in dataclasses.fields(settings)}[derived]
        if getattr(config.finetune, name) and value != default:
            raise UserError(
                f"{type(settings).__name__}.{derived}={value} is set, but is derived from"
                f" FinetuneConfig.{name}={getattr(config.finetune, name):g}; set the latter to 0"
            )
    length, max_length = config.task.max_seq_length, config.encoder.max_position_embeddings
    if length > max_length:
        raise UserError(
            f"TaskConfig.max_seq_length={length}: the encoder takes sequences of at most"
            f" {max_length} tokens"
        )
    if has_pairs and config.encoder.type_vocab_size < 2:
        raise UserError(
            f"the task has pairs of texts, but the encoder has EncoderConfig.type_vocab_size="
            f"{config.encoder.type_vocab_size} and cannot tell them apart; join them in one column, or"
            " take another encoder"
        )
    finetune, train, optimizer = config.finetune, config.train, config.optimizer
    if finetune.epochs:
        steps = max(1, int(finetune.epochs * num_examples / train.global_batch_size))
        train = dataclasses.replace(train, train_steps=steps)
    if finetune.evaluations:
        interval = math.ceil(train.train_steps / finetune.evaluations)
        train = dataclasses.replace(train, eval_interval=interval)
    if finetune.warmup_fraction:
        warmup = int(finetune.warmup_fraction * train.train_steps)
        optimizer = dataclasses.replace(optimizer, warmup_steps=warmup)
    return dataclasses.replace(config, train=train, optimizer=optimizer)


def with_seed(config: FinetuneRunConfig, seed: int) -> FinetuneRunConfig:
    """Return the same settings with another seed."""
    return dataclasses.replace(config, train=dataclasses.replace(config.train, seed=seed))


def collapse_check_step(
    finetune: FinetuneConfig, train: TrainConfig, *, warmup_steps: int
) -> int | None:
    """Return the step after which a run that has learned nothing is stopped; None for none.

    Args:
      finetune: fraction of the steps at which to check.
      train: number of steps.
      warmup_steps: steps in which the learning rate rises.
    """
    if not finetune.collapse_check_fraction:
        return None
    step = math.ceil(finetune.collapse_check_fraction * train.train_steps)
    step = max(step, warmup_steps + MIN_STEPS_BEFORE_CHECK)
    return step if step < train.train_steps else None


def variable_names(encoder: EncoderConfig, task: Task) -> list[str]:
    """Return the names of the model's variables, from a model of minimal size."""
    from finetune.model import Finetuner  # imports TensorFlow

    heads = encoder.num_attention_heads
    minimal = dataclasses.replace(encoder, vocab_size=8, hidden_size=heads, intermediate_size=1)
    model = Finetuner(minimal, kind=task.kind, num_outputs=task.num_outputs, seed=0)
    return [variable.name for variable in model.trainable_variables]


def starting_weights(config: FinetuneRunConfig, names: Sequence[str]) -> list[str]:
    """Return the names of those weights that are taken from the encoder; the others are new.

    Args:
      config: settings of the run.
      names: names of the encoder's weights.

    Raises:
      UserError: more blocks are to be reinitialized than the encoder has.
    """
    finetune, num_blocks = config.finetune, config.encoder.num_hidden_layers
    fresh_blocks = finetune.reinitialize_top_blocks
    if fresh_blocks > num_blocks:
        raise UserError(
            f"FinetuneConfig.reinitialize_top_blocks={fresh_blocks}: the encoder has only"
            f" {num_blocks} blocks"
        )
    if finetune.initialize == "random":
        return []
    fresh = [
        f"encoder/transformer/layer_{n}/" for n in range(num_blocks - fresh_blocks, num_blocks)
    ]
    if finetune.pooler == "fresh" or fresh_blocks:
        fresh.append(POOLER)
    return [name for name in names if not name.startswith(tuple(fresh))]


def choose_kernels(config: FinetuneRunConfig, *, device: str) -> str | None:
    """Return what `pretrain.train.recipe.choose_kernels` returns for the sequences of a task."""
    length = config.task.max_seq_length
    return shared.choose_kernels(config.train, config.encoder, device=device, seq_length=length)


def describe(
    config: FinetuneRunConfig,
    *,
    task: Task,
    splits: dict[str, Split],
    encoder: str,
    initialized: Sequence[str],
    replicas: int = 1,
) -> str:
    """Return a readable description of a resolved and checked configuration.

    Args:
      config: settings of the run.
      task: task of the run.
      splits: splits by name.
      encoder: description of the encoder.
      initialized: names of the weights taken from the encoder.
      replicas: devices that share a batch.
    """
    trained = variable_names(config.encoder, task)
    lines = ["Recipe"]
    lines += recipe_lines(config.train, config.optimizer, trained=trained, replicas=replicas)
    passes = config.train.train_steps * config.train.global_batch_size / len(splits["train"])
    lines.append(
        f"task: {task.name}"
        + (f", {task.kind}" if config.task.task else "")
        + (f", labels {', '.join(task.labels)}" if task.labels else "")
        + f"; {passes:.1f} passes"
    )
    for split in splits.values():
        notes = [f"{count:,} {what}" for what, count in split.notes.items()]
        if split.skipped:
            notes.insert(0, f"{len(split.skipped):,} skipped")
        lines.append(f"{split.name}: " + ", ".join([f"{len(split):,} sequences", *notes]))
        lines += [f"  skipped: {s.where}: {s.reason}" for s in split.skipped[:_MAX_SKIPS]]
        if len(split.skipped) > _MAX_SKIPS:
            lines.append("  skipped: ... (all in data.json and report.html)")
    fresh = sorted({name.partition(":")[0] for name in trained} - set(initialized))
    lines.append(f"starts from {encoder}" if initialized else "starts from random weights")
    if initialized:
        lines.append(f"new: {len(fresh)} variables ({fresh[0]}, ...)")
    return "\n  ".join(lines)
