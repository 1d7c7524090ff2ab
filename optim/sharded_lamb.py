"""LAMB whose moments and update are divided among the replicas.

After the gradients are added up, each replica updates its part of every matrix with its part of the moments.
Norms are sums over the parts of all replicas. Then the replicas exchange the parts of the new weights. The
update is that of optim/lamb.py to rounding; a replica has 1/R of the moments and of the work.

Sources: Rajbhandari et al., "ZeRO" (https://arxiv.org/abs/1910.02054, stage 1), and Xu et al., "Automatic
cross-replica sharding of weight update in data-parallel training" (https://arxiv.org/abs/2004.13336).

Legend: R replicas.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf

from optim.collectives import Collectives
from optim.config import matches
from optim.divided_slot import DividedSlot, save_together
from optim.division import Division
from optim.lamb import LAMB

# Parts that are exchanged together, bytes. The compiler for TPUs turns an exchange of parts of 64 KiB and
# less into a sum, which sends twice as much. But what is exchanged together has to be copied apart.
_PART_BYTES = 2**18


class ShardedLAMB(LAMB):
    """LAMB for several replicas. The arguments are those of LAMB."""

    needs_other_replicas = True

    def __init__(self, *args: Any, collectives: Collectives, **kwargs: Any):
        """Create the optimizer; `collectives` connects the replicas."""
        super().__init__(*args, **kwargs)
        self._collectives = collectives

    def build(self, var_list: Sequence[tf.Variable]) -> None:
        """Create the gate and the slots, of which the moments of matrices are divided."""
        self._divisions = [
            Division(tuple(v.shape), self._collectives.num_replicas) for v in var_list
        ]
        super().build(var_list)
        save_together([slot for slot in self._variables if isinstance(slot, DividedSlot)])

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
            whole, division = tf.cast(variable, tf.float32), self._divisions[index]
            weights.append(division.part(whole, number) if division.is_divided else whole)
            directions.append(self._advance(index, gradient, weights[-1]))
        squares = self._square_sums(list(zip(weights, directions, strict=True)))
        parts = []
        for index, (_, variable) in enumerate(grads_and_vars):
            adapts = not matches(self._no_adaptation, self._names[index])
            norms = tuple(tf.unstack(tf.sqrt(squares[index]))) if adapts else None
            rate = self._record_ratio(index, norms) * self.gated_learning_rate(variable)
            parts.append(weights[index] - rate * directions[index])
        for index, value in self._joined(parts):
            variable = grads_and_vars[index][1]
            variable.assign(tf.cast(value, variable.dtype))

    def _joined(self, parts: Sequence[tf.Tensor]) -> Iterator[tuple[int, tf.Tensor]]:
        """Yield the index and the whole value of each variable."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for index, division in enumerate(self._divisions):
            if not division.is_divided:
                yield index, parts[index]
                continue
            if (
                _part_bytes(parts[index]) >= _PART_BYTES
            ):  # alone, and not apart from others by a copy
                yield from self._exchange(parts, [index])
                continue
            group = groups.setdefault(division.unit_shape, [])
            group.append(index)
            if sum(_part_bytes(parts[each]) for each in group) >= _PART_BYTES:
                yield from self._exchange(parts, groups.pop(division.unit_shape))
        for group in groups.values():
            yield from self._exchange(parts, group)

    def _exchange(
        self, parts: Sequence[tf.Tensor], group: list[int]
    ) -> Iterator[tuple[int, tf.Tensor]]:
        """Yield the index and the whole value of variables with units of the same shape."""
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
    size: int = 4 * part.shape.num_elements()
    return size
