"""A strategy that plays TPUStrategy on a slice of several hosts, with CPUs in place of TPU cores.

As on a slice, one process drives replicas on other hosts, each of which runs a TensorFlow server and has an
input pipeline of its own. Rehearsals and tests train with it where there are no TPUs.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow.python.distribute import (
    collective_util,
    cross_device_ops,
    cross_device_utils,
    device_util,
    distribute_lib,
    distribute_utils,
    mirrored_strategy,
    numpy_dataset,
)
from tensorflow.python.distribute import values as values_lib


class StandInStrategy(tf.distribute.Strategy):
    """Replicas on devices of other hosts, with one input pipeline for each host."""

    def __init__(self, devices: list[str]):
        """Use these devices in this order, in which their host may not change back and forth."""
        super().__init__(_Extended(self, devices))


class _Extended(mirrored_strategy.MirroredExtended):
    """MirroredStrategy's own, which refuses devices of other hosts for want of input on them."""

    def __init__(self, strategy: tf.distribute.Strategy, devices: list[str]):
        # In place of the constructor of MirroredExtended, of which everything else is used.
        distribute_lib.StrategyExtendedV1.__init__(self, strategy)
        self._devices = tuple(map(device_util.canonicalize, devices))
        by_host: dict[str, list[str]] = {}
        for device in self._devices:
            by_host.setdefault(device_util.get_host_for_device(device), []).append(device)
        self._input_workers_devices = tuple((host, tuple(own)) for host, own in by_host.items())
        self._host_input_device = numpy_dataset.SingleDevice(next(iter(by_host)))
        self._cross_device_ops = self._collective_ops = _Chain()
        self._collective_key_base = 0
        self._collective_keys = cross_device_utils.CollectiveKeys(group_key_start=1)
        self._communication_options: Any = collective_util.Options()
        self.experimental_enable_get_next_as_optional = True
        self._use_var_policy = False

    @property
    def num_hosts(self) -> int:
        """Number of hosts; MirroredStrategy always has one."""
        return len(self._input_workers_devices)


class _Chain(tf.distribute.CrossDeviceOps):
    """Sums that pass from device to device, and back to all of them the same way.

    Replicas are added in order, so a sum does not depend on how they are divided among hosts. And no host
    sends more than its neighbours need, however many there are, as in the ring of a slice.
    """

    def reduce_implementation(
        self, reduce_op: tf.distribute.ReduceOp, per_replica_value: Any, destinations: Any, _: Any
    ) -> Any:
        """Return the sum or mean of the components on all devices of `destinations`."""
        values = per_replica_value.values
        total = values[0]
        for value in values[1:]:
            with tf.device(value.device):
                total = total + value
        if reduce_op == tf.distribute.ReduceOp.MEAN:
            with tf.device(values[-1].device):
                total = total / len(values)
        return self.broadcast_implementation(total, destinations)

    def batch_reduce_implementation(
        self, reduce_op: tf.distribute.ReduceOp, value_destination_pairs: Any, options: Any
    ) -> Any:
        """Reduce several values one by one."""
        return [
            self.reduce_implementation(reduce_op, value, destinations, options)
            for value, destinations in value_destination_pairs
        ]

    def _gather_implementation(
        self, per_replica_value: Any, destinations: Any, axis: int, options: Any
    ) -> Any:
        del options
        values = per_replica_value.values
        with tf.device(values[-1].device):
            joined = tf.concat(values, axis)
        return self.broadcast_implementation(joined, destinations)

    def broadcast_implementation(self, tensor: tf.Tensor, destinations: Any) -> Any:
        """Return copies of a tensor on all devices of `destinations`, made from the last to the first."""
        copies = []
        for device in reversed(cross_device_ops.get_devices_from(destinations)):
            with tf.device(device):
                tensor = tf.identity(tensor)
            copies.append(tensor)
        return distribute_utils.regroup(copies[::-1], wrap_class=values_lib.Mirrored)
