"""The files in the model directory of a seed, and their checked content."""

from __future__ import annotations

from typing import Any

from data import files
from data.checked_json import Record, format_value, read_json
from pretrain.checkpoints.model_dir import DATA_FILE

METRICS_FILE = "metrics.json"  # scores on every labelled split, and whether the seed collapsed
PREDICTIONS = "predictions"  # one folder for each split, with files in the formats of the task


def read_scores(model_dir: str) -> dict[str, Any] | None:
    """Return metrics.json, which `SeedRun.run` writes; None if there is none.

    Raises:
      DamagedRecord: a field is missing or has a wrong type.
    """
    path = files.join(model_dir, METRICS_FILE)
    if not files.exists(path):
        return None
    return check_seed(read_json(path, remedy="delete it and run the same command again"))


def check_seed(record: Record) -> dict[str, Any]:
    """Return the content of metrics.json of a seed, with the type of each field that is used checked.

    Raises:
      DamagedRecord: a field is missing or has another type.
    """
    metric, splits = record.text("main_metric"), record.mappings("splits")
    record.integer("seed")
    for name in ("step", "train_steps"):
        record.integer(name, minimum=0)
    record.require("collapse")
    collapse = record.mapping("collapse", default=None)
    if collapse is not None:
        collapse.integer("step", minimum=0)
        collapse.text("reason")
    for scores in splits.values():
        for name, value in scores.fields.items():
            if name == metric or not isinstance(value, float):  # a loss may be NaN
                scores.number(name)
    record.mapping("splits").mapping("dev").number(metric)
    return record.fields


def read_task_data(model_dir: str) -> dict[str, Any] | None:
    """Return data.json, the summary of a task's data; None if there is none.

    Raises:
      DamagedRecord: a field is missing or has a wrong type.
    """
    path = files.join(model_dir, DATA_FILE)
    if not files.exists(path):
        return None
    record = read_json(path, remedy="run the same command again")
    for name in ("task", "kind", "main_metric", "sha256", "encoder"):
        record.text(name)
    record.texts("labels")
    record.boolean("has_pair")
    record.number("majority_entropy")
    for split in record.mappings("splits").values():
        split.integer("sequences", minimum=0)
        split.boolean("labelled")
        _check_numbers(split.mapping("notes"))
        for skip in split.rows("skipped"):
            skip.text("where")
            skip.text("reason")
    record.mapping("baseline").mapping("dev")
    for scores in record.mappings("baseline").values():
        _check_numbers(scores)
    return record.fields


def _check_numbers(record: Record) -> None:
    """Raise a DamagedRecord unless all fields are numbers; a score may be NaN."""
    for name, value in record.fields.items():
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise record.damaged(
                f"{record.location}.{name} is {format_value(value)}, must be a number"
            )
