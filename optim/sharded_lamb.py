"""LAMB whose moments and update are divided among the replicas.

After the gradients are added up, each replica updates its part of every matrix with its part of the moments.
Norms are sums over the parts of all replicas. Then the replicas exchange the parts of the new weights: in the
type that layers read, where they keep copies in another one. The update is that of optim/lamb.py to
rounding; a replica has 1/R of the moments and of the work.

Sources: Rajbhandari et al., "ZeRO" (https://arxiv.org/abs/1910.02054, stage 1), and Xu et al., "Automatic
cross-replica sharding of weight update in data-parallel training" (https://arxiv.org/abs/2004.13336).

Legend: R replicas.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import tensorflow as tf

from optim.collectives import Collectives
from optim.config import matches
from optim.divided_slot import DividedSlot, save_together
from optim.divided_weight import DividedWeight
from optim.division import Division
from optim.lamb import LAMB

# Parts that are exchanged together, bytes. The compiler for TPUs turns an exchange of parts of 64 KiB and
# less into a sum, which sends twice as much. But what is exchanged together has to be copied apart.
_PART_BYTES = 2**18


class ShardedLAMB(LAMB):
    """LAMB for several replicas."""

    needs_other_replicas = True

    def __init__(
        self,
        *args: Any,
        collectives: Collectives,
        copies: Mapping[str, tf.Variable] | None = None,
        **kwargs: Any,
    ):
        """Create the optimizer.

        Args:
          *args: those of LAMB.
          collectives: connects the replicas.
          copies: variables from which layers read weights in another type, by name of the weight. They
            are updated in place of the weights between `divide_weights` and `join_weights`.
          **kwargs: those of LAMB.
        """
        super().__init__(*args, **kwargs)
        self._collectives = collectives
        # Keras would track a dict, and checkpoints with it.
        self._copies = MappingProxyType(copies or {})

    def build(self, var_list: Sequence[tf.Variable]) -> None:
        """Create the gate and the slots, of which the moments of matrices are divided."""
        self._divisions = [
            Division(tuple(v.shape), self._collectives.num_replicas) for v in var_list
        ]
        is_first = not getattr(self, "_built", False)  # `apply_gradients` of tf_keras builds again
        super().build(var_list)
        if not is_first:
            return
        save_together([slot for slot in self._variables if isinstance(slot, DividedSlot)])
        self.divided_weights = MappingProxyType(
            {
                v.name: DividedWeight(v, self._copies[v.name], division, self._collectives)
                for v, division in zip(var_list, self._divisions, strict=True)
                if division.is_divided and v.name in self._copies
            }
        )

    def parts(self, gradients: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Return this replica's part of each gradient that is divided, and the others as they are."""
        number = self._collectives.number()
        return [
            division.part(gradient, number) if division.is_divided else gradient
            for gradient, division in zip(gradients, self._divisions, strict=True)
        ]

    def global_norm(self, parts: Sequence[tf.Tensor]) -> tf.Tensor:
        """Return the norm of all gradients together, of which this replica has parts."""
        (total,) = tf.unstack(tf.add_n(self._square_sums([(part,) for part in parts])))
        return tf.sqrt(total)

    def _square_sums(self, tensors: Sequence[tuple[tf.Tensor, ...]]) -> list[tf.Tensor]:
        """Return the sums of squares of whole tensors, of which this replica has parts.

        Args:
          tensors: K tensors for each variable.

        Returns:
          Float32 [K] for each variable.
        """
        sums = [tf.stack([2 * tf.nn.l2_loss(each) for each in group]) for group in tensors]
        is_divided = [division.is_divided for division in self._divisions]
        divided = [each for each, divides in zip(sums, is_divided, strict=True) if divides]
        totals = iter(tf.unstack(self._collectives.sum(tf.stack(divided)))) if divided else iter(())
        return [
            next(totals) if divides else each
            for each, divides in zip(sums, is_divided, strict=True)
        ]

    def _update_all(self, grads_and_vars: Sequence[tuple[tf.Tensor, tf.Variable]]) -> None:
        """Update all variables from what `parts` returned. Runs in replica context."""
        number = self._collectives.number()
        weights, directions = [], []
        for index, (gradient, variable) in enumerate(grads_and_vars):
            weights.append(self._weights(index, variable, number))
            directions.append(self._advance(index, gradient, weights[-1]))
        squares = self._square_sums(list(zip(weights, directions, strict=True)))
        parts = []
        for index, (_, variable) in enumerate(grads_and_vars):
            adapts = not matches(self._no_adaptation, self._names[index])
            norms = tuple(tf.unstack(tf.sqrt(squares[index]))) if adapts else None
            rate = self._record_ratio(index, norms) * self.gated_learning_rate(variable)
            part = weights[index] - rate * directions[index]
            divided = self._divided_weight(index)
            parts.append(divided.set_part(part) if divided else part)
        for index, value in self._joined(parts):
            divided = self._divided_weight(index)
            variable = divided.copy if divided else grads_and_vars[index][1]
            variable.assign(tf.cast(value, variable.dtype))

    def _divided_weight(self, index: int) -> DividedWeight | None:
        return self.divided_weights.get(self._names[index])

    def _weights(self, index: int, variable: tf.Variable, number: tf.Tensor) -> tf.Tensor:
        """Return this replica's part of a variable, or the variable if it is not divided; float32."""
        if divided := self._divided_weight(index):
            return divided.part()
        whole, division = tf.cast(variable, tf.float32), self._divisions[index]
        return division.part(whole, number) if division.is_divided else whole

    def _joined(self, parts: Sequence[tf.Tensor]) -> Iterator[tuple[int, tf.Tensor]]:
        """Yield the index and the whole value of each variable."""
        groups: dict[tuple[tf.DType, tuple[int, ...]], list[int]] = {}
        for index, division in enumerate(self._divisions):
            if not division.is_divided:
                yield index, parts[index]
                continue
            # Alone where it is large enough: then it needs no copy to be taken apart from others.
            if _part_bytes(parts[index]) >= _PART_BYTES:
                yield from self._exchange(parts, [index])
                continue
            kind = parts[index].dtype, division.unit_shape
            group = groups.setdefault(kind, [])
            group.append(index)
            if sum(_part_bytes(parts[each]) for each in group) >= _PART_BYTES:
                yield from self._exchange(parts, groups.pop(kind))
        for group in groups.values():
            yield from self._exchange(parts, group)

    def _exchange(
        self, parts: Sequence[tf.Tensor], group: list[int]
    ) -> Iterator[tuple[int, tf.Tensor]]:
        """Yield the index and the whole value of variables with units of the same shape and type."""
        sizes = [parts[index].shape[0] for index in group]
        together = self._collectives.concatenate(tf.concat([parts[i] for i in group], axis=0))
        unit_shape = self._divisions[group[0]].unit_shape
        by_replica = tf.reshape(together, [-1, sum(sizes), *unit_shape])
        for index, part in zip(group, tf.split(by_replica, sizes, axis=1), strict=True):
            yield index, self._divisions[index].join(tf.reshape(part, [-1, *unit_shape]))

    def _add_moment(self, variable: tf.Variable, name: str) -> tf.Variable | DividedSlot:
        division = Division(tuple(variable.shape), self._collectives.num_replicas)
        if not division.is_divided:
            return super()._add_moment(variable, name)
        slot = DividedSlot(f"{name}/{variable.name.partition(':')[0]}", division, self._collectives)
        self._variables.append(slot)
        return slot

    def _moment(self, slot: tf.Variable | DividedSlot) -> tf.Variable:
        return slot.variable if isinstance(slot, DividedSlot) else slot


def _part_bytes(part: tf.Tensor) -> int:
    size: int = part.dtype.size * part.shape.num_elements()
    return size
