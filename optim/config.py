"""The optimizer and its schedule. Bound by gin in pretrain/config.py."""

from __future__ import annotations

import dataclasses

from data.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """LAMB with linear warm-up and polynomial decay. Defaults are Lambert's.

    Attributes:
      peak_learning_rate: reached at the last warm-up step.
      end_learning_rate: approached after the last step of training.
      warmup_steps: steps of linear warm-up.
      decay_power: 1.0 decays linearly.
      beta_1: decay of the first moment.
      beta_2: decay of the second moment.
      epsilon: added to the root of the second moment.
      weight_decay_rate: decoupled weight decay.
      exclude_from_weight_decay: regular expressions, searched in variable names.
      exclude_from_layer_adaptation: likewise; these variables get a trust ratio of 1.
      clip_norm: largest global norm of the gradient; 0 does not clip.
    """

    peak_learning_rate: float = 2.5e-3
    end_learning_rate: float = 0.0
    warmup_steps: int = 10_000
    decay_power: float = 1.0
    beta_1: float = 0.9
    beta_2: float = 0.99
    epsilon: float = 1e-6
    weight_decay_rate: float = 0.01
    exclude_from_weight_decay: tuple[str, ...] = ("LayerNorm", "layer_norm", "bias")
    exclude_from_layer_adaptation: tuple[str, ...] = ("LayerNorm", "layer_norm", "bias")
    clip_norm: float = 1.0

    def __post_init__(self):
        for name in ("end_learning_rate", "warmup_steps", "weight_decay_rate", "clip_norm"):
            if getattr(self, name) < 0:
                raise UserError(f"OptimizerConfig.{name}={getattr(self, name)}: is negative")
        for name in ("peak_learning_rate", "epsilon", "decay_power"):
            if getattr(self, name) <= 0:
                raise UserError(f"OptimizerConfig.{name}={getattr(self, name)}: must be above 0")
        for name in ("beta_1", "beta_2"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"OptimizerConfig.{name}={getattr(self, name)}: must be in [0, 1)")
