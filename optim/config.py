"""Settings of the optimizer and the learning rate schedule. Bound by gin in pretrain/gin_files.py."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from data.errors import UserError, check_maxima


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimizer:
    """Properties of an optimizer that settings, plans and reports need.

    Attributes:
      label: display name.
      variants: allowed values of OptimizerConfig.variant; empty if the optimizer has no variants.
      has_trust_ratios: whether it scales the update of each variable by a trust ratio.
      state_bytes_per_parameter: size of the slots as large as the weights, bytes.
      update_bytes_per_parameter: memory traffic of an update, bytes.
    """

    label: str
    variants: tuple[str, ...] = ()
    has_trust_ratios: bool = False
    state_bytes_per_parameter: int
    update_bytes_per_parameter: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class LambVariant:
    """Rules in which the variants of LAMB differ; optim/lamb.py has the formulas and the sources.

    Attributes:
      bounds_weight_norm: the norm of the weights is clipped to [gamma_l, gamma_u].
      bounds_trust_ratio: the ratio is clipped to [min_trust_ratio, max_trust_ratio].
      max_gradient_norm: the gradient is scaled down to this global norm; 0 leaves it as it is.
    """

    bounds_weight_norm: bool = False
    bounds_trust_ratio: bool = False
    max_gradient_norm: float = 0.0


LAMB_VARIANTS = {
    "paper": LambVariant(bounds_weight_norm=True),
    "tf_models": LambVariant(),
    "nvlamb": LambVariant(max_gradient_norm=1.0),
    "clamped": LambVariant(bounds_trust_ratio=True),
}
# Both optimizers keep two float32 moments. An update reads the gradient for its norm (4 bytes). LAMB as
# compiled then moves 40 bytes (docs/performance.md). AdamW has no second pass: it reads gradient, moments
# and weight, writes all but the gradient, and writes the weight in the compute type (30 bytes).
OPTIMIZERS = {
    "lamb": Optimizer(
        label="LAMB",
        variants=tuple(LAMB_VARIANTS),
        has_trust_ratios=True,
        state_bytes_per_parameter=8,
        update_bytes_per_parameter=4 + 40,
    ),
    "adamw": Optimizer(
        label="AdamW", state_bytes_per_parameter=8, update_bytes_per_parameter=4 + 30
    ),
}
_LARGEST_FLOAT = 10**38  # of those with 32 bits, which the devices compute with
_FLOATS = (
    *("peak_learning_rate", "end_learning_rate", "decay_power", "epsilon", "weight_decay_rate"),
    *("gamma_l", "gamma_u", "min_trust_ratio", "max_trust_ratio", "clip_norm"),
)
SCHEDULES = ("polynomial", "cosine", "constant")


def matches(patterns: Sequence[str], name: str) -> bool:
    """Return whether any regular expression matches in the name; no patterns match nothing."""
    return any(re.search(pattern, name) for pattern in patterns)


def layer_factors(names: Sequence[str], decay: float) -> list[float]:
    """Return the factor of each variable's learning rate, by its layer.

    This is the layer-wise decay of Howard and Ruder's discriminative fine-tuning
    (https://arxiv.org/abs/1801.06146, section 3.2): 1 for heads and pooler, `decay` for the last block,
    one more power of it for each block below, and one more for the embeddings.

    Args:
      names: variable names, as in model/names.py.
      decay: factor from each layer to the one below it; 1.0 treats all layers alike.
    """
    blocks = [re.match(r"encoder/transformer/layer_(\d+)/", name) for name in names]
    num_blocks = max((int(block[1]) + 1 for block in blocks if block), default=0)

    def layers_above(name: str, block: re.Match[str] | None) -> int:
        if block:
            return num_blocks - int(block[1])
        is_embedding = name.startswith("encoder/") and "/pooler_transform/" not in name
        return num_blocks + 1 if is_embedding else 0

    return [decay ** layers_above(*pair) for pair in zip(names, blocks, strict=True)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Optimizer and learning rate. The defaults are Lambert's.

    Attributes:
      optimizer: "lamb" or "adamw".
      variant: variant of LAMB (see optim/lamb.py): "tf_models" does not bound the trust ratio, "paper"
        bounds the norm of the weights, "clamped" the ratio; "nvlamb" scales down large gradients.
      schedule: learning rate after the warm-up: "polynomial", "cosine", or "constant" at the peak.
      peak_learning_rate: learning rate at the last warm-up step.
      end_learning_rate: learning rate after the last training step; unused by "constant".
      warmup_steps: steps of linear warm-up.
      decay_power: exponent of "polynomial"; 1.0 decays linearly.
      beta_1: decay of the first moment.
      beta_2: decay of the second moment.
      epsilon: constant added to the root of the second moment.
      weight_decay_rate: decoupled weight decay.
      exclude_from_weight_decay: regular expressions, searched in variable names.
      exclude_from_layer_adaptation: regular expressions, searched in variable names; these variables
        get a trust ratio of 1. The two lists are independent, and an empty one excludes nothing.
      gamma_l: lower bound of the weight norm in variant "paper".
      gamma_u: upper bound of the weight norm in variant "paper".
      min_trust_ratio: lower bound of the trust ratio in variant "clamped".
      max_trust_ratio: upper bound of the trust ratio in variant "clamped".
      bias_correction: whether to correct both moments for their start at 0. False is the Adam that BERT
        was published with, whose first steps are too large (https://arxiv.org/abs/2006.04884,
        section 6).
      clip_norm: largest global norm of the gradient; 0 does not clip.
      shard: whether the replicas divide moments and update of LAMB among themselves, which saves each of
        them memory and work (see optim/sharded_lamb.py), and more of it in bfloat16 with
        TrainConfig.steps_per_loop above 1; the update is the same to rounding, and so are
        checkpoints. Needs a single process that drives all devices.
      layer_decay: factor of the learning rate from each layer to the one below it (see
        `layer_factors`); 1.0 treats all layers alike.
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
    shard: bool = False

    def __post_init__(self) -> None:
        for name, choices in {
            "optimizer": tuple(OPTIMIZERS),
            "variant": tuple(LAMB_VARIANTS),
            "schedule": SCHEDULES,
        }.items():
            if getattr(self, name) not in choices:
                self._refuse(name, f"must be one of {', '.join(choices)}")
        for name in ("end_learning_rate", "warmup_steps", "weight_decay_rate", "clip_norm"):
            if getattr(self, name) < 0:
                self._refuse(name, "is negative")
        check_maxima(self, {"warmup_steps": 2**31 - 1, **dict.fromkeys(_FLOATS, _LARGEST_FLOAT)})
        positive = "peak_learning_rate epsilon decay_power gamma_l min_trust_ratio"
        for name in positive.split():
            if getattr(self, name) <= 0:
                self._refuse(name, "must be above 0")
        if self.shard and self.optimizer != "lamb":
            self._refuse("shard", f"only 'lamb' can be divided, not {self.optimizer!r}")
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
        """Return whether weight decay acts on a variable."""
        excluded = matches(self.exclude_from_weight_decay, variable_name)
        return self.weight_decay_rate > 0 and not excluded

    def adapts(self, variable_name: str) -> bool:
        """Return whether a variable gets its own trust ratio."""
        excluded = matches(self.exclude_from_layer_adaptation, variable_name)
        return self.properties.has_trust_ratios and not excluded

    @property
    def properties(self) -> Optimizer:
        """Properties of the configured optimizer."""
        return OPTIMIZERS[self.optimizer]

    @property
    def label(self) -> str:
        """Display name, with the variant if the optimizer has variants."""
        label = self.properties.label
        return f"{label} ({self.variant})" if self.properties.variants else label

    @property
    def effective_clip_norm(self) -> float:
        """Largest global norm of a gradient that reaches the moments; 0 if there is no limit."""
        limits = [self.clip_norm]
        if self.variant in self.properties.variants:
            limits.append(LAMB_VARIANTS[self.variant].max_gradient_norm)
        return min(filter(None, limits), default=0.0)
