"""Rows about the records of model directories."""

from __future__ import annotations

from tests.faults import commands as run
from tests.faults import damage as d
from tests.faults.case import refused, refused_or_same, row

AREA = "Model directories"
RUN, BEST = "model/run.json", "model/best.json"


def rows() -> list:
    """Return the rows."""
    found = [
        row(AREA, "run.json", damage, variants, run.REPORT, right, each=True)
        for damage, variants, right in (
            (
                "a value of another type in each field",
                d.wrong_types(RUN, but=("initial_sha256",)),
                refused("run.json"),
            ),
            ("an absurd number in each field", d.huge_numbers(RUN), refused_or_same("run.json")),
            (
                "a field of the record is missing",
                d.missing_fields(RUN, but=_settings()),
                refused_or_same("run.json"),
            ),
            ("not a record", d.no_json(RUN), refused("run.json")),
            ("not a file", d.no_file(RUN), refused("model")),
        )
    ]
    found += [
        row(AREA, "run.json", damage, apply, command, refused("run.json"))
        for command in (run.TRAIN, run.EVAL, run.EXPORT)
        for damage, apply in (
            ("half of it", d.truncate(RUN)),
            ("100,000 brackets", d.write(RUN, "[" * 100_000)),
            ("config is a list", d.at(RUN, ("config",), [])),
        )
    ]
    found += [
        row(
            *(AREA, "run.json", "of another run"),
            d.at(RUN, ("config", "optimizer", "peak_learning_rate"), 0.5),
            *(
                run.TRAIN,
                refused("model belongs to another run", "OptimizerConfig.peak_learning_rate"),
            ),
        ),
        row(
            *(AREA, "run.json", "of other data"),
            d.at(RUN, ("data_sha256",), "ab" * 32),
            *(run.TRAIN, refused("model belongs to another run", "data")),
        ),
        row(AREA, "run.json", "missing", d.remove(RUN), run.TRAIN, refused("no run.json")),
        row(
            AREA,
            "best.json",
            "not a record",
            d.no_json(BEST),
            run.REPORT,
            refused("best.json"),
            each=True,
        ),
        row(
            AREA,
            "best.json",
            "a value of another type in each field",
            d.wrong_types(BEST),
            run.REPORT,
            refused("best.json"),
            each=True,
        ),
        row(
            AREA,
            "best.json",
            "a step without a checkpoint",
            d.at(BEST, ("step",), 5),
            run.EXPORT_BEST,
            refused("no checkpoint of step 5"),
        ),
        row(AREA, "best.json", "missing", d.remove(BEST), run.EXPORT_BEST, refused("best.json")),
    ]
    return found


def _settings() -> tuple[str, ...]:
    """Fields that an older version did not have, so that they have defaults."""
    return ("train", "input", "encoder", "optimizer", "cluster", "initial_sha256")
