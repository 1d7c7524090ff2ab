"""All that a model directory says of its run, and how runs differ."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from data import files
from data.errors import UserError
from pretrain.checkpoints.best import best_step
from pretrain.checkpoints.model_dir import DATA_FILE, Run, load_run
from pretrain.config import RunConfig
from pretrain.train.metrics_log import METRICS_FILE, read_metrics


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A run as its model directory tells it.

    Attributes:
      name: told apart from the other runs of a page.
      run: settings, and the data by its sha256.
      rows: of metrics.jsonl.
      lost_lines: lines of it that follow a broken one, and that one.
      best_step: on held-out text; None if it was never evaluated.
      data: as `describe_data` gives it; None if the run was begun before that was recorded.
      environment: of the last start, or None.
      texts: config.gin and operative_config.gin, those that are there.
    """

    name: str
    run: Run
    rows: tuple[dict, ...]
    lost_lines: int
    best_step: int | None
    data: dict | None
    environment: dict | None
    texts: dict[str, str]

    @property
    def training(self) -> list[dict]:
        """The rows about training steps."""
        return [row for row in self.rows if "loss" in row]

    @property
    def evaluations(self) -> list[dict]:
        """The rows about held-out data."""
        return [row for row in self.rows if any(name.startswith("eval_") for name in row)]

    @property
    def settings(self) -> dict[str, object]:
        """Every setting by its name in gin files, and the data."""
        found = {}
        for field in dataclasses.fields(self.run.config):
            part = getattr(self.run.config, field.name)
            values = dataclasses.asdict(part).items()
            found |= {f"{type(part).__name__}.{name}": value for name, value in values}
        return found | {"data (sha256)": self.run.data_sha256[:12]}


def read_record(model_dir: str, name: str, kind: type = RunConfig) -> RunRecord:
    """Reads a model directory.

    Args:
      model_dir: the directory.
      name: of the run, on a page.
      kind: of its settings.

    Raises:
      UserError: it is none, or of another version, or a file of it is damaged.
    """
    run = load_run(model_dir, kind)
    rows = read_metrics(model_dir)
    num_lines = len((_read(model_dir, METRICS_FILE) or b"").splitlines())
    texts = {
        file: content.decode()
        for file in ("config.gin", "operative_config.gin")
        if (content := _read(model_dir, file)) is not None
    }
    return RunRecord(
        name=name,
        run=run,
        rows=tuple(rows),
        lost_lines=num_lines - len(rows),
        best_step=best_step(model_dir),
        data=_read_json(model_dir, DATA_FILE),
        environment=_read_json(model_dir, "environment.json"),
        texts=texts,
    )


def differing_settings(records: Sequence[RunRecord]) -> dict[str, list]:
    """Settings that are not the same in all runs: a value a run."""
    columns = [record.settings for record in records]
    names = dict.fromkeys(name for settings in columns for name in settings)
    found = {name: [settings.get(name) for settings in columns] for name in names}
    return {
        name: values
        for name, values in found.items()
        if any(value != values[0] for value in values)
    }


def _read(model_dir: str, name: str) -> bytes | None:
    path = files.join(model_dir, name)
    return files.read_bytes(path) if files.exists(path) else None


def _read_json(model_dir: str, name: str) -> dict | None:
    content = _read(model_dir, name)
    try:
        return None if content is None else json.loads(content)
    except ValueError as error:
        path = files.join(model_dir, name)
        raise UserError(f"{path} is damaged: {error}; delete it") from error
