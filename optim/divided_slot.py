"""A slot of an optimizer of which each replica has a part; in checkpoints it is a whole variable."""

from __future__ import annotations

import functools
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.ops import resource_variable_ops
from tensorflow.python.trackable import base

from optim.collectives import Collectives
from optim.division import Division

# Slots that are read together; each device needs as much free memory, and some more.
_BYTES_AT_ONCE = 2**27


class DividedSlot(base.Trackable):
    """Parts of a tensor on the replicas.

    To checkpoints it is a variable with the whole tensor, so they depend neither on the number of replicas
    nor on whether the optimizer is divided.
    """

    def __init__(self, name: str, division: Division, collectives: Collectives):
        """Create a slot of zeros in the scope of the strategy."""
        self.name, self.division = name, division
        self._group = [self]
        self._collectives = collectives
        self.variable = tf.Variable(tf.zeros(division.part_shape), trainable=False, name=name)

    @property
    def shape(self) -> tf.TensorShape:
        """Shape of the whole tensor."""
        return tf.TensorShape(self.division.shape)

    def numpy(self) -> np.ndarray:
        """Return the whole tensor."""
        whole: np.ndarray = self._whole().numpy()
        return whole

    def assign(self, value: tf.Tensor | np.ndarray) -> None:
        """Give each replica its part of a tensor."""
        value = tf.ensure_shape(tf.convert_to_tensor(value, tf.float32), self.division.shape)
        for component, number in zip(self._components, self._collectives.numbers, strict=True):
            part = self.division.part(value, number)
            with tf.device(component.device):
                component.assign(part)

    @property
    def _components(self) -> Sequence[tf.Variable]:
        return self.variable.values

    def _whole(self) -> tf.Tensor:
        (whole,) = self._collectives.on_first_replica(lambda: [self._joined()])()
        return whole

    def _joined(self) -> tf.Tensor:
        """Return the whole tensor, in replica context."""
        return self.division.join(self._collectives.concatenate(tf.identity(self.variable)))

    # The interface of TensorFlow's checkpoints.

    def _serialize_to_tensors(self) -> dict[str, tf.Tensor]:
        return {base.VARIABLE_VALUE_KEY: self._whole()}

    def _restore_from_tensors(self, restored_tensors: dict[str, tf.Tensor]) -> tf.Operation | None:
        self.assign(restored_tensors[base.VARIABLE_VALUE_KEY])
        return tf.no_op()

    def _copy_trackable_to_cpu(self, object_map: MutableMapping[Any, Any]) -> None:
        """Copy the whole tensor to the host of the first replica, for an asynchronous save."""
        if self is self._group[0]:
            copies = [slot._host_copy(object_map) for slot in self._group]
            with tf.device(copies[0].device):
                for copy, whole in zip(copies, self._read_group(), strict=True):
                    copy.assign(whole)
        else:  # the first slot of the group gives it its value
            self._host_copy(object_map)

    @functools.cached_property
    def _read_group(self) -> Callable[[], list[tf.Tensor]]:
        return self._collectives.on_first_replica(lambda: [slot._joined() for slot in self._group])

    def _host_copy(self, object_map: MutableMapping[Any, Any]) -> tf.Variable:
        """Return the copy of this slot for asynchronous saves; it is created without a value."""
        if self not in object_map:
            first = tf.DeviceSpec.from_string(self._components[0].device)
            host = first.replace(device_type="CPU", device_index=0)
            with tf.device(host.to_string()):
                object_map[self] = resource_variable_ops.UninitializedVariable(
                    trainable=False, shape=self.shape, dtype=tf.float32, name=self.name
                )
        return object_map[self]


def save_together(slots: Sequence[DividedSlot]) -> None:
    """Let asynchronous saves read these slots in groups, each with one program on all replicas.

    The replicas put the parts together, and the host reads whole slots from the first one. Reading each part
    from its replica would be a transfer for every slot and replica: 75,000 for a large model on 256 replicas.
    """
    group: list[DividedSlot] = []
    for slot in slots:
        group.append(slot)
        slot._group = group
        if sum(4 * each.shape.num_elements() for each in group) >= _BYTES_AT_ONCE:
            group = []
