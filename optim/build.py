"""From settings to an optimizer and its schedule."""

from __future__ import annotations

import tf_keras

from optim.adamw import AdamW
from optim.config import OptimizerConfig
from optim.lamb import LAMB
from optim.schedule import WarmupConstant, WarmupCosineDecay, WarmupPolynomialDecay

Schedule = tf_keras.optimizers.schedules.LearningRateSchedule


def build_schedule(config: OptimizerConfig, total_steps: int) -> Schedule:
    """The learning rate of each of `total_steps` steps, counted from 0."""
    warmup = dict(peak_learning_rate=config.peak_learning_rate, warmup_steps=config.warmup_steps)
    if config.schedule == "constant":
        return WarmupConstant(**warmup)
    decay = dict(total_steps=total_steps, end_learning_rate=config.end_learning_rate)
    if config.schedule == "cosine":
        return WarmupCosineDecay(**warmup, **decay)
    return WarmupPolynomialDecay(**warmup, **decay, power=config.decay_power)


def build_optimizer(config: OptimizerConfig, schedule) -> tf_keras.optimizers.Optimizer:
    """The optimizer of the settings; it does not clip, which is up to the training step.

    Args:
      config: the settings.
      schedule: a learning rate schedule, or a constant rate.
    """
    if config.optimizer == "adamw":
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
    return LAMB(
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
