"""What a configuration of fine-tuning amounts to: steps from epochs, and how much is trained."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from data.errors import UserError
from finetune.config import FinetuneConfig, FinetuneRunConfig
from finetune.tasks.task import Split, Task
from model.config import EncoderConfig
from model.names import POOLER
from pretrain.train.config import TrainConfig
from pretrain.train.recipe import recipe_lines

# (a setting of FinetuneConfig, the setting that follows from it)
_DERIVED = (
    ("epochs", "train", "train_steps"),
    ("warmup_fraction", "optimizer", "warmup_steps"),
    ("evaluations", "train", "eval_interval"),
)
_SKIPS_SHOWN = 3  # of each split; the run writes all of them down


def resolve(config: FinetuneRunConfig, *, num_examples: int) -> FinetuneRunConfig:
    """Fills in what follows from the size of the training split.

    Raises:
      UserError: a setting is given twice, or a sequence is longer than the encoder's longest.
    """
    for name, part, derived in _DERIVED:
        settings = getattr(config, part)
        given = getattr(settings, derived)
        default = {field.name: field.default for field in dataclasses.fields(settings)}[derived]
        if getattr(config.finetune, name) and given != default:
            raise UserError(
                f"{type(settings).__name__}.{derived}={given} is set, and FinetuneConfig.{name}="
                f"{getattr(config.finetune, name):g}, from which it follows; set the latter to 0"
            )
    length, most = config.task.max_seq_length, config.encoder.max_position_embeddings
    if length > most:
        raise UserError(
            f"TaskConfig.max_seq_length={length}: the encoder takes sequences of at most {most} tokens"
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
    """The same run with another seed."""
    return dataclasses.replace(config, train=dataclasses.replace(config.train, seed=seed))


def collapse_check_step(finetune: FinetuneConfig, train: TrainConfig) -> int:
    """The step after which a run is given up that has learned nothing; 0 for none."""
    return math.ceil(finetune.collapse_check_fraction * train.train_steps)


def variable_names(encoder: EncoderConfig, task: Task) -> list[str]:
    """Names of the variables, without the memory for their values (see `model.mlm`)."""
    from finetune.model import Finetuner

    heads = encoder.num_attention_heads
    thin = dataclasses.replace(encoder, vocab_size=8, hidden_size=heads, intermediate_size=1)
    model = Finetuner(thin, kind=task.kind, num_outputs=task.num_outputs, seed=0)
    return [variable.name for variable in model.trainable_variables]


def starting_weights(config: FinetuneRunConfig, names: Sequence[str]) -> list[str]:
    """Those of some weights of the source that a run starts from; the others start anew.

    Raises:
      UserError: more blocks are to start anew than there are.
    """
    finetune, num_blocks = config.finetune, config.encoder.num_hidden_layers
    fresh_blocks = finetune.reinitialize_top_blocks
    if fresh_blocks > num_blocks:
        raise UserError(
            f"FinetuneConfig.reinitialize_top_blocks={fresh_blocks}: the encoder has {num_blocks}"
        )
    if finetune.initialize == "random":
        return []
    fresh = [
        f"encoder/transformer/layer_{n}/" for n in range(num_blocks - fresh_blocks, num_blocks)
    ]
    if finetune.pooler == "fresh" or fresh_blocks:
        fresh.append(POOLER)
    return [name for name in names if not name.startswith(tuple(fresh))]


def describe(
    config: FinetuneRunConfig,
    *,
    task: Task,
    splits: dict[str, Split],
    origin: str,
    started: Sequence[str],
    replicas: int = 1,
) -> str:
    """What a resolved and checked configuration amounts to, for people.

    Args:
      config: the settings.
      task: the task.
      splits: those that are there, by name.
      origin: of the encoder.
      started: names of the weights that come from it.
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
        lines += [f"  skipped: {s.where}: {s.reason}" for s in split.skipped[:_SKIPS_SHOWN]]
        if len(split.skipped) > _SKIPS_SHOWN:
            lines.append("  skipped: ... (all in data.json and report.html)")
    fresh = sorted({name.partition(":")[0] for name in trained} - set(started))
    lines.append(f"starts from {origin}" if started else "starts from random weights")
    if started:
        lines.append(f"new: {len(fresh)} variables ({fresh[0]}, ...)")
    return "\n  ".join(lines)
