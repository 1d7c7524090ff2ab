"""Weights copied between our model and tf-models', and initial weights."""

import numpy as np
import pytest

from model.mlm import Pretrainer
from model.weights import build_tf_models, to_tf_models, trained_variables
from tests.support.encoders import batch, encoder_config, model_pair, tf_models_inputs


def test_weights_survive_a_round_trip_through_tf_models():
    ours, theirs = model_pair(encoder_config())
    other = build_tf_models(encoder_config(), seed=9)
    pooler = [v.numpy() for v in other.encoder_network.pooler_layer.trainable_variables]
    to_tf_models(ours, other)
    for copied, expected in zip(
        trained_variables(ours, other), ours.trainable_variables, strict=True
    ):
        np.testing.assert_array_equal(np.reshape(copied, expected.shape), expected)
    pooler_variables = other.encoder_network.pooler_layer.trainable_variables
    for variable, value in zip(pooler_variables, pooler, strict=True):
        np.testing.assert_array_equal(variable, value)
    features = tf_models_inputs(theirs, batch())
    np.testing.assert_array_equal(other(features)["mlm_logits"], theirs(features)["mlm_logits"])

    names = [variable.name for variable in trained_variables(ours, theirs)]
    assert names == [variable.name for variable in ours.trainable_variables]
    assert len(names) == len(set(names)) == len(theirs.trainable_variables) - 2  # the pooler's


def test_copying_between_different_architectures_is_an_error():
    ours = Pretrainer(encoder_config(layers=1), seed=0)
    with pytest.raises(ValueError, match=r"only one model: .*layer_1"):
        to_tf_models(ours, build_tf_models(encoder_config(layers=2), seed=0))


def test_initial_weights_are_truncated_normals_of_the_seed():
    wide = encoder_config(hidden=128, intermediate=512)
    first, second, other = (Pretrainer(wide, seed=seed) for seed in (7, 7, 8))
    for a, b, c in zip(first.variables, second.variables, other.variables, strict=True):
        np.testing.assert_array_equal(a, b)
        if a.shape.rank == 2:
            assert not np.array_equal(a, c)
            assert abs(np.mean(a)) < 0.01
            # Truncation at two standard deviations leaves 0.88 of the standard deviation.
            np.testing.assert_allclose(np.std(a), 0.2 * 0.8796, rtol=0.1)
            assert 0.38 < np.abs(a).max() <= 0.4
        else:
            np.testing.assert_array_equal(a, np.full(a.shape, float("gamma" in a.name)))
    kernels = [v.numpy() for v in first.variables if v.shape == (128, 128)]
    assert len({kernel.tobytes() for kernel in kernels}) == len(kernels)
