"""Rows about fine-tuning: task files, records of seeds, exported models, and inputs of predictions."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.faults import commands as run
from tests.faults import damage as d
from tests.faults.artefacts import SEED_DIR
from tests.faults.case import (
    Apply,
    refused,
    refused_or_goes_on,
    row,
    same,
)

AREA = "Fine-tuning"
TRAIN, DEV, GIN = "task/train.jsonl", "task/dev.jsonl", "task.gin"
SCORES, SUMMARY, DATA = f"{SEED_DIR}/metrics.json", "tuned/summary.json", f"{SEED_DIR}/data.json"
RECORD = "tuned/export/export.json"


def rows() -> list:
    """Return the rows."""
    return [*_tables(), *_formats(), *_seeds(), *_exports(), *_inputs()]


def _line(file: str, **fields: Any) -> Apply:
    """Return a damage: one more line with these fields instead of sound ones."""
    content = {"text": "From off a hill whose concave womb reworded", "label": "no", **fields}
    return d.append(file, json.dumps(content).encode() + b"\n")


def _each_line(file: str, change: Callable[[dict[str, Any]], object]) -> Apply:
    def edit(content: bytes) -> bytes:
        found = [json.loads(line) for line in content.splitlines()]
        for fields in found:
            change(fields)
        return "".join(f"{json.dumps(fields)}\n" for fields in found).encode()

    return d.edit(file, edit)


def _tables() -> list:
    others = (7, None, True, [], {}, 1.5, ["a"])
    damages = {
        **{f"text is {json.dumps(v)}": _line(TRAIN, text=v) for v in others},
        "text is half of a surrogate pair": _line(TRAIN, text="\ud800"),
        "a list": d.append(TRAIN, b"[1, 2]\n"),
        "a number": d.append(TRAIN, b"7\n"),
        "half a line": d.append(TRAIN, b'{"text": "a", "la'),
        "100,000 brackets": d.append(TRAIN, b"[" * 100_000 + b"\n"),
        "100,000 brackets in a field": d.append(TRAIN, b'{"text": ' * 100_000 + b"\n"),
        "a number of 5,000 digits": d.append(TRAIN, b'{"text": ' + b"9" * 5000 + b"}\n"),
        "no text": d.append(TRAIN, b'{"label": "no"}\n'),
        "no label": d.append(TRAIN, b'{"text": "a"}\n'),
        "not UTF-8": d.append(TRAIN, b'{"text": "\xff", "label": "no"}\n'),
        "zeros at the end": d.append(TRAIN, bytes(5000)),
        "zeros": d.zero(TRAIN, 0),
        "empty": d.write(TRAIN, ""),
        "white space": d.write(TRAIN, "\n\n \n"),
        "a binary file": d.write(TRAIN, bytes(range(256)) * 100),
        "a zip archive": d.write(TRAIN, b"PK\x03\x04" + bytes(100)),
    }
    found = [
        row(
            *(AREA, "train.jsonl", "a line that is no example"),
            *(d.each(**damages), run.TUNE_DRY_RUN, refused("train.jsonl")),
            each=True,
        ),
        row(
            *(AREA, "train.jsonl", "not a file"),
            *(d.no_file(TRAIN), run.TUNE_DRY_RUN, refused("train.jsonl")),
            each=True,
        ),
        row(
            *(AREA, "train.jsonl", "a label that is no text"),
            d.each(
                **{
                    json.dumps(v): _line(TRAIN, label=v)
                    for v in (None, [], {}, ["a"], 7, True, 1.5)
                }
            ),
            *(run.TUNE_DRY_RUN, refused_or_goes_on("train.jsonl")),
            each=True,
        ),
        row(
            *(AREA, "train.jsonl", "one label only"),
            _each_line(TRAIN, lambda fields: fields.update(label="no")),
            *(run.TUNE_DRY_RUN, refused_or_goes_on("label")),
        ),
        row(
            *(AREA, "train.jsonl", "a label for each line"),
            _each_line(TRAIN, lambda fields: fields.update(label=fields["text"])),
            *(run.TUNE_DRY_RUN, refused_or_goes_on("label")),
        ),
        row(
            *(AREA, "train.jsonl", "labels that are commands, paths and HTML"),
            d.each(
                **{
                    name: _line(TRAIN, label=name)
                    for name in ("../../outside/canary", "$(id)", "<script>", "a\nb", "", "\x1b[2J")
                }
            ),
            *(run.TUNE_DRY_RUN, refused_or_goes_on()),
            each=True,
        ),
        row(
            *(AREA, "train.jsonl", "texts of no words, and of a megabyte"),
            d.each(
                empty=_line(TRAIN, text=""),
                white_space=_line(TRAIN, text=" \n\t"),
                a_NUL=_line(TRAIN, text="\0"),
                a_megabyte=_line(TRAIN, text="ab " * 350_000),
                a_word_of_a_megabyte=_line(TRAIN, text="x" * 10**6),
                marks_without_letters=_line(TRAIN, text="\u0301" * 1000),
            ),
            *(run.TUNE_DRY_RUN, refused_or_goes_on("train.jsonl")),
            each=True,
        ),
        row(
            *(AREA, "dev.jsonl", "a label that train.jsonl lacks"),
            *(_line(DEV, label="perhaps"), run.TUNE_DRY_RUN, refused("dev.jsonl", "perhaps")),
        ),
        row(
            *(AREA, "dev.jsonl", "not a file"),
            *(d.no_file(DEV), run.TUNE_DRY_RUN, refused("dev.jsonl")),
            each=True,
        ),
    ]
    paths = ("../outside/canary", "/etc/hostname", ".", "", "a\0b", "gs://b/x.jsonl", "x" * 5000)
    found.append(
        row(
            *(AREA, "task.gin", "paths of task files"),
            d.each(
                **{
                    f"{path[:20]!r}": d.append(GIN, f"TaskConfig.train_file = {path!r}\n".encode())
                    for path in paths
                }
            ),
            *(run.TUNE_DRY_RUN, refused_or_goes_on()),
            each=True,
        )
    )
    return found


def _formats() -> list:
    """Rows about tables in other formats."""
    tables = {
        "train.csv": {
            "a million columns": ",".join(f"c{n}" for n in range(10**6)) + "\n1,2\n",
            "an open quote": 'text,label\n"a b c d,no\n' * 50,
            "a field of a megabyte": f"text,label\n{'x' * 10**6},no\n",
            "a column twice": "text,text,label\na,b,no\n",
            "no header": "a b c,no\n",
            "only a header": "text,label\n",
            "rows of other lengths": "text,label\na\nb,no,7\n",
            "NUL": "text,label\na\0b,no\nc,yes\n",
            "carriage returns": "text,label\ra,no\rb,yes\r",
        },
        "train.tsv": {
            "a million columns": "\t".join(f"c{n}" for n in range(10**6)) + "\n1\t2\n",
            "a column twice": "text\ttext\tlabel\na\tb\tno\n",
            "no header": "a b c\tno\n",
            "only a header": "text\tlabel\n",
            "rows of other lengths": "text\tlabel\na\nb\tno\t7\n",
            "NUL": "text\tlabel\na\0b\tno\nc\tyes\n",
        },
        "train.conll": {
            "no blank lines": "a X\n" * 10_000,
            "one column": "a\nb\n",
            "tabs": "\t\t\n" * 9,
        },
        "train.xml": {"an unknown format": "<a/>"},
        "train.json": {"brackets": "[" * 100_000, "no questions": "{}", "a list": "[]"},
    }
    return [
        row(
            *(AREA, name, "hostile tables"),
            d.each(**{key: _use(name, text) for key, text in texts.items()}),
            *(run.TUNE_DRY_RUN, refused_or_goes_on("train")),
            each=True,
        )
        for name, texts in tables.items()
    ]


def _use(name: str, text: str) -> Apply:
    return d.all_of(
        d.write(f"task/{name}", text),
        d.append(GIN, f"TaskConfig.train_file = {name!r}\n".encode()),
    )


def _seeds() -> list:
    found = []
    for name, file, command in (
        ("metrics.json", SCORES, run.TUNED_REPORT),
        ("summary.json", SUMMARY, run.SUMMARY),
        ("data.json", DATA, run.TUNED_REPORT),
        ("run.json", f"{SEED_DIR}/run.json", run.TUNED_REPORT),
    ):
        # Without the settings of a task it is the record of a pretraining run, and the error says so.
        right = refused_or_goes_on("tuned")
        found += [
            row(AREA, name, damage, apply, command, right, each=True)
            for damage, apply in (
                ("a value of another type in each field", d.wrong_types(file)),
                ("an absurd number in each field", d.huge_numbers(file)),
                ("each field is missing", d.missing_fields(file)),
            )
        ]
        found.append(
            row(AREA, name, "not a record", d.no_json(file), command, refused(name), each=True)
        )
    found += [
        row(
            *(AREA, name, "100,000 brackets"),
            *(d.write(file, "[" * 100_000), run.RESUME_TUNING),
            refused(name),
        )
        for name, file in (("metrics.json", SCORES), ("run.json", f"{SEED_DIR}/run.json"))
    ]
    found += [
        row(
            *(AREA, "metrics.json", "missing"),
            *(d.remove(SCORES), run.RESUME_TUNING, same()),
        ),
        row(
            *(AREA, "tuned/", "finished"),
            *(d.remove("tuned/summary.json"), run.RESUME_TUNING, same()),
        ),
        row(
            *(AREA, "tuned/", "a folder of another name"),
            d.write("tuned/seed-99999999999999999999/metrics.json", "{"),
            *(run.RESUME_TUNING, same()),
        ),
    ]
    return found


def _exports() -> list:
    model = "tuned/export/model"
    damages = {
        "flipped bit in the weights": d.flip(f"{model}/variables/variables.data-00000-of-00001"),
        "flipped bit in the program": d.flip(f"{model}/saved_model.pb"),
        "one piece more": d.append(f"{model}/assets/vocab.txt", b"more\n"),
        "no index": d.remove(f"{model}/variables/variables.index"),
    }
    sums = "tuned/export/SHA256SUMS"
    right = refused_or_goes_on("export.json")
    return [
        *(
            row(AREA, "export.json of a task", damage, apply, run.PREDICT, right, each=True)
            for damage, apply in (
                ("a value of another type in each field", d.wrong_types(RECORD)),
                ("each field is missing", d.missing_fields(RECORD, but=("encoder", "splits"))),
            )
        ),
        row(
            *(AREA, "export.json of a task", "not a record"),
            *(d.no_json(RECORD), run.PREDICT, refused("export.json")),
            each=True,
        ),
        row(
            *(AREA, "export of a task", "files changed"),
            *(d.each(**damages), run.PREDICT, refused("has changed since the export")),
            each=True,
        ),
        row(
            *(AREA, "export of a task without SHA256SUMS", "damaged"),
            d.each(
                **{
                    f"flipped bits {n}": d.all_of(
                        d.remove(sums), d.flip(f"{model}/saved_model.pb", n, bits=3)
                    )
                    for n in range(6)
                },
                half_of_the_program=d.all_of(d.remove(sums), d.truncate(f"{model}/saved_model.pb")),
            ),
            *(run.PREDICT, refused_or_goes_on("tuned/export")),
            each=True,
        ),
    ]


def _inputs() -> list:
    texts: dict[str, dict[str, bytes]] = {
        "input.txt": {
            "not UTF-8": b"a\xff\xfeb\n",
            "UTF-16": "words\n".encode("utf-16"),
            "empty": b"",
            "white space": b"\n \n",
            "NUL": b"a\0b\n",
            "a line of a megabyte": b"word " * 200_000 + b"\n",
            "a gzip file": b"\x1f\x8b\x08" + bytes(50),
        },
        "input.jsonl": {
            "not UTF-8": b'{"text": "\xff"}\n',
            "text is a number": b'{"text": 7}\n',
            "text is a list": b'{"text": ["a"]}\n',
            "no text": b'{"words": "a"}\n',
            "half of a surrogate pair": b'{"text": "\\ud800"}\n',
            "brackets": b"[" * 100_000,
            "a number of 5,000 digits": b'{"text": ' + b"9" * 5000 + b"}\n",
            "a list": b"[]\n",
            "empty": b"",
            "zeros": bytes(1000),
        },
        "input.csv": {
            "a million columns": b",".join(b"c%d" % n for n in range(10**6)) + b"\n1,2\n",
            "an open quote": b'text\n"a b\n' * 10,
            "a field of a megabyte": b"text\n" + b"x" * 10**6 + b"\n",
            "not UTF-8": b"text\n\xff\n",
        },
        "input.tsv": {
            "a million columns": b"\t".join(b"c%d" % n for n in range(10**6)) + b"\n1\t2\n"
        },
        "input.json": {"no task of questions": b"{}"},
        "input.pdf": {"an unknown format": b"%PDF-1.4"},
    }
    found = []
    for name, contents in texts.items():
        command = run.predict(name)
        found.append(
            row(
                *(AREA, name, "hostile texts"),
                d.each(**{key: d.write(name, content) for key, content in contents.items()}),
                *(command, refused_or_goes_on("input")),
                each=True,
            )
        )
    for name in ("input.txt", "input.jsonl"):
        found.append(
            row(
                *(AREA, name, "not a file"),
                *(_no_input(name), run.predict(name), refused("input")),
                each=True,
            )
        )
    found.append(
        row(
            *(AREA, "answers.jsonl", "there already"),
            *(d.write("answers.jsonl", "mine"), run.PREDICT, refused("answers.jsonl exists")),
        )
    )
    return found


def _no_input(name: str) -> d.Variants:
    def variants(artefacts: Path) -> Iterator[tuple[str, Apply]]:
        yield from d.no_file(name)(artefacts)
        yield "/dev/urandom", d.instead(name, lambda path: path.symlink_to("/dev/urandom"))
        yield "a socket", d.instead(name, lambda path: os.mknod(path, 0o140644))

    return variants
