"""The optimizer and its schedule. Bound by gin in pretrain/config.py."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from data.errors import UserError

OPTIMIZERS = ("lamb", "adamw")
VARIANTS = ("paper", "tf_models", "nvlamb", "clamped")
SCHEDULES = ("polynomial", "cosine", "constant")


def matches(patterns: Sequence[str], name: str) -> bool:
    """Whether any of the regular expressions is found in the name; no patterns match nothing."""
    return any(re.search(pattern, name) for pattern in patterns)


def layer_factors(names: Sequence[str], decay: float) -> list[float]:
    """What the learning rate of each variable is multiplied by, from its layer.

    Howard and Ruder's discriminative fine-tuning (https://arxiv.org/abs/1801.06146, section 3.2), as
    BERTs are fine-tuned with it: 1 for heads and pooler, `decay` for the last block, a power more for
    each block below it, and one more for the embeddings.

    Args:
      names: of the variables, as model/names.py has them.
      decay: 1.0 treats all layers alike.
    """
    blocks = [re.match(r"encoder/transformer/layer_(\d+)/", name) for name in names]
    num_blocks = max((int(found[1]) + 1 for found in blocks if found), default=0)

    def layers_above(name: str, block: re.Match | None) -> int:
        if block:
            return num_blocks - int(block[1])
        is_embedding = name.startswith("encoder/") and "/pooler_transform/" not in name
        return num_blocks + 1 if is_embedding else 0

    return [decay ** layers_above(*pair) for pair in zip(names, blocks, strict=True)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Optimizer and learning rate. Defaults are Lambert's.

    Attributes:
      optimizer: "lamb" or "adamw".
      variant: of LAMB (see optim/lamb.py): "tf_models" does not bound the trust ratio, "paper"
        bounds the norm of the weights, "clamped" the ratio; "nvlamb" scales down large gradients.
      schedule: after the warm-up: "polynomial", "cosine", or "constant" at the peak.
      peak_learning_rate: reached at the last warm-up step.
      end_learning_rate: approached after the last step of training; not by "constant".
      warmup_steps: steps of linear warm-up.
      decay_power: of "polynomial"; 1.0 decays linearly.
      beta_1: decay of the first moment.
      beta_2: decay of the second moment.
      epsilon: added to the root of the second moment.
      weight_decay_rate: decoupled weight decay.
      exclude_from_weight_decay: regular expressions, searched in variable names.
      exclude_from_layer_adaptation: likewise; these variables get a trust ratio of 1. The lists are
        independent, and an empty one excludes nothing.
      gamma_l: smallest weight norm that variant "paper" reckons with.
      gamma_u: largest weight norm that variant "paper" reckons with.
      min_trust_ratio: smallest trust ratio of variant "clamped".
      max_trust_ratio: largest trust ratio of variant "clamped".
      bias_correction: of both moments, which start at 0; False takes them as they are, as the Adam
        that BERT was published with, whose first steps are too large
        (https://arxiv.org/abs/2006.04884, section 6).
      clip_norm: largest global norm of the gradient; 0 does not clip.
      layer_decay: factor of the learning rate from each layer to the one below it (see
        `layer_factors`); 1.0 treats all alike.
    """

    optimizer: str = "lamb"
    variant: str = "tf_models"
    schedule: str = "polynomial"
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
    gamma_l: float = 1e-3
    gamma_u: float = 10.0
    min_trust_ratio: float = 0.01
    max_trust_ratio: float = 0.3
    bias_correction: bool = True
    clip_norm: float = 1.0
    layer_decay: float = 1.0

    def __post_init__(self):
        for name, choices in {
            "optimizer": OPTIMIZERS,
            "variant": VARIANTS,
            "schedule": SCHEDULES,
        }.items():
            if getattr(self, name) not in choices:
                self._refuse(name, f"must be one of {', '.join(choices)}")
        for name in ("end_learning_rate", "warmup_steps", "weight_decay_rate", "clip_norm"):
            if getattr(self, name) < 0:
                self._refuse(name, "is negative")
        at_least = "peak_learning_rate epsilon decay_power gamma_l min_trust_ratio"
        for name in at_least.split():
            if getattr(self, name) <= 0:
                self._refuse(name, "must be above 0")
        if not 0 < self.layer_decay <= 1:
            self._refuse("layer_decay", "must be in (0, 1]")
        for name in ("beta_1", "beta_2"):
            if not 0 <= getattr(self, name) < 1:
                self._refuse(name, "must be in [0, 1)")
        for name, bound in {
            "end_learning_rate": "peak_learning_rate",
            "gamma_l": "gamma_u",
            "min_trust_ratio": "max_trust_ratio",
        }.items():
            if getattr(self, name) > getattr(self, bound):
                self._refuse(name, f"is above OptimizerConfig.{bound}={getattr(self, bound)}")
        for name in ("exclude_from_weight_decay", "exclude_from_layer_adaptation"):
            for pattern in getattr(self, name):
                try:
                    re.compile(pattern)
                except re.error as error:
                    self._refuse(name, f"{pattern!r} is not a regular expression: {error}")

    def _refuse(self, name: str, reason: str) -> None:
        raise UserError(f"OptimizerConfig.{name}={getattr(self, name)!r}: {reason}") from None

    def decays(self, variable_name: str) -> bool:
        """Whether weight decay acts on a variable."""
        excluded = matches(self.exclude_from_weight_decay, variable_name)
        return self.weight_decay_rate > 0 and not excluded

    def adapts(self, variable_name: str) -> bool:
        """Whether a variable gets a trust ratio of its own."""
        excluded = matches(self.exclude_from_layer_adaptation, variable_name)
        return self.optimizer == "lamb" and not excluded

    @property
    def label(self) -> str:
        """Name for people."""
        return f"LAMB ({self.variant})" if self.optimizer == "lamb" else "AdamW"

    @property
    def effective_clip_norm(self) -> float:
        """Largest global norm of a gradient that reaches the moments; 0 if there is no limit."""
        limits = [self.clip_norm] if self.clip_norm else []
        if self.optimizer == "lamb" and self.variant == "nvlamb":
            limits.append(1.0)
        return min(limits, default=0.0)
