"""Learning rates that decrease from the head down to the embeddings."""

import numpy as np
import pytest
import tensorflow as tf

from optim.build import build_optimizer
from optim.config import OptimizerConfig, layer_factors

NAMES = [
    "encoder/word_embeddings/embeddings:0",
    "encoder/embeddings/layer_norm/gamma:0",
    "encoder/transformer/layer_0/output/kernel:0",
    "encoder/transformer/layer_1/self_attention/query/bias:0",
    "encoder/pooler_transform/kernel:0",
    "task/logits/bias:0",
]


def test_factor_halves_for_every_layer_below_the_head():
    assert layer_factors(NAMES, 0.5) == [0.125, 0.125, 0.25, 0.5, 1.0, 1.0]
    assert layer_factors(NAMES, 1.0) == [1.0] * 6
    assert layer_factors(["bert/cls/predictions/output_bias/bias:0"], 0.5) == [1.0]


@pytest.mark.parametrize("optimizer", ["lamb", "adamw"])
def test_layer_decay_scales_updates(optimizer):
    """An update with decay equals one without, times the factor of each variable."""

    def updates(layer_decay: float) -> list[np.ndarray]:
        variables = [tf.Variable([1.0, -2.0], name=name.partition(":")[0]) for name in NAMES]
        config = OptimizerConfig(optimizer=optimizer, clip_norm=0.0, layer_decay=layer_decay)
        built = build_optimizer(config, 0.125)
        gradients = [tf.constant([0.5, 0.25])] * len(variables)
        built.apply_gradients(zip(gradients, variables, strict=True))
        return [variable.numpy() - [1.0, -2.0] for variable in variables]

    for factor, plain, scaled in zip(
        layer_factors(NAMES, 0.5), updates(1.0), updates(0.5), strict=True
    ):
        assert np.all(plain < 0)
        np.testing.assert_allclose(scaled, factor * plain, rtol=1e-4)
