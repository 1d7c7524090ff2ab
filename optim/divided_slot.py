"""A slot of an optimizer of which each replica has a part; in checkpoints it is a whole variable."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.ops import resource_variable_ops
from tensorflow.python.trackable import base

from optim.collectives import Collectives
from optim.division import Division


class DividedSlot(base.Trackable):
    """Parts of a tensor on the replicas.

    To checkpoints it is a variable with the whole tensor, so they depend neither on the number of replicas
    nor on whether the optimizer is divided.
    """

    def __init__(self, name: str, division: Division, collectives: Collectives):
        """Create a slot of zeros in the scope of the strategy."""
        self.name, self.division = name, division
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
        pairs = zip(self._collectives.numbers, self._components, strict=True)
        in_order = sorted(pairs, key=lambda pair: pair[0])
        parts = [component.read_value() for _, component in in_order]
        return self.division.join(tf.concat(parts, axis=0))

    # The interface of TensorFlow's checkpoints.

    def _serialize_to_tensors(self) -> dict[str, tf.Tensor]:
        return {base.VARIABLE_VALUE_KEY: self._whole()}

    def _restore_from_tensors(self, restored_tensors: dict[str, tf.Tensor]) -> tf.Operation | None:
        self.assign(restored_tensors[base.VARIABLE_VALUE_KEY])
        return tf.no_op()

    def _copy_trackable_to_cpu(self, object_map: MutableMapping[Any, Any]) -> None:
        """Copy the whole tensor to the host of the first replica, for an asynchronous save."""
        if self not in object_map:
            first = tf.DeviceSpec.from_string(self._components[0].device)
            host = first.replace(device_type="CPU", device_index=0)
            with tf.device(host.to_string()):
                object_map[self] = resource_variable_ops.UninitializedVariable(
                    trainable=False, shape=self.shape, dtype=tf.float32, name=self.name
                )
        copy = object_map[self]
        with tf.device(copy.device):
            copy.assign(self._whole())
