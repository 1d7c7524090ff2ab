"""LAMB divided among four replicas equals LAMB."""

from collections.abc import Sequence

import numpy as np
import pytest
import tensorflow as tf

from data.errors import UserError
from optim import divided_slot
from optim.build import build_optimizer
from optim.collectives import collectives_of
from optim.config import LAMB_VARIANTS, OptimizerConfig
from optim.sharded_lamb import ShardedLAMB
from tests.support.training import strategy_of

EXCLUDED = ("bias",)


def variables() -> list[tf.Variable]:
    """Return matrices that are divided with and without padding, into tiles and rows; and whole tensors."""
    rng = np.random.default_rng(0)
    shapes = {
        "tiles": (16, 256),
        "padded": (30, 128),
        "rows": (6, 5),
        "small": (1, 128),
        "bias": (7,),
    }
    return [
        tf.Variable(rng.normal(size=shape).astype(np.float32), name=name)
        for name, shape in shapes.items()
    ]


def gradient(step: int, variable: tf.Variable) -> np.ndarray:
    rng = np.random.default_rng([step, variable.shape.num_elements()])
    value = rng.normal(size=variable.shape).astype(np.float32)
    return value * np.float32(np.nan) if step == 1 else value


def steps(
    config: OptimizerConfig, copied: Sequence[str] = ()
) -> tuple[list[np.ndarray], tf.Module, list[float]]:
    """Return weights, optimizer and gradient norms after three steps, the second of which is skipped.

    Args:
      config: settings of the optimizer.
      copied: names of variables of which layers would read copies in bfloat16.
    """
    strategy = strategy_of(4)
    collectives = collectives_of(strategy)
    with strategy.scope():
        trained = variables()
        copies = {
            v.name: tf.Variable(tf.zeros(v.shape, tf.bfloat16))
            for v in trained
            if v.name.partition(":")[0] in copied
        }
        optimizer = build_optimizer(config, 0.1, collectives=collectives, copies=copies)
        optimizer.build(trained)

    @tf.function(autograph=False)
    def update(gradients, is_open):
        def on_replica():
            optimizer.gate.set(is_open)
            parts = optimizer.parts(gradients)
            norm = optimizer.global_norm(parts)
            pairs = zip(parts, trained, strict=True)
            optimizer.apply_gradients(pairs, skip_gradients_aggregation=True)
            return norm

        return strategy.experimental_local_results(strategy.run(on_replica))[0]

    norms, initial = [], {v.name: v.numpy() for v in trained}
    strategy.run(tf.function(optimizer.divide_weights))
    for step in range(3):
        gradients = [tf.constant(gradient(step, v)) for v in trained]
        norms.append(float(update(gradients, tf.constant(step != 1))))
    for name in optimizer.divided_weights:  # out of date until they are joined
        (variable,) = (v for v in trained if v.name == name)
        np.testing.assert_array_equal(variable.numpy(), initial[name])
    strategy.run(tf.function(optimizer.join_weights))
    for variable in trained:
        if copy := copies.get(variable.name):
            is_divided = variable.name in optimizer.divided_weights
            expected = tf.cast(variable, tf.bfloat16) if is_divided else tf.zeros_like(copy)
            for component in copy.values:
                np.testing.assert_array_equal(component.numpy(), expected.numpy())
    for variable in trained:
        first, *others = [component.numpy() for component in variable.values]
        assert all((other == first).all() for other in others), variable.name
    return [v.numpy() for v in trained], optimizer, norms


@pytest.mark.parametrize("variant", LAMB_VARIANTS)
def test_a_divided_update_equals_a_whole_one(variant):
    settings = dict(
        variant=variant,
        exclude_from_weight_decay=EXCLUDED,
        exclude_from_layer_adaptation=EXCLUDED,
    )
    whole, optimizer, norms = steps(OptimizerConfig(**settings))
    divided, sharded, sharded_norms = steps(OptimizerConfig(**settings, shard=True))
    assert isinstance(sharded, ShardedLAMB)
    np.testing.assert_allclose(sharded_norms, norms, rtol=1e-6)
    for value, expected in zip(divided, whole, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)
    assert sharded.trust_ratios.keys() == optimizer.trust_ratios.keys()
    for name, ratio in optimizer.trust_ratios.items():
        np.testing.assert_allclose(sharded.trust_ratios[name].numpy(), ratio.numpy(), rtol=1e-6)
    assert int(sharded.iterations.numpy()) == 3
    slots = zip(sharded._variables[2:], optimizer._variables[2:], strict=True)
    for slot, expected in slots:
        assert slot.name.partition(":")[0] == expected.name.partition(":")[0]
        np.testing.assert_allclose(slot.numpy(), expected.numpy(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("variant", LAMB_VARIANTS)
def test_weights_do_not_depend_on_what_the_replicas_exchange(variant):
    config = OptimizerConfig(variant=variant, shard=True)
    expected, _, norms = steps(config)
    # "small" is not divided, so the optimizer leaves its copy to others.
    values, optimizer, others = steps(config, copied=["tiles", "padded", "rows", "small"])
    names = [name.partition(":")[0] for name in optimizer.divided_weights]
    assert names == ["tiles", "padded", "rows"]
    np.testing.assert_array_equal(others, norms)
    for value, same in zip(values, expected, strict=True):
        np.testing.assert_array_equal(value, same)
    # Parts are not state: neither checkpoints nor the list of variables have them.
    assert not any("part" in variable.name for variable in optimizer.variables)


@pytest.mark.parametrize("bytes_at_once", [1, 20_000, 2**27])
def test_saves_read_whole_moments_from_the_first_replica(monkeypatch, bytes_at_once):
    monkeypatch.setattr(divided_slot, "_BYTES_AT_ONCE", bytes_at_once)
    _, optimizer, _ = steps(OptimizerConfig(shard=True))
    slots = [slot for slot in optimizer._variables if isinstance(slot, divided_slot.DividedSlot)]
    copies = {}
    for scale in (1.0, 2.0):  # the second save assigns to the variables of the first
        for slot in slots:
            for component in slot.variable.values:
                component.assign(component * scale)
        for slot in reversed(slots):
            slot._copy_trackable_to_cpu(copies)
        for slot in slots:
            parts = [component.numpy() for component in slot.variable.values]
            expected = slot.division.join(np.concatenate(parts)).numpy()
            np.testing.assert_array_equal(copies[slot].numpy(), expected)
            assert expected.any() and copies[slot].device.endswith("CPU:0")
    assert len(slots) == 6 and len({id(slot._group) for slot in slots}) == {1: 6, 20_000: 3}.get(
        bytes_at_once, 1
    )


def test_one_replica_has_the_whole_optimizer():
    optimizer = build_optimizer(
        OptimizerConfig(shard=True), 0.1, collectives=collectives_of(strategy_of(1))
    )
    assert type(optimizer).__name__ == "LAMB"


def test_only_lamb_is_divided():
    with pytest.raises(UserError, match=r"shard=True: only 'lamb' can be divided, not 'adamw'"):
        OptimizerConfig(optimizer="adamw", shard=True)
