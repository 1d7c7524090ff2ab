"""Read the records in a model directory, and compare the settings of runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from data import files
from data.errors import UserError
from pretrain.checkpoints.best import best_step
from pretrain.checkpoints.model_dir import Run, load_run, read_data, read_environment
from pretrain.config import RunConfig
from pretrain.train.metrics_log import METRICS_FILE, read_metrics


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunRecord:
    """The records of a run.

    Attributes:
      name: name of the run, unique on its page.
      run: settings, and sha256 of the data.
      rows: rows of metrics.jsonl.
      unread_lines: lines of metrics.jsonl from the first broken one on.
      best_step: step with the best held-out loss; None if never evaluated.
      data: see `describe_data`; None if an older version started the run.
      environment: environment of the last start; None if not recorded.
      gin_texts: config.gin and operative_config.gin by file name, if recorded.
    """

    name: str
    run: Run
    rows: tuple[dict[str, Any], ...]
    unread_lines: int
    best_step: int | None
    data: dict[str, Any] | None
    environment: dict[str, Any] | None
    gin_texts: dict[str, str]

    @property
    def training(self) -> list[dict[str, Any]]:
        """Rows about training steps."""
        return [row for row in self.rows if "loss" in row]

    @property
    def evaluations(self) -> list[dict[str, Any]]:
        """Rows about held-out data."""
        return [row for row in self.rows if any(name.startswith("eval_") for name in row)]

    @property
    def settings(self) -> dict[str, object]:
        """All settings by gin name, and the data."""
        settings: dict[str, object] = {}
        for field in dataclasses.fields(self.run.config):
            part = getattr(self.run.config, field.name)
            values = dataclasses.asdict(part).items()
            settings |= {f"{type(part).__name__}.{name}": value for name, value in values}
        return settings | {"data (sha256)": self.run.data_sha256[:12]}


def read_record(
    model_dir: str,
    name: str,
    kind: type = RunConfig,
    *,
    read_data: Callable[[str], dict[str, Any] | None] = read_data,
) -> RunRecord:
    """Read the records of a run.

    Args:
      model_dir: model directory.
      name: name of the run on the page.
      kind: class of its settings.
      read_data: reads and checks the record of its data.

    Raises:
      UserError: the directory is not a model directory, is from another version, or has a damaged
        file.
    """
    run = load_run(model_dir, kind)
    rows = read_metrics(model_dir)
    num_lines = len((_read(model_dir, METRICS_FILE) or b"").splitlines())
    gin_texts = {
        file: text
        for file in ("config.gin", "operative_config.gin")
        if (text := _read_text(model_dir, file)) is not None
    }
    return RunRecord(
        name=name,
        run=run,
        rows=tuple(rows),
        unread_lines=num_lines - len(rows),
        best_step=best_step(model_dir),
        data=read_data(model_dir),
        environment=read_environment(model_dir),
        gin_texts=gin_texts,
    )


def differing_settings(records: Sequence[RunRecord]) -> dict[str, list[Any]]:
    """Return the settings that are not the same in all runs, with one value per run."""
    columns = [record.settings for record in records]
    names = dict.fromkeys(name for settings in columns for name in settings)
    table = {name: [settings.get(name) for settings in columns] for name in names}
    return {
        name: values
        for name, values in table.items()
        if any(value != values[0] for value in values)
    }


def _read_text(model_dir: str, name: str) -> str | None:
    try:
        content = _read(model_dir, name)
        return None if content is None else content.decode()
    except UnicodeDecodeError as error:
        path = files.join(model_dir, name)
        raise UserError(f"{path} is damaged: it is not UTF-8 ({error.reason}); delete it") from None


def _read(model_dir: str, name: str) -> bytes | None:
    path = files.join(model_dir, name)
    return files.read_bytes(path) if files.exists(path) else None
