"""AdamW of tf_keras, with exclusions by pattern that are saved with it."""

from __future__ import annotations

from collections.abc import Sequence

import tf_keras

from optim.config import matches


@tf_keras.utils.register_keras_serializable(package="lambert")
class AdamW(tf_keras.optimizers.AdamW):
    """Adam with decoupled weight decay; tf_keras does the arithmetic.

    Loshchilov and Hutter, "Decoupled weight decay regularization", algorithm 2 without the schedule
    multiplier (https://arxiv.org/abs/1711.05101), where decay is scaled by the learning rate:

        x = x - learning_rate * decay * x - learning_rate * m' / (sqrt(v') + epsilon)

    with m' and v' the bias-corrected moments; tf_keras adds epsilon before v is corrected.
    Variables that match a pattern have decay 0; an empty list excludes nothing.
    """

    def __init__(self, *args, exclude_patterns: Sequence[str] = (), **kwargs):
        """Arguments are those of tf_keras' AdamW; the patterns are searched in variable names."""
        kwargs.setdefault("jit_compile", False)
        super().__init__(*args, **kwargs)
        self._no_decay = tuple(exclude_patterns)

    def build(self, var_list) -> None:
        """Creates the moments, and looks up what does not decay."""
        if not getattr(self, "_built", False):
            # Not by `var_names`: the copies on further devices have names that end in "/replica_1".
            excluded = [v for v in var_list if matches(self._no_decay, v.name)]
            self.exclude_from_weight_decay(var_list=excluded)
        super().build(var_list)

    def get_config(self) -> dict:
        """Constructor arguments."""
        return {**super().get_config(), "exclude_patterns": list(self._no_decay)}
