"""Rows about the logs of a run, and the records that its report reads."""

from __future__ import annotations

import json
from pathlib import Path

from tests.faults import commands as run
from tests.faults import damage as d
from tests.faults.case import (
    Apply,
    goes_on,
    refused,
    refused_or_goes_on,
    refused_or_same,
    row,
    same,
)

AREA = "Logs and reports"
METRICS, BAD_STEPS = "model/metrics.jsonl", "model/bad_steps.jsonl"
DATA, ENVIRONMENT = "model/data.json", "model/environment.json"
KEPT = "kept, and the damaged file is"


def rows() -> list:
    """Return the rows."""
    return [*_metrics(), *_bad_steps(), *_report()]


def lines(file: str, change) -> Apply:
    """Return a damage that changes the lines of a file."""

    def edit(content: bytes) -> bytes:
        found = content.splitlines(keepends=True)
        return b"".join(change(found))

    return d.edit(file, edit)


def _damages(file: str) -> dict[str, Apply]:
    """Return damages after which some lines of a log cannot be read."""
    return {
        **{f"flipped bit {seed}": _break(file, seed) for seed in range(4)},
        "zeros at the end": d.append(file, bytes(5000)),
        "zeros in the middle": d.zero(file, 0.3, 0.4),
        "100,000 brackets in a line": d.append(file, b"[" * 100_000 + b"\n"),
        "a number of 5,000 digits": d.append(file, b'{"step": ' + b"9" * 5000 + b"}\n"),
        "not UTF-8": d.append(file, b'{"step": 3, "loss": "\xff"}\n'),
        "a list": d.append(file, b"[1, 2]\n"),
        "a step as text": d.append(file, b'{"step": "3"}\n'),
        "a negative step": d.append(file, b'{"step": -3}\n'),
        "step is true": d.append(file, b'{"step": true}\n'),
        "step is 1e999": d.append(file, b'{"step": 1e999}\n'),
        "no step": d.append(file, b'{"loss": 3.5}\n'),
        "a line of 10 MB": d.append(file, b"x" * 10**7 + b"\n"),
        "line ends of an old Mac": d.append(file, b'{"step": 3}\r{"step": 4}\r\n'),
    }


def _break(file: str, seed: int) -> Apply:
    """Damage one line so that it is not JSON any more."""
    return lines(
        file, lambda found: [*found[:1], found[1].replace(b":", b"\x02", seed + 1), *found[2:]]
    )


def _metrics() -> list:
    found = [
        row(
            *(AREA, "metrics.jsonl", "lines that cannot be read"),
            d.each(**{name.replace(" ", "_"): apply for name, apply in _damages(METRICS).items()}),
            *(run.REPAIR, same("damaged lines; the other", KEPT)),
            each=True,
        ),
        row(
            *(AREA, "metrics.jsonl", "lines that cannot be read"),
            d.each(**{name.replace(" ", "_"): apply for name, apply in _damages(METRICS).items()}),
            *(run.REPORT, goes_on("report.html")),
            each=True,
        ),
        row(
            *(AREA, "metrics.jsonl", "the last line is cut"),
            d.each(
                a_byte=d.edit(METRICS, lambda c: c[:-1]),
                twenty_bytes=d.edit(METRICS, lambda c: c[:-20]),
                all_but_a_bracket=d.append(METRICS, b"{"),
            ),
            *(run.REPAIR, same()),
            each=True,
        ),
        row(
            *(AREA, "metrics.jsonl", "a value of another type in each field of a row"),
            *(_rows_of_other_types, run.REPORT, goes_on("report.html")),
            each=True,
        ),
        row(
            AREA,
            "metrics.jsonl",
            "not a file",
            d.no_file(METRICS),
            run.REPAIR,
            refused_or_same("metrics.jsonl"),
            each=True,
        ),
        row(
            AREA,
            "metrics.jsonl",
            "not a file",
            d.no_file(METRICS),
            run.REPORT,
            _REPORT_WITHOUT,
            each=True,
        ),
    ]
    found += [
        row(AREA, "metrics.jsonl", damage, apply, run.REPAIR, same(f"metrics.jsonl lacks {text}"))
        for damage, apply, text in (
            ("a row is missing", lines(METRICS, lambda f: f[:1] + f[2:]), "1 row between"),
            ("two rows are missing", lines(METRICS, lambda f: f[:1] + f[3:]), "2 rows between"),
            ("the first row is missing", lines(METRICS, lambda f: f[1:]), "1 row between"),
        )
    ]
    found += [
        row(AREA, "metrics.jsonl", damage, apply, run.TRAIN_ON, goes_on(*texts))
        for damage, apply, texts in (
            ("a flipped byte in the middle", _break(METRICS, 0), ("damaged lines", KEPT)),
            ("zeros at the end", d.append(METRICS, bytes(5000)), ("damaged lines", KEPT)),
            ("a row is missing", lines(METRICS, lambda f: f[:1] + f[2:]), ("lacks 1 row",)),
            ("missing", d.remove(METRICS), ("lacks rows of the steps 1 to 6",)),
        )
    ]
    return found


_REPORT_WITHOUT = refused_or_goes_on("metrics.jsonl")


def _rows_of_other_types(artefacts: Path):
    """Yield damages: a row with one field of another type, after the others."""
    first = json.loads((artefacts / METRICS).read_text().splitlines()[0])
    for name, value in first.items():
        for other in ("0.1", [], {}, None, True, 1e308, -7, float("nan"), float("inf")):
            if (name == "trust_ratios" and isinstance(other, dict)) or value == other:
                continue
            text = json.dumps({**first, name: other}).encode() + b"\n"
            yield f"{name} is {json.dumps(other)}", d.append(METRICS, text)


def _bad_steps() -> list:
    sound = d.instead(BAD_STEPS, _copy_log)
    damages = {
        name.replace(" ", "_"): d.all_of(sound, apply)
        for name, apply in _damages(BAD_STEPS).items()
    }
    return [
        row(
            *(AREA, "bad_steps.jsonl", "lines that cannot be read"),
            d.each(**damages),
            *(run.REPAIR, goes_on("damaged lines; the others are kept")),
            each=True,
        ),
        row(
            *(AREA, "bad_steps.jsonl", "not a file"),
            d.no_file(BAD_STEPS, also_missing=False),
            *(run.REPAIR, refused_or_same("bad_steps.jsonl")),
            each=True,
        ),
    ]


def _copy_log(path: Path) -> None:
    path.write_bytes((path.parents[1] / "log/bad_steps.jsonl").read_bytes())


def _report() -> list:
    found = []
    for name, file in (("data.json", DATA), ("environment.json", ENVIRONMENT)):
        but = ("packages",) if file == ENVIRONMENT else ()
        right = refused_or_goes_on(name)
        found += [
            row(AREA, name, damage, apply, run.REPORT, right, each=True)
            for damage, apply in (
                ("a value of another type in each field", d.wrong_types(file, but=but)),
                ("each field is missing", d.missing_fields(file, but=but)),
            )
        ]
        if file == DATA:  # the other has no numbers
            absurd = d.huge_numbers(file, but=but)
            damage = "an absurd number in each field"
            found.append(row(AREA, name, damage, absurd, run.REPORT, right, each=True))
        found += [
            row(AREA, name, "not a record", d.no_json(file), run.REPORT, refused(name), each=True),
            row(
                *(AREA, name, "not a file"),
                d.no_file(file, also_missing=False),
                *(run.REPORT, right),
                each=True,
            ),
            row(AREA, name, "missing", d.remove(file), run.REPORT, goes_on("report.html")),
        ]
    found += [
        row(AREA, file, damage, apply(f"model/{file}"), run.REPORT, refused(file))
        for file in ("config.gin", "operative_config.gin")
        for damage, apply in (
            ("not UTF-8", lambda f: d.append(f, b"# \xff\xfe\n")),
            ("a folder", lambda f: d.instead(f, Path.mkdir)),
        )
    ]
    hostile = "</script><script>alert(1)</script>"
    found.append(
        row(
            *(AREA, "environment.json", "HTML in a field"),
            d.at(ENVIRONMENT, ("machine",), hostile),
            *(run.REPORT_SCRIPTS, same()),
        )
    )
    return found
