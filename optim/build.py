"""Build the optimizer and the learning rate schedule from their settings."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TypeAlias

import tensorflow as tf
import tf_keras

from optim.adamw import AdamW
from optim.collectives import Collectives
from optim.config import OPTIMIZERS, SCHEDULES, OptimizerConfig
from optim.gate import Gated
from optim.lamb import LAMB
from optim.schedule import WarmupConstant, WarmupCosineDecay, WarmupPolynomialDecay
from optim.sharded_lamb import ShardedLAMB

Schedule: TypeAlias = tf_keras.optimizers.schedules.LearningRateSchedule


def build_schedule(config: OptimizerConfig, total_steps: int) -> Schedule:
    """Return the learning rate schedule of `total_steps` steps, counted from 0."""
    return _SCHEDULE_BUILDERS[config.schedule](config, total_steps)


def build_optimizer(
    config: OptimizerConfig,
    schedule: Schedule | float,
    *,
    collectives: Collectives | None = None,
    copies: Mapping[str, tf.Variable] | None = None,
) -> tf_keras.optimizers.Optimizer:
    """Return the configured optimizer. It does not clip gradients: the training step does.

    Args:
      config: settings of the optimizer.
      schedule: learning rate schedule, or a constant learning rate.
      collectives: connects the replicas among which `config.shard` divides the optimizer.
      copies: what layers read in place of weights, by name of the weight, see `ShardedLAMB`.

    Raises:
      TypeError: the optimizer is not what its row of OPTIMIZERS says.
    """
    if config.shard and collectives and collectives.num_replicas > 1:
        create = functools.partial(ShardedLAMB, collectives=collectives, copies=copies)
        optimizer = _lamb(config, schedule, create)
    else:
        optimizer = _OPTIMIZER_BUILDERS[config.optimizer](config, schedule)
    cls, entry = type(optimizer), f"optim.config.OPTIMIZERS[{config.optimizer!r}]"
    if not isinstance(optimizer, Gated):
        raise TypeError(f"{entry}: {cls.__name__} lacks optim.gate.Gated, which skips bad steps")
    if hasattr(cls, "trust_ratios") != config.properties.has_trust_ratios:
        raise TypeError(
            f"{entry}: has_trust_ratios={config.properties.has_trust_ratios}, but"
            f" {cls.__name__} {'has' if hasattr(cls, 'trust_ratios') else 'lacks'} `trust_ratios`"
        )
    return optimizer


def _polynomial(config: OptimizerConfig, total_steps: int) -> Schedule:
    return WarmupPolynomialDecay(
        peak_learning_rate=config.peak_learning_rate,
        warmup_steps=config.warmup_steps,
        total_steps=total_steps,
        end_learning_rate=config.end_learning_rate,
        power=config.decay_power,
    )


def _cosine(config: OptimizerConfig, total_steps: int) -> Schedule:
    return WarmupCosineDecay(
        peak_learning_rate=config.peak_learning_rate,
        warmup_steps=config.warmup_steps,
        total_steps=total_steps,
        end_learning_rate=config.end_learning_rate,
    )


def _constant(config: OptimizerConfig, total_steps: int) -> Schedule:
    del total_steps  # the rate does not depend on it
    return WarmupConstant(
        peak_learning_rate=config.peak_learning_rate, warmup_steps=config.warmup_steps
    )


def _lamb(
    config: OptimizerConfig, schedule: Schedule | float, create: Callable[..., LAMB] = LAMB
) -> LAMB:
    return create(
        schedule,
        beta_1=config.beta_1,
        beta_2=config.beta_2,
        epsilon=config.epsilon,
        weight_decay_rate=config.weight_decay_rate,
        exclude_from_weight_decay=config.exclude_from_weight_decay,
        exclude_from_layer_adaptation=config.exclude_from_layer_adaptation,
        variant=config.variant,
        gamma_l=config.gamma_l,
        gamma_u=config.gamma_u,
        min_trust_ratio=config.min_trust_ratio,
        max_trust_ratio=config.max_trust_ratio,
        layer_decay=config.layer_decay,
        bias_correction=config.bias_correction,
    )


def _adamw(config: OptimizerConfig, schedule: Schedule | float) -> AdamW:
    return AdamW(
        schedule,
        weight_decay=config.weight_decay_rate,
        beta_1=config.beta_1,
        beta_2=config.beta_2,
        epsilon=config.epsilon,
        exclude_patterns=config.exclude_from_weight_decay,
        layer_decay=config.layer_decay,
        bias_correction=config.bias_correction,
    )


_SCHEDULE_BUILDERS = {"polynomial": _polynomial, "cosine": _cosine, "constant": _constant}
_OPTIMIZER_BUILDERS = {"lamb": _lamb, "adamw": _adamw}
# The names and properties are in optim.config, which must not import TensorFlow.
assert set(_SCHEDULE_BUILDERS) == set(SCHEDULES), "optim.config.SCHEDULES differs from the builders"
assert set(_OPTIMIZER_BUILDERS) == set(OPTIMIZERS), (
    "optim.config.OPTIMIZERS differs from the builders"
)
