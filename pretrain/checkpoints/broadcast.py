"""Variables on the hosts of a TPU slice: values reach one replica, which passes them on to the others.

TensorFlow sends the initial value and the restored value of a variable to every replica from the host of
the first. For a large model on hundreds of replicas that is a terabyte through one network interface.
Here the first replica alone gets them, and the devices add up: its value, and negative zeros of the
others, which leave every value as it is. Devices on this host work as they always do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any
from unittest import mock

import tensorflow as tf
from tensorflow.python.distribute import values_util

from launch.strategy import remote_hosts

# Variables that are passed on together; the devices need as much free memory.
_BYTES_AT_ONCE = 2**28


@contextlib.contextmanager
def created_once(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Enter the scope of a strategy; at the end, all replicas have the initial values of the first."""
    if not remote_hosts(strategy):
        with strategy.scope():
            yield
        return
    first: list[tf.Variable] = []
    created: list[tf.Variable] = []

    def create_on_one_replica(next_creator: Any, **kwargs: Any) -> tf.Variable:
        if "/replica_" not in (kwargs.get("name") or ""):
            first[:] = [next_creator(**kwargs)]
            return first[0]
        shape, dtype = first[0].shape, first[0].dtype
        return next_creator(**{**kwargs, "initial_value": lambda: tf.zeros(shape, dtype)})

    def remember(next_creator: Any, **kwargs: Any) -> tf.Variable:
        variable = next_creator(**kwargs)
        created.append(variable)
        if not _is_passed_on(variable) and isinstance(variable, tf.distribute.DistributedValues):
            for part in variable.values[1:]:  # a counter
                part.assign(variable.values[0])
        return variable

    with (
        tf.variable_creator_scope(create_on_one_replica),
        strategy.scope(),
        tf.variable_creator_scope(remember),
    ):
        yield
    _broadcast(strategy, created)


@contextlib.contextmanager
def restored_once(checkpoint: tf.train.Checkpoint) -> Iterator[None]:
    """Restore variables on the first replica only; at the end, all replicas have its values."""
    variables = [
        each
        for each in tf.train.TrackableView(checkpoint).descendants()
        if isinstance(each, tf.Variable) and _is_passed_on(each)
    ]
    strategies = {id(each.distribute_strategy): each.distribute_strategy for each in variables}
    if not any(map(remote_hosts, strategies.values())):
        yield
        return
    (strategy,) = strategies.values()
    restore_everywhere = values_util.get_on_write_restore_ops

    def restore(variable: tf.Variable, value: tf.Tensor) -> Any:
        if not _is_passed_on(variable):
            return restore_everywhere(variable, value)
        one = variable.values[0]
        return values_util.assign_on_device(one.device, one, value)

    with mock.patch.object(values_util, "get_on_write_restore_ops", restore):
        yield
    _broadcast(strategy, variables)


def _is_passed_on(variable: tf.Variable) -> bool:
    """Return whether a variable has a copy on each replica, and a type that all devices add up."""
    is_distributed = isinstance(variable, tf.distribute.DistributedValues)
    is_summed = variable.dtype in (tf.float32, tf.bfloat16)
    return is_distributed and is_summed and variable.aggregation == tf.VariableAggregation.NONE


def _broadcast(strategy: tf.distribute.Strategy, variables: Sequence[tf.Variable]) -> None:
    """Give all replicas the values of the first one."""
    together: list[tf.Variable] = []
    for variable in filter(_is_passed_on, variables):
        together.append(variable)
        if sum(each.dtype.size * each.shape.num_elements() for each in together) >= _BYTES_AT_ONCE:
            _pass_on(strategy, together)
            together = []
    if together:
        _pass_on(strategy, together)


def _pass_on(strategy: tf.distribute.Strategy, variables: Sequence[tf.Variable]) -> None:
    def on_replica() -> None:
        replica = tf.distribute.get_replica_context()
        is_first = replica.replica_id_in_sync_group == 0
        own = [tf.where(is_first, v, tf.constant(-0.0, v.dtype)) for v in variables]
        values = replica.all_reduce(tf.distribute.ReduceOp.SUM, own)
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    tf.function(lambda: strategy.run(on_replica), autograph=False)()
