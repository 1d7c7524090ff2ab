"""Steps that would harm the model: judged on the devices, passed over there, named by the host.

A step is bad if its loss or gradient norm is no finite number, or if one of them lies far above what
was seen in the last steps. The optimizer then changes nothing but its count of steps, so the
schedule, the dropout masks and the order of the data, which are functions of the step, go on.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from data import files
from data.errors import UserError
from data.read.order import sequence_at

WINDOW = 128
LOG_FILE = "bad_steps.jsonl"
GOOD, NOT_FINITE, SPIKE = 0, 1, 2
_REASONS = {NOT_FINITE: "not finite", SPIKE: "spike"}
# The standard deviation of a normal distribution, from its median absolute deviation.
_SIGMAS_PER_MAD = 1.4826
# Of the median: where the window hardly varies, a small change is no spike.
_LEAST_SIGMA = 0.01


class BadSteps(tf.Module):
    """The window of past steps and the verdict on the next; part of the checkpoint.

    Every finite loss and norm enters the window, spikes included: the median does not mind a few
    of them, and after a lasting change of level it follows. Nothing is a spike before the window is
    full. All replicas are given the same numbers, and keep the same window.
    """

    def __init__(self, *, threshold: float):
        """A step is a spike above median + threshold * sigma of the window; 0 means never."""
        super().__init__()
        self._threshold = threshold
        self.losses = _state(tf.zeros([WINDOW]))
        self.norms = _state(tf.zeros([WINDOW]))
        self.seen = _state(tf.zeros([], tf.int64))  # finite steps so far
        self.marks = _state(tf.zeros([WINDOW]))  # 1 for each bad one of the last steps

    def judge(self, step: tf.Tensor, loss: tf.Tensor, norm: tf.Tensor) -> tf.Tensor:
        """Takes in a step, in replica context.

        Args:
          step: int64, counted from 0.
          loss: float32, of the global batch.
          norm: float32, of the gradient before clipping.

        Returns:
          float32 [2]: GOOD, NOT_FINITE or SPIKE, and how many of the last WINDOW steps were bad.
        """
        is_finite = tf.math.is_finite(loss) & tf.math.is_finite(norm)
        is_spike = tf.constant(False)
        if self._threshold:
            is_spike = (self.seen >= WINDOW) & (
                self._stands_out(loss, self.losses) | self._stands_out(norm, self.norms)
            )
        verdict = tf.where(is_finite, tf.where(is_spike, SPIKE, GOOD), NOT_FINITE)
        place = (tf.range(WINDOW, dtype=tf.int64) == self.seen % WINDOW) & is_finite
        self.losses.assign(tf.where(place, loss, self.losses))
        self.norms.assign(tf.where(place, norm, self.norms))
        self.seen.assign_add(tf.cast(is_finite, tf.int64))
        is_bad = tf.cast(verdict != GOOD, tf.float32)
        is_now = tf.range(WINDOW, dtype=tf.int64) == step % WINDOW
        marks = tf.where(is_now, is_bad, self.marks)
        self.marks.assign(marks)
        return tf.stack([tf.cast(verdict, tf.float32), tf.reduce_sum(marks)])

    def _stands_out(self, value: tf.Tensor, window: tf.Variable) -> tf.Tensor:
        median = _median(window)
        sigma = _SIGMAS_PER_MAD * _median(tf.abs(window - median))
        return value > median + self._threshold * tf.maximum(sigma, _LEAST_SIGMA * tf.abs(median))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """On a bad step.

    Attributes:
      step: counted from 1, as in metrics.jsonl.
      kind: NOT_FINITE or SPIKE.
      recent: bad ones among the last WINDOW steps.
    """

    step: int
    loss: float
    grad_norm: float
    kind: int
    recent: int

    def __str__(self) -> str:
        """One line for people."""
        return (
            f"step {self.step:,} was passed over ({_REASONS[self.kind]}): loss {self.loss:.4g},"
            f" gradient norm {self.grad_norm:.4g}"
        )


class TooManyBadSteps(UserError):  # noqa: N818
    """The run cannot go on like this."""


class BadStepLog:
    """`bad_steps.jsonl`: every step that was passed over, with its batch; and when to give up."""

    def __init__(self, model_dir: str, *, seed: int, global_batch_size: int, num_sequences: int):
        """The last three say which sequences a step shows."""
        self._path = files.join(model_dir, LOG_FILE)
        self._seed, self._batch, self._sequences = seed, global_batch_size, num_sequences

    def forget_after(self, step: int) -> None:
        """Drops rows of steps that will be made again."""
        if files.exists(self._path):
            self._write([row for row in self._rows() if row["step"] <= step])

    def add(self, verdicts: Sequence[Verdict]) -> None:
        """Records bad steps."""
        if verdicts:
            kept = self._rows() if files.exists(self._path) else []
            self._write(kept + [self._row(verdict) for verdict in verdicts])

    def _row(self, verdict: Verdict) -> dict:
        first = (verdict.step - 1) * self._batch
        index, epoch = sequence_at(
            np.arange(first, first + self._batch), num_sequences=self._sequences, seed=self._seed
        )
        return {
            "step": verdict.step,
            "reason": _REASONS[verdict.kind],
            "loss": _json_number(verdict.loss),
            "grad_norm": _json_number(verdict.grad_norm),
            "batch_sha256": hashlib.sha256(np.stack([index, epoch]).tobytes()).hexdigest(),
            "epoch": int(epoch[0]),
            "sequences": index.tolist(),
        }

    def _rows(self) -> list[dict]:
        return [json.loads(line) for line in files.read_bytes(self._path).splitlines()]

    def _write(self, rows: list[dict]) -> None:
        text = "".join(f"{json.dumps(row)}\n" for row in rows)
        files.write_atomically(self._path, text.encode())


def refuse_too_many(verdicts: Sequence[Verdict], *, most: int, model_dir: str) -> None:
    """Raises TooManyBadSteps if more than `most` of any WINDOW steps in a row were bad."""
    over = next((v for v in verdicts if v.recent > most), None)
    if over is None:
        return
    named = ", ".join(
        f"{v.step:,} (loss {v.loss:.4g}, gradient norm {v.grad_norm:.4g})"
        for v in [v for v in verdicts if v.step <= over.step][-3:]
    )
    raise TooManyBadSteps(
        f"{over.recent} of the last {WINDOW} steps were passed over, more than"
        f" TrainConfig.max_bad_steps={most}; the last ones: {named}. Their batches are in"
        f" {files.join(model_dir, LOG_FILE)}; the weights are sound. Lower"
        " OptimizerConfig.peak_learning_rate or raise OptimizerConfig.warmup_steps"
    )


def _state(value: tf.Tensor) -> tf.Variable:
    """All replicas assign the same value."""
    return tf.Variable(
        value, trainable=False, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA
    )


def _json_number(value: float) -> float | str:
    """JSON has no word for what is not finite."""
    return value if math.isfinite(value) else str(value)


def _median(window: tf.Tensor) -> tf.Tensor:
    """The upper one of an even number: a sort in TensorFlow is of no static shape."""
    values = tf.convert_to_tensor(window)
    less = tf.reduce_sum(tf.cast(values[None] < values[:, None], tf.int32), axis=1)
    not_greater = tf.reduce_sum(tf.cast(values[None] <= values[:, None], tf.int32), axis=1)
    is_median = (less <= WINDOW // 2) & (not_greater > WINDOW // 2)
    return tf.reduce_max(tf.where(is_median, values, values.dtype.min))
