"""AdamW equals its formulas in float64."""

import pytest

from optim.build import build_optimizer
from optim.config import OptimizerConfig
from tests.support.optimizers import (
    EXCLUDED,
    SETTINGS,
    apply_steps,
    assert_near,
    numpy_adamw,
    variables,
)


@pytest.mark.parametrize("no_decay", [EXCLUDED, ()])
@pytest.mark.parametrize("bias_correction", [True, False])
def test_updates_equal_float64(no_decay, bias_correction):
    """Without bias correction it is the Adam that BERT was published with."""
    config = OptimizerConfig(
        optimizer="adamw",
        weight_decay_rate=0.5,
        exclude_from_weight_decay=no_decay,
        bias_correction=bias_correction,
    )
    ours = variables()
    apply_steps(build_optimizer(config, 0.1), ours, 5)
    expected = numpy_adamw(
        5,
        lr=0.1,
        **SETTINGS,
        decay=0.5,
        no_decay=no_decay,
        bias_correction=bias_correction,
    )
    # tf_keras computes 1 - beta_2 ** t in float32, which costs digits in the first steps.
    assert_near(ours, expected, relative=1e-5)
