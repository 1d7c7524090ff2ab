"""Show and record the metrics of a run: messages, metrics.jsonl, TensorBoard, Weights & Biases."""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
import os
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tensorflow as tf
from absl import logging
from tqdm import tqdm

from data import files
from data.errors import UserError, first_line
from pretrain.checkpoints.best import LEAST_LOSS, Criterion, record_best
from pretrain.checkpoints.model_dir import Presence
from pretrain.train.loop import Hook
from pretrain.train.metrics_log import METRICS_FILE, TIME, repair_metrics

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_WRITE_ERRORS = (OSError, tf.errors.OpError)


class WandB:
    """A run at Weights & Biases. A resumed run continues the same one there."""

    def __init__(self, project: str, model_dir: str, config: DataclassInstance):
        """Log in with the client's own settings and environment variables.

        Args:
          project: name of the project at Weights & Biases.
          model_dir: model directory of the run.
          config: all settings, a dataclass.
        """
        import wandb

        id_path = files.join(model_dir, "wandb_id")
        if not files.exists(id_path):
            files.write_atomically(id_path, uuid.uuid4().hex[:16].encode())
        self._run = wandb.init(
            project=project,
            name=Path(model_dir).resolve().name,
            id=files.read_bytes(id_path).decode(),
            resume="allow",
            # Directory for the client's own files; None is the current directory.
            dir=None if files.is_remote(model_dir) else os.fspath(model_dir),
            config=dataclasses.asdict(config),
        )
        # Its own step counter only rises, but a resumed run repeats some steps.
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def log(self, step: int, row: dict[str, Any]) -> None:
        """Send a row."""
        self._run.log({"step": step, **row})

    def close(self) -> None:
        """Wait until everything is sent."""
        self._run.finish()


class Progress(Hook):
    """Write rows of metrics to the terminal, metrics.jsonl, TensorBoard and Weights & Biases."""

    def __init__(
        self,
        model_dir: str,
        *,
        start_step: int,
        train_steps: int,
        last_row: int | None = None,
        write_report: Callable[[str], None],
        wandb: WandB | None = None,
        criterion: Criterion = LEAST_LOSS,
        presence: Presence | None = None,
    ):
        """Open the files. Drop rows after `start_step`: the run repeats those steps.

        Args:
          model_dir: model directory of the run.
          start_step: number of updates so far.
          train_steps: updates at the end of the run.
          last_row: step of the last row of training metrics before `start_step`; None if unknown.
          write_report: writes the report page of a model directory.
          wandb: receives the rows as well.
          criterion: what makes an evaluation the best.
          presence: check before each row that the model directory is still there.
        """
        self._model_dir, self._wandb = model_dir, wandb
        self._criterion, self._write_report = criterion, write_report
        self._presence = presence
        self._next_row = repair_metrics(model_dir, start_step, last_row=last_row)
        self._file = files.open_append(files.join(model_dir, METRICS_FILE))
        _mark_restart(model_dir, start_step)
        self._writer = tf.summary.create_file_writer(os.fspath(model_dir))
        self._write_settings(start_step)
        self._clock_step, self._clock = start_step, time.monotonic()
        self._is_compiled = self._has_line = False
        self._bar = tqdm(
            total=train_steps,
            initial=start_step,
            file=sys.stdout,
            bar_format="{percentage:3.0f}%|{bar:10}| {desc}",
            disable=None,  # plain lines where there is no terminal
            dynamic_ncols=True,
        )

    def after_loop(self, step: int) -> None:
        """Show the speed after a few updates: the first row may be far away."""
        if not self._is_compiled:  # the first loop compiles
            self._clock_step, self._clock, self._is_compiled = step, time.monotonic(), True
        elif not self._has_line:
            rate = (step - self._clock_step) / (time.monotonic() - self._clock)
            speed = f"{rate:.1f} updates/s" if rate >= 1 else f"{1 / rate:.1f} s an update"
            self._show(step, speed)

    def after_row(self, step: int, row: dict[str, Any]) -> None:
        """Record a row of training metrics: numbers, or several numbers under one name.

        Raises:
          UserError: the row could not be written, for example because the disk is full.
        """
        self._record(step, row, prefix="train")
        self._show(step, training_line(row))

    def _show(self, step: int, text: str) -> None:
        """Print a line, or renew the live line."""
        self._has_line = True
        line = f"step {step:,}/{self._bar.total:,}  {text}  {self._left(step)} left"
        if self._bar.disable:
            logging.info(line)
        else:
            self._bar.set_description_str(line, refresh=False)
            self._bar.update(step - self._bar.n)
            self._bar.refresh()

    def after_evaluation(self, step: int, row: dict[str, Any], text: str) -> None:
        """Record the metrics of an evaluation, and whether it is the best so far.

        Raises:
          UserError: the row could not be written, for example because the disk is full.
        """
        if self._presence:
            self._presence.require()
        # Before the row: once the row is there, a resumed run does not evaluate this step again.
        is_best = record_best(self._model_dir, step, row, self._criterion)
        self._record(step, row, prefix="eval")
        logging.info(f"step {step:,}{', the best so far' if is_best else ''}  {text}")
        self._try_report()

    def close(self) -> None:
        """End the live line, flush everything and write the report."""
        self._bar.close()
        for opened in (self._file, self._writer):
            try:
                opened.close()
            except (
                _WRITE_ERRORS
            ) as error:  # rows are flushed already; do not hide what ended the run
                logging.error(f"pretraining: {self._model_dir}: {first_line(error)}")
        if self._wandb:
            self._wandb.close()
        self._try_report()

    def _try_report(self) -> None:
        if self._presence and not self._presence.is_there:
            return  # writing would make the directory again
        try:
            self._write_report(self._model_dir)
        except Exception as error:  # a report must neither end a run nor hide what did
            logging.warning(f"training: no report.html: {error}")

    def _left(self, step: int) -> str:
        """Return the time left as h:mm:ss, at the mean speed so far: with evaluations, without compiling."""
        if step == self._clock_step:  # a row after the first update
            return "unknown time" if step < self._bar.total else "0:00:00"
        seconds = (time.monotonic() - self._clock) / (step - self._clock_step)
        return str(datetime.timedelta(seconds=round(seconds * (self._bar.total - step))))

    def _record(self, step: int, row: dict[str, Any], *, prefix: str) -> None:
        if self._presence:
            self._presence.require()
        tagged = {f"{prefix}/{name.removeprefix('eval_')}": value for name, value in row.items()}
        target = files.join(self._model_dir, METRICS_FILE)  # the errors do not name their file
        try:
            place = {"step": step, "row": self._next_row, TIME: round(time.time(), 3)}
            content = {**place, **_finite(row)}
            self._file.write(json.dumps(content, allow_nan=False) + "\n")
            self._file.flush()
            self._next_row += 1
            target = "TensorBoard's file"
            self._write_summaries(step, tagged)
        except _WRITE_ERRORS as error:
            raise UserError(
                f"the metrics of step {step:,} could not be written: {target}: {first_line(error)};"
                " make room, and run the same command again to resume"
            ) from error
        if self._wandb:
            self._wandb.log(step, tagged)

    def _write_settings(self, start_step: int) -> None:
        """Show all settings of the run in TensorBoard, as text."""
        path = files.join(self._model_dir, "operative_config.gin")
        if files.exists(path):
            settings = files.read_bytes(path).decode()
            with self._writer.as_default(step=start_step):
                tf.summary.text("settings", f"```\n{settings}```")

    def _write_summaries(self, step: int, row: dict[str, Any]) -> None:
        with self._writer.as_default(step=step):  # flushes when it ends
            for name, value in row.items():
                if isinstance(value, dict):
                    tf.summary.histogram(name, list(value.values()))
                else:
                    tf.summary.scalar(name, value)


def _mark_restart(model_dir: str, start_step: int) -> None:
    """Tell TensorBoard to drop the points after `start_step` of earlier starts: they are repeated.

    The mark is in an event file of its own, which TensorBoard reads before those written later. The first
    start has a mark, too, because TensorBoard drops nothing at the first one that it finds.
    """
    start = tf.compat.v1.SessionLog(status=tf.compat.v1.SessionLog.START)
    try:
        with tf.Graph().as_default():  # there is no other public writer of session logs
            writer = tf.compat.v1.summary.FileWriter(os.fspath(model_dir))
            writer.add_session_log(start, start_step + 1)
            writer.close()
    except _WRITE_ERRORS as error:
        raise UserError(
            f"{model_dir}: TensorBoard's file could not be written: {first_line(error)}; make room,"
            " and run the same command again to resume"
        ) from error


def training_line(row: dict[str, Any]) -> str:
    """Return a row of training metrics as text; the share of peak only where the peak is known."""
    parts = [f"loss {row['loss']:.3f}"]
    parts += [f"accuracy {row[name]:.1%}" for name in ("mlm_accuracy", "accuracy") if name in row]
    parts += [f"lr {row['learning_rate']:.2e}", f"{row['tokens_per_second']:,.0f} tokens/s"]
    if "peak_share" in row:
        parts.append(f"{row['peak_share']:.1%} of peak")
    parts.append(f"input wait {row['input_wait_fraction']:.1%}")
    return "  ".join(parts)


def _finite(value: Any) -> Any:
    """Replace NaN and infinities by None, because JSON has no numbers for them."""
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
