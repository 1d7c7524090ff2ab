"""Steps that would harm the model: detected and skipped on the devices, logged by the host.

A step is bad if its loss or gradient norm is NaN or infinite, or, with TrainConfig.spike_threshold, far
above those of recent steps (a spike). The optimizer then changes nothing but its step counter: the
schedule, the dropout masks and the order of the data are functions of the step, so they continue as if
the step had been made.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from data import files
from data.checked_json import (
    MAX_BYTES,
    DamagedRecord,
    Record,
    keep_copy,
    parse_json_lines,
    read_at_most,
)
from data.errors import UserError
from data.read.order import sequence_at

WINDOW = 128  # recent steps that a step is compared with
LOG_FILE = "bad_steps.jsonl"
# Spikes to skip in a row. A skipped step leaves the weights where they are; if gradients are large
# there, the steps that follow look like spikes as well, and skipping them all would end a healthy run.
MAX_SPIKES_IN_A_ROW = 3
GOOD, NOT_FINITE, SPIKE = 0, 1, 2
_REASONS = {NOT_FINITE: "not finite", SPIKE: "spike"}
# Standard deviation of a normal distribution over its median absolute deviation.
_SIGMAS_PER_MAD = 1.4826
# Smallest sigma as a fraction of the median: if the window hardly varies, a small rise is not a spike.
_MIN_RELATIVE_SIGMA = 0.01


class BadSteps(tf.Module):
    """Losses and gradient norms of recent steps, and the test of the next one; part of checkpoints.

    Every finite loss and norm enters the window, spikes included: a few of them hardly move a median,
    and after a lasting change of level the window follows. Nothing is a spike before the window is
    full, nor after MAX_SPIKES_IN_A_ROW spikes in a row. All replicas get the same numbers, and keep the
    same window.
    """

    def __init__(self, *, threshold: float, judges_norms: bool = True):
        """Call a step a spike above median + threshold * sigma of the window; 0 turns that off.

        Args:
          threshold: sigmas above the median.
          judges_norms: whether a large gradient norm makes a spike, too. Clipping bounds the update of
            such a step, and norms are skewed: many sigmas above the median are nothing unusual.
        """
        super().__init__()
        self._threshold, self._judges_norms = threshold, judges_norms
        self.losses = _state(tf.zeros([WINDOW]))
        self.norms = _state(tf.zeros([WINDOW]))
        self.seen = _state(tf.zeros([], tf.int64))  # finite steps so far
        self.marks = _state(tf.zeros([WINDOW]))  # 1 for each bad step among the last WINDOW

    def classify(self, step: tf.Tensor, loss: tf.Tensor, norm: tf.Tensor) -> tf.Tensor:
        """Classify a step and add it to the window. Runs in replica context.

        Args:
          step: int64 scalar, counted from 0.
          loss: float32 scalar, mean loss of the global batch.
          norm: float32 scalar, global norm of the gradient before clipping.

        Returns:
          float32 [2]: GOOD, NOT_FINITE or SPIKE, and the number of bad steps among the last WINDOW.
        """
        is_finite = tf.math.is_finite(loss) & tf.math.is_finite(norm)
        is_spike = tf.constant(False)
        if self._threshold:
            is_spike = (
                (self.seen >= WINDOW)
                & self._stand_out(loss, norm)
                & tf.logical_not(self._follows_spikes())
            )
        kind = tf.where(is_finite, tf.where(is_spike, SPIKE, GOOD), NOT_FINITE)
        is_slot = (tf.range(WINDOW, dtype=tf.int64) == self.seen % WINDOW) & is_finite
        self.losses.assign(tf.where(is_slot, loss, self.losses))
        self.norms.assign(tf.where(is_slot, norm, self.norms))
        self.seen.assign_add(tf.cast(is_finite, tf.int64))
        is_bad = tf.cast(kind != GOOD, tf.float32)
        is_now = tf.range(WINDOW, dtype=tf.int64) == step % WINDOW
        marks = tf.where(is_now, is_bad, self.marks)
        self.marks.assign(marks)
        return tf.stack([tf.cast(kind, tf.float32), tf.reduce_sum(marks)])

    def _follows_spikes(self) -> tf.Tensor:
        """Return whether the last MAX_SPIKES_IN_A_ROW finite steps all stand out."""
        age_W = (self.seen - 1 - tf.range(WINDOW, dtype=tf.int64)) % WINDOW
        stands_out_W = self._stand_out(self.losses, self.norms)
        return tf.reduce_all(stands_out_W | (age_W >= MAX_SPIKES_IN_A_ROW))

    def _stand_out(self, losses: tf.Tensor, norms: tf.Tensor) -> tf.Tensor:
        """Return which steps are far above the window, bool of the same shape."""
        stand_out = losses > self._limit(self.losses)
        return stand_out | (norms > self._limit(self.norms)) if self._judges_norms else stand_out

    def _limit(self, window: tf.Variable) -> tf.Tensor:
        median = _median(window)
        sigma = _SIGMAS_PER_MAD * _median(tf.abs(window - median))
        sigma = tf.maximum(sigma, _MIN_RELATIVE_SIGMA * tf.abs(median))
        return median + self._threshold * sigma


@dataclasses.dataclass(frozen=True, kw_only=True)
class BadStep:
    """A step that was skipped.

    Attributes:
      step: counted from 1, as in metrics.jsonl.
      loss: mean loss of the global batch.
      grad_norm: global norm of the gradient before clipping.
      kind: NOT_FINITE or SPIKE.
      recent: bad steps among the last WINDOW, this one included.
    """

    step: int
    loss: float
    grad_norm: float
    kind: int
    recent: int

    def __str__(self) -> str:
        """Return one line for the terminal."""
        return (
            f"step {self.step:,} was skipped ({_REASONS[self.kind]}): loss {self.loss:.4g},"
            f" gradient norm {self.grad_norm:.4g}"
        )


class Diverged(UserError):  # noqa: N818
    """Training cannot continue with these settings."""


class RuinedWeights(Diverged):
    """A weight is NaN, infinite or absurdly large."""


class TooManyBadSteps(Diverged):
    """More steps were skipped than TrainConfig.max_bad_steps allows."""


class BadStepLog:
    """The file bad_steps.jsonl: every skipped step with its batch; and the limit of their number."""

    def __init__(
        self,
        model_dir: str,
        *,
        max_bad_steps: int,
        seed: int,
        global_batch_size: int,
        num_sequences: int,
        is_chief: bool = True,
    ):
        """Store the arguments; nothing is read or written yet.

        Args:
          model_dir: model directory of the run.
          max_bad_steps: bad steps among any WINDOW successive steps that the run survives.
          seed: seed of the data order; with the next two it determines the sequences of a step.
          global_batch_size: sequences per update.
          num_sequences: sequences in the training split.
          is_chief: whether this worker writes and prints.
        """
        self._model_dir, self._path = model_dir, files.join(model_dir, LOG_FILE)
        self._max_bad_steps, self._is_chief = max_bad_steps, is_chief
        self._seed, self._batch_size = seed, global_batch_size
        self._num_sequences = num_sequences
        self._steps: list[int] = []

    def drop_after(self, step: int) -> None:
        """Drop rows of later steps: a run that resumes at `step` repeats them.

        Damaged lines are dropped too; the damaged file is then kept under another name.
        """
        if self._is_chief and files.exists(self._path):
            rows = [row for row in self._read_and_repair() if row["step"] <= step]
            self._steps = [row["step"] for row in rows]
            self._write(rows)

    def first_recent(self, step: int) -> int | None:
        """Return the first bad step among the last WINDOW up to `step`; None if all were good."""
        return min((bad for bad in self._steps if step - WINDOW < bad <= step), default=None)

    def record(
        self,
        bad_steps: Sequence[BadStep],
        weights_problem: Callable[[], str | None] = lambda: None,
    ) -> None:
        """Log bad steps.

        Args:
          bad_steps: steps that were skipped, in order.
          weights_problem: returns what is wrong with the weights, for the error.

        Raises:
          TooManyBadSteps: there were more than `max_bad_steps` among WINDOW successive steps.
        """
        if self._is_chief and bad_steps:
            rows = self._read_and_repair() if files.exists(self._path) else []
            self._write(rows + [self._row(bad_step) for bad_step in bad_steps])
            self._steps += [bad_step.step for bad_step in bad_steps]
            for bad_step in bad_steps:
                logging.warning(f"training: {bad_step}")
        over = next((b for b in bad_steps if b.recent > self._max_bad_steps), None)
        if over is not None:
            self._raise_too_many(
                over, [b for b in bad_steps if b.step <= over.step], weights_problem()
            )

    def _raise_too_many(
        self, over: BadStep, bad_steps: Sequence[BadStep], weights_problem: str | None
    ) -> None:
        weights = (
            f"the weights are ruined ({weights_problem})"
            if weights_problem
            else "no weight is NaN, infinite or absurdly large"
        )
        last_steps = ", ".join(
            f"{b.step:,} (loss {b.loss:.4g}, gradient norm {b.grad_norm:.4g})"
            for b in bad_steps[-3:]
        )
        raise TooManyBadSteps(
            f"{over.recent} of the last {WINDOW} steps were skipped, more than"
            f" TrainConfig.max_bad_steps={self._max_bad_steps}; the last ones: {last_steps}. Their"
            f" batches are in {self._path}; {weights}; checkpoints from before are kept."
            f" {_remedies(bad_steps)}"
        )

    def _row(self, bad_step: BadStep) -> dict[str, Any]:
        first = (bad_step.step - 1) * self._batch_size
        index, epoch = sequence_at(
            np.arange(first, first + self._batch_size),
            num_sequences=self._num_sequences,
            seed=self._seed,
        )
        return {
            "step": bad_step.step,
            "reason": _REASONS[bad_step.kind],
            "loss": _json_number(bad_step.loss),
            "grad_norm": _json_number(bad_step.grad_norm),
            "batch_sha256": hashlib.sha256(np.stack([index, epoch]).tobytes()).hexdigest(),
            "epoch": int(epoch[0]),
            "sequences": index.tolist(),
        }

    def _read_and_repair(self) -> list[dict[str, Any]]:
        content = read_at_most(self._path, MAX_BYTES)[:MAX_BYTES]
        records = [record for _, record in parse_json_lines(content, self._path)]
        rows = [record.fields for record in records if record is not None and _has_step(record)]
        if len(rows) < len(records):
            copy = keep_copy(self._path, content)
            logging.warning(
                f"training: {self._path} has {len(records) - len(rows):,} damaged lines; the others are"
                f" kept, and the damaged file is {copy}"
            )
        return rows

    def _write(self, rows: list[dict[str, Any]]) -> None:
        text = "".join(f"{json.dumps(row)}\n" for row in rows)
        files.write_atomically(self._path, text.encode())


def _remedies(bad_steps: Sequence[BadStep]) -> str:
    """Return what to do about too many bad steps, by their kinds."""
    kinds = {bad_step.kind for bad_step in bad_steps}
    remedies = []
    if SPIKE in kinds:
        remedies.append(
            "If the losses are ordinary, resume with TrainConfig.spike_threshold=0.0, which skips no spikes"
        )
    if NOT_FINITE in kinds:
        remedies.append(
            "Lower OptimizerConfig.peak_learning_rate or raise OptimizerConfig.warmup_steps in a new run"
        )
    return ". ".join(remedies)


def _state(value: tf.Tensor) -> tf.Variable:
    """Return a variable of which every replica assigns the same value to its own copy."""
    return tf.Variable(value, trainable=False)


def _has_step(record: Record) -> bool:
    try:
        return record.integer("step", minimum=1) > 0
    except DamagedRecord:
        return False


def _json_number(value: float) -> float | str:
    """Return NaN and infinities as text: JSON has no numbers for them."""
    return value if math.isfinite(value) else str(value)


def _median(window: tf.Tensor) -> tf.Tensor:
    """Return the upper median, by counting: tf.sort has no static shape on TPUs."""
    values = tf.convert_to_tensor(window)
    less = tf.reduce_sum(tf.cast(values[None] < values[:, None], tf.int32), axis=1)
    not_greater = tf.reduce_sum(tf.cast(values[None] <= values[:, None], tf.int32), axis=1)
    is_median = (less <= WINDOW // 2) & (not_greater > WINDOW // 2)
    return tf.reduce_max(tf.where(is_median, values, values.dtype.min))
