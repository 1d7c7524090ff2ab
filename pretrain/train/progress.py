"""What a run shows and records: metrics.jsonl, TensorBoard, one live line or plain lines."""

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

from tqdm import tqdm

from data import files
from data.errors import UserError, first_line
from pretrain.checkpoints.best import LEAST_LOSS, Criterion, record_best
from pretrain.train.metrics_log import METRICS_FILE, read_metrics


class WandB:
    """A run at Weights & Biases; started again, it is the same one."""

    def __init__(self, project: str, model_dir: str, config):
        """Logs in as the client's own settings and environment variables say.

        Args:
          project: its name there.
          model_dir: the run.
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
            # Its own files; None is the current directory.
            dir=None if files.is_remote(model_dir) else os.fspath(model_dir),
            config=dataclasses.asdict(config),
        )
        # Its own count of steps only rises; a run that goes on makes some steps a second time.
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def log(self, step: int, row: dict) -> None:
        """Sends a row."""
        self._run.log({"step": step, **row})

    def close(self) -> None:
        """Waits until everything is sent."""
        self._run.finish()


class Progress:
    """Rows of metrics to every place people look at."""

    def __init__(
        self,
        model_dir: str,
        *,
        start_step: int,
        train_steps: int,
        wandb: WandB | None = None,
        criterion: Criterion = LEAST_LOSS,
        write_report: Callable[[str], None],
    ):
        """Begins; rows of steps after `start_step` are of work that was lost, and will be written again.

        Args:
          model_dir: the run.
          start_step: updates made so far.
          train_steps: updates at the end.
          wandb: takes the rows as well.
          criterion: by which the best evaluation is told.
          write_report: writes the page of a model directory.
        """
        import tensorflow as tf

        self._model_dir, self._wandb = model_dir, wandb
        self._criterion, self._report = criterion, write_report
        path = files.join(model_dir, METRICS_FILE)
        kept = [row for row in read_metrics(model_dir) if row["step"] <= start_step]
        files.write_atomically(path, "".join(f"{json.dumps(row)}\n" for row in kept).encode())
        self._file = files.open_append(path)
        self._summary, self._write_errors = tf.summary, (OSError, tf.errors.OpError)
        self._writer = tf.summary.create_file_writer(os.fspath(model_dir))
        self._started, self._start_step = time.monotonic(), start_step
        self._bar = tqdm(
            total=train_steps,
            initial=start_step,
            file=sys.stdout,
            bar_format="{percentage:3.0f}%|{bar:10}| {desc}",
            disable=None,  # no live line where there is no terminal
            dynamic_ncols=True,
        )

    def training_row(self, step: int, row: dict) -> None:
        """Metrics of the steps since the last row: numbers, or several under one name.

        Raises:
          UserError: they could not be written, for example because the disk is full.
        """
        self._record(step, row, prefix="train")
        line = f"step {step:,}/{self._bar.total:,}  {training_line(row)}  {self._left(step)} left"
        if self._bar.disable:
            self._say(line)
        else:
            self._bar.set_description_str(line, refresh=False)
            self._bar.update(step - self._bar.n)
            self._bar.refresh()

    def evaluation_row(self, step: int, row: dict, lines: str) -> None:
        """Metrics on held-out text, and whether they are the best so far; raises as training_row."""
        # Before the row, which says that this step was evaluated and need not be again.
        is_best = record_best(self._model_dir, step, row, self._criterion)
        self._record(step, row, prefix="eval")
        self._say(f"step {step:,}{', the best so far' if is_best else ''}  {lines}")
        self._try_report()

    def close(self) -> None:
        """Ends the live line, flushes everything and writes the report."""
        self._bar.close()
        for opened in (self._file, self._writer):
            try:
                opened.close()
            except self._write_errors as error:  # rows are flushed; not to hide what ended the run
                self._say(f"pretraining: {self._model_dir}: {first_line(error)}")
        if self._wandb:
            self._wandb.close()
        self._try_report()

    def _try_report(self) -> None:
        try:
            self._report(self._model_dir)
        except Exception as error:  # whatever it is: a page must not end a run, nor hide what did
            self._say(f"training: no report.html: {error}")

    def _left(self, step: int) -> str:
        """Hours, minutes and seconds to the end at the mean speed so far, evaluations included."""
        seconds = (time.monotonic() - self._started) / (step - self._start_step)
        return str(datetime.timedelta(seconds=round(seconds * (self._bar.total - step))))

    def _say(self, text: str) -> None:
        tqdm.write(text, file=sys.stdout)
        sys.stdout.flush()

    def _record(self, step: int, row: dict, *, prefix: str) -> None:
        named = {f"{prefix}/{name.removeprefix('eval_')}": value for name, value in row.items()}
        place = files.join(self._model_dir, METRICS_FILE)  # an error of a file does not name it
        try:
            self._file.write(json.dumps({"step": step, **_finite(row)}, allow_nan=False) + "\n")
            self._file.flush()
            place = "TensorBoard's file"
            self._summarize(step, named)
        except self._write_errors as error:
            raise UserError(
                f"the metrics of step {step:,} could not be written: {place}: {first_line(error)}; make"
                " room, and run the same command again to go on"
            ) from error
        if self._wandb:
            self._wandb.log(step, named)

    def _summarize(self, step: int, row: dict) -> None:
        with self._writer.as_default(step=step):  # and flushes at its end
            for name, value in row.items():
                if isinstance(value, dict):
                    self._summary.histogram(name, list(value.values()))
                else:
                    self._summary.scalar(name, value)


class SilentProgress:
    """For the workers that are not the chief: the same calls, and nothing written."""

    def training_row(self, step: int, row: dict) -> None:
        """Does nothing."""

    def evaluation_row(self, step: int, row: dict, lines: str) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""


def _finite(value):
    """JSON has no word for what is not finite: null stands for it."""
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def training_line(row: dict) -> str:
    """A training row for people; the share of the peak only where the peak is known."""
    parts = [f"loss {row['loss']:.3f}"]
    parts += [f"accuracy {row[name]:.1%}" for name in ("mlm_accuracy", "accuracy") if name in row]
    parts += [f"lr {row['learning_rate']:.2e}", f"{row['tokens_per_second']:,.0f} tokens/s"]
    if "peak_share" in row:
        parts.append(f"{row['peak_share']:.1%} of peak")
    parts.append(f"input wait {row['input_wait_fraction']:.1%}")
    return "  ".join(parts)
