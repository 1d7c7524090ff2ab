"""Rows about checkpoints: which one is restored, and which are kept."""

from __future__ import annotations

import os

from tests.faults import commands as run
from tests.faults import damage as d
from tests.faults.case import Apply, refused, row, same

AREA = "Checkpoints"
NEWEST, OLDER = "model/checkpoints/step-00000006", "model/checkpoints/step-00000004"
FIRST = "model/checkpoints/step-00000002"
COMMIT = f"{NEWEST}/COMMIT.json"
DATA, INDEX = f"{NEWEST}/ckpt.data-00000-of-00001", f"{NEWEST}/ckpt.index"
ALL = "model/checkpoints/step-*"


def in_each(*steps: str, name: str, damage) -> Apply:
    """Return a damage of the file of this name in several checkpoints."""
    return d.all_of(*(damage(f"{step}/{name}") for step in steps))


def rows() -> list:
    """Return the rows."""
    return [*_records(), *_files(), *_names(), *_lost(), *_retention()]


def _records() -> list:
    found = [
        row(AREA, "COMMIT.json", damage, variants, run.RESTORE, same("restored step"), each=True)
        for damage, variants in (
            ("values of all other types in each field", d.wrong_types(COMMIT, all_types=True)),
            ("each field is missing", d.missing_fields(COMMIT)),
            ("an absurd number in each field", d.huge_numbers(COMMIT)),
            ("not a record", d.no_json(COMMIT)),
            ("not a file", d.no_file(COMMIT)),
            (
                "files outside its folder",
                d.each(**{name: _rename_file(name) for name in _HOSTILE_NAMES}),
            ),
        )
    ]
    found += [
        row(
            *(AREA, "COMMIT.json", damage),
            *(apply, run.RESTORE, same("trying the one before")),
        )
        for damage, apply in (
            ("of another run", d.at(COMMIT, ("config_sha256",), "ab" * 32)),
            ("of other data", d.at(COMMIT, ("data_sha256",), "ab" * 32)),
            ("of another step", d.at(COMMIT, ("step",), 4)),
            ("without files", d.at(COMMIT, ("files",), {})),
            ("exchanged for that of the step before", d.swap(COMMIT, f"{OLDER}/COMMIT.json")),
        )
    ]
    both = in_each(NEWEST, OLDER, FIRST, name="COMMIT.json", damage=d.truncate)
    found += [
        row(
            AREA,
            "COMMIT.json",
            "half of it, in all checkpoints",
            both,
            command,
            refused("none that can be restored"),
        )
        for command in (run.RESTORE, run.TRAIN)
    ]
    return found


_HOSTILE_NAMES = ("../../../outside/canary", "/etc/hostname", "..", "", "a\0b", "gs://bucket/file")


def _rename_file(name: str) -> Apply:
    def change(content: dict) -> None:
        content["files"][name] = content["files"].pop("ckpt.index")

    return d.change_json(COMMIT, change)


def _files() -> list:
    found = []
    for name, file in (("data of the newest", DATA), ("index of the newest", INDEX)):
        damages = d.each(
            **{f"flipped_bit_{seed}": d.flip(file, seed) for seed in range(4)},
            eight_flipped_bits=d.flip(file, 9, bits=8),
            zeros_at_the_end=d.zero(file),
            half_of_it=d.truncate(file),
            one_byte_more=d.append(file, b"\0"),
            empty=d.write(file, ""),
            of_the_step_before=d.swap(file, file.replace(NEWEST, OLDER)),
        )
        right = same("trying the one before")
        found += [
            row(AREA, name, "damaged", damages, run.RESTORE, right, each=True),
            row(AREA, name, "not a file", d.no_file(file), run.RESTORE, right, each=True),
            row(
                *(AREA, name, "a flipped bit"),
                *(d.flip(file), run.EXPORT, refused("step-00000006 is damaged")),
            ),
        ]
    both = in_each(NEWEST, OLDER, name="ckpt.index", damage=d.flip)
    every = in_each(NEWEST, OLDER, FIRST, name="ckpt.index", damage=d.flip)
    found += [
        row(
            *(AREA, "checkpoints", "the two newest are damaged"),
            *(both, run.RESTORE, same("restored step 2")),
        ),
        row(
            *(AREA, "checkpoints", "the newest is damaged"),
            *(d.flip(DATA), run.TRAIN, same("renamed to", "step-00000006.damaged")),
        ),
        row(
            *(AREA, "checkpoints", "the two newest are damaged"),
            *(both, run.TRAIN, same("step-00000006.damaged", "step-00000004.damaged")),
        ),
        row(
            *(AREA, "checkpoints", "all are damaged"),
            *(every, run.RESTORE, refused("none that can be restored")),
        ),
        row(
            *(AREA, "checkpoints", "all are damaged"),
            *(every, run.TRAIN, refused("none that can be restored")),
        ),
        row(
            *(AREA, "checkpoints", "times in 2100"),
            *(d.age("model/**/*", 4102444800), run.RESTORE, same("restored step 6")),
        ),
    ]
    return found


def _names() -> list:
    """Rows about records that name a step, and folders whose names are not those of checkpoints."""
    names = ("step-6", "step-000000x6", "step-99999999999999999999", "step-00000009.damaged", "x")
    folders = d.all_of(*(d.write(f"model/checkpoints/{name}/ckpt.index", "x") for name in names))
    found = []
    for name, file in (
        ("newest.json", "model/checkpoints/newest.json"),
        ("saved.json", "model/saved.json"),
    ):
        variants = {
            "not a record": d.no_json(file),
            "values of all other types": d.wrong_types(file, all_types=True),
            "an absurd number": d.huge_numbers(file),
        }
        found += [
            row(AREA, name, damage, apply, run.RESTORE, same("restored step 6"), each=True)
            for damage, apply in variants.items()
        ]
    found += [
        row(
            *(AREA, "checkpoints", "folders of other names"),
            *(folders, run.RESTORE, same("restored step 6")),
        ),
        row(
            *(AREA, "checkpoints", "a file of the name of a later one"),
            d.write("model/checkpoints/step-00000009", "x"),
            *(run.RESTORE, same("restored step 6")),
        ),
        row(
            *(AREA, "checkpoints", "a later one without a record"),
            d.write("model/checkpoints/step-00000008/ckpt.index", "x"),
            *(run.TRAIN, same("removing the unfinished checkpoint of step 8")),
        ),
        row(
            *(AREA, "checkpoints", "--checkpoint of a step that lost its record"),
            *(d.remove(COMMIT), run.EXPORT_NEWEST, refused("has no checkpoint of step 6")),
        ),
    ]
    return found


def _lost() -> list:
    """Rows about checkpoints that are gone: never a silent start from zero."""
    gone = "has no checkpoint, but"
    found = [
        row(AREA, "checkpoints/", damage, apply, run.TRAIN, refused(text))
        for damage, apply, text in (
            ("missing", d.remove("model/checkpoints"), gone),
            ("empty", d.remove("model/checkpoints/*"), gone),
            (
                "all COMMIT.json missing",
                d.remove("model/checkpoints/*/COMMIT.json"),
                "all commit records are missing",
            ),
            (
                "missing, with saved.json",
                d.remove("model/checkpoints", "model/saved.json"),
                gone,
            ),
            (
                "missing, with saved.json and best.json",
                d.remove("model/checkpoints", "model/saved.json", "model/best.json"),
                gone,
            ),
            (
                "a file in its place",
                d.instead("model/checkpoints", lambda path: path.write_text("x")),
                "model/checkpoints",
            ),
        )
    ]
    found.append(
        row(
            *(AREA, "checkpoints/", "missing"),
            *(d.remove("model/checkpoints"), run.EVAL, refused("has no checkpoint to evaluate")),
        )
    )
    return found


def _flip_index(step: str) -> Apply:
    return d.flip(f"{step}/ckpt.index")


def _retention() -> list:
    """Rows about the next save: sound checkpoints stay until enough newer ones are sound."""
    damages = {
        "the newest is damaged": d.flip(DATA),
        "the second newest is damaged": _flip_index(OLDER),
        "the oldest is damaged": _flip_index(FIRST),
        "the two newest are damaged": d.all_of(d.flip(DATA), _flip_index(OLDER)),
        "the newest has lost its record": d.remove(COMMIT),
        "the newest has brackets for a record": d.write(COMMIT, "[" * 100_000),
        "the newest has an empty file": d.write(INDEX, ""),
        "a pipe in place of a file of the newest": d.instead(DATA, os.mkfifo),
        "best.json names a damaged one": d.all_of(
            d.flip(DATA), d.write("model/best.json", '{"step": 6, "loss": 1.0}')
        ),
    }
    found = [
        row(AREA, "checkpoints before a save", damage, apply, run.SAVE, same())
        for damage, apply in damages.items()
    ]
    found.append(
        row(
            *(AREA, "best.json", "step is text"),
            *(d.at("model/best.json", ("step",), "6"), run.TRAIN_ON, refused("best.json")),
        )
    )
    return found
