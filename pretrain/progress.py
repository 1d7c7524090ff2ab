"""What a run shows and records: metrics.jsonl, TensorBoard, one live line or plain lines."""

from __future__ import annotations

import json
import os
import sys

from tqdm import tqdm

from data import files


class Progress:
    """Rows of metrics to every place people look at."""

    def __init__(self, model_dir: str, *, start_step: int, train_steps: int):
        """Rows of steps after `start_step` are of work that was lost, and will be written again."""
        import tensorflow as tf

        self._path = files.join(model_dir, "metrics.jsonl")
        kept = [row for row in read_metrics(model_dir) if row["step"] <= start_step]
        files.write_atomically(self._path, "".join(f"{json.dumps(row)}\n" for row in kept).encode())
        self._file = files.open_append(self._path)
        self._summary = tf.summary
        self._writer = tf.summary.create_file_writer(os.fspath(model_dir))
        self._bar = tqdm(
            total=train_steps,
            initial=start_step,
            desc="pretraining",
            unit="step",
            disable=None,  # no bar where there is no terminal
            dynamic_ncols=True,
        )

    def training_row(self, step: int, row: dict[str, float]) -> None:
        """Metrics of the steps since the last row."""
        self._record(step, row, prefix="train")
        line = (
            f"loss {row['loss']:.3f}  accuracy {row['mlm_accuracy']:.1%}"
            f"  lr {row['learning_rate']:.2e}  {row['examples_per_second']:.1f} sequences/s"
        )
        if self._bar.disable:
            self._say(f"step {step:,}/{self._bar.total:,}  {line}")
        else:
            self._bar.set_postfix_str(line, refresh=False)
            self._bar.update(step - self._bar.n)

    def evaluation_row(self, step: int, row: dict[str, float], line: str) -> None:
        """Metrics on held-out text."""
        self._record(step, row, prefix="eval")
        self._say(f"step {step:,}  {line}")

    def close(self) -> None:
        """Ends the live line and flushes everything."""
        self._bar.close()
        self._file.close()
        self._writer.close()

    def _say(self, text: str) -> None:
        tqdm.write(text, file=sys.stdout)
        sys.stdout.flush()

    def _record(self, step: int, row: dict[str, float], *, prefix: str) -> None:
        self._file.write(json.dumps({"step": step, **row}, allow_nan=False) + "\n")
        self._file.flush()
        with self._writer.as_default(step=step):
            for name, value in row.items():
                self._summary.scalar(f"{prefix}/{name.removeprefix('eval_')}", value)
        self._writer.flush()


class SilentProgress:
    """For the workers that are not the chief: the same calls, and nothing written."""

    def training_row(self, step: int, row: dict[str, float]) -> None:
        """Does nothing."""

    def evaluation_row(self, step: int, row: dict[str, float], line: str) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""


def read_metrics(model_dir: str | os.PathLike) -> list[dict]:
    """The rows of metrics.jsonl; a last line cut by a crash is left out."""
    path = files.join(model_dir, "metrics.jsonl")
    if not files.exists(path):
        return []
    rows = []
    for line in files.read_bytes(path).decode().splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows
