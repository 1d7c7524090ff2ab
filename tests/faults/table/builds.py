"""Rows about finished and unfinished builds."""

from __future__ import annotations

import json
from pathlib import Path

from tests.faults import commands as run
from tests.faults import damage as d
from tests.faults.case import refused, refused_or_same, row, same
from tests.support.damage import forge_length

AREA = "Builds"
MANIFEST, VOCAB = "data/manifest.json", "data/vocab.txt"
PACKED, SOURCES = "data/packed/train/shard-00000.npy", "data/sources/train/shard-00001.npy"
MASKED = "data/masked/train/copy-001/shard-00000.tfrecord"
PLAN, DONE = "unfinished/unfinished/plan.json", "unfinished/unfinished/done"
FIRST = ("shards", 0)


def forge(length: int):
    """Return a damage: a record claims another length, with the checksum that fits."""

    def apply(folder: Path) -> None:
        forge_length(folder / MASKED, record=2, records=_records(folder), length=length)

    return apply


def _records(folder: Path) -> int:
    shards = json.loads((folder / MANIFEST).read_text())["shards"]
    return next(
        file["records"]
        for shard in shards
        for file in shard["masked"]
        if f"data/{file['path']}" == MASKED
    )


def ids(value: int):
    """Return a damage: token ids of a packed shard are out of range."""
    return d.edit(PACKED, lambda c: c[:1000] + value.to_bytes(2, "little") * 20 + c[1040:])


def rows() -> list:
    """Return the rows."""
    verify, stage = run.VERIFY, run.STAGE
    one = "manifest.json is damaged"
    table = [
        ("manifest.json", "a value of another type in each field", d.wrong_types(MANIFEST), verify),
        ("manifest.json", "each field is missing", d.missing_fields(MANIFEST), verify),
        ("manifest.json", "an absurd number in each field", d.huge_numbers(MANIFEST), verify),
    ]
    found = [
        row(AREA, file, damage, variants, command, refused_or_same(one), each=True)
        for file, damage, variants, command in table
    ]
    found += [
        row(AREA, "manifest.json", "not a record", d.no_json(MANIFEST), command, right, each=True)
        for command, right in (
            (verify, refused("manifest.json")),
            (stage, refused("manifest.json")),
        )
    ]
    found += [
        row(
            AREA,
            "manifest.json",
            f"paths that leave the build: {d.label(keys)}",
            d.paths(MANIFEST, (*keys, "path")),
            command,
            refused("manifest.json is damaged", "path"),
            each=True,
        )
        for keys, command in (
            (("rejects",), stage),
            ((*FIRST, "packed"), verify),
            ((*FIRST, "masked", 0), stage),
        )
    ]
    found += [
        row(
            AREA,
            "manifest.json",
            "not a file",
            d.no_file(MANIFEST),
            verify,
            refused("manifest.json"),
            each=True,
        ),
        row(
            *(AREA, "manifest.json", "one field of a counted shard is changed"),
            d.at(MANIFEST, (*FIRST, "packed", "records"), lambda n: n - 1),
            *(verify, refused(one, "records")),
            is_process=True,
        ),
        row(
            *(AREA, "manifest.json", "encoded as UTF-16"),
            d.edit(MANIFEST, lambda content: content.decode().encode("utf-16")),
            *(verify, same("is intact")),
        ),
        row(
            *(AREA, "manifest.json", "of another build"),
            d.at(MANIFEST, ("config", "seed"), 8),
            run.REBUILD,
            refused("BuildConfig.seed is 8 there and 7 now"),
        ),
        row(
            AREA,
            "manifest.json",
            "half of it",
            d.truncate(MANIFEST),
            run.PLAN,
            refused("manifest.json"),
        ),
        row(
            AREA,
            "manifest.json",
            "half of it",
            d.truncate(MANIFEST),
            run.DRY_RUN,
            refused("manifest.json"),
        ),
        row(
            AREA,
            "manifest.json",
            "half of it",
            d.truncate(MANIFEST),
            run.VIEW,
            refused("manifest.json"),
        ),
        row(
            AREA,
            "manifest.json",
            "half of it",
            d.truncate(MANIFEST),
            run.READ_PYTHON,
            refused("manifest.json"),
        ),
        row(
            AREA,
            "manifest.json",
            "half of it",
            d.truncate(MANIFEST),
            run.REBUILD,
            refused("manifest.json"),
        ),
    ]
    found += _files() + _shards() + _unfinished()
    return found


def _files() -> list:
    """Rows about files of a build that do not fit its manifest."""
    found = []
    for name, file in (
        ("packed shard", PACKED),
        ("sources of a shard", SOURCES),
        ("masked shard", MASKED),
    ):
        base = Path(file).name
        damages = d.each(
            flipped_bit=d.flip(file),
            eight_flipped_bits=d.flip(file, 1, bits=8),
            zeros_at_the_end=d.zero(file),
            half_of_it=d.truncate(file),
            one_byte_more=d.append(file, b"\0"),
            empty=d.write(file, ""),
        )
        found += [
            row(AREA, name, "damaged", damages, command, refused(base), each=True)
            for command in (run.VERIFY, run.STAGE)
        ]
        found.append(
            row(AREA, name, "not a file", d.no_file(file), run.VERIFY, refused(base), each=True)
        )
    found += [
        row(AREA, "vocab.txt", damage, apply, run.VERIFY, refused("vocab.txt"))
        for damage, apply in (
            ("one piece more", d.append(VOCAB, b"more\n")),
            (
                "two pieces exchanged",
                d.edit(VOCAB, lambda c: b"\n".join(_exchanged(c.split(b"\n")))),
            ),
            ("a flipped bit", d.flip(VOCAB)),
            ("not UTF-8", d.append(VOCAB, b"\xff\xfe\n")),
            ("empty", d.write(VOCAB, "")),
            ("missing", d.remove(VOCAB)),
        )
    ]
    found += [
        row(
            *(AREA, "packed shard", "exchanged for that of the other number"),
            d.swap(PACKED, "data/packed/train/shard-00001.npy"),
            *(run.VERIFY, refused("shard-0000")),
        ),
        row(
            *(AREA, "masked shard", "exchanged for that of the other copy"),
            d.swap(MASKED, MASKED.replace("copy-001", "copy-000")),
            *(run.VERIFY, refused(".tfrecord is damaged")),
        ),
        row(
            *(AREA, "files of the build", "times in 1970"),
            *(d.age("data/**/*", 1), run.VERIFY, same("is intact")),
        ),
        row(
            *(AREA, "files of the build", "times in 2100"),
            *(d.age("data/**/*", 4102444800), run.VERIFY, same("is intact")),
        ),
        row(
            *(AREA, "files of the build", "files of others beside them"),
            d.all_of(d.write("data/notes.txt", "mine"), d.write("data/packed/x.npy", "mine")),
            *(run.VERIFY, same("is intact")),
        ),
    ]
    return found


def _exchanged(lines: list[bytes]) -> list[bytes]:
    lines[700], lines[701] = lines[701], lines[700]
    return lines


def _shards() -> list:
    """Rows about shards that change between the check of the manifest and the reading."""
    bits = {f"flipped_bit_{seed}": d.flip(MASKED, seed) for seed in range(6)}
    found = [
        row(
            AREA,
            "masked shard",
            "flipped bits",
            d.each(**bits),
            command,
            refused("shard-00000.tfrecord: record"),
            each=True,
        )
        for command in (run.READ_PYTHON, run.READ_GRAPH)
    ]
    lengths = {f"length {length}": forge(length) for length in (0, 2**31, 2**40, 2**62, 2**64 - 1)}
    found += [
        row(
            *(AREA, "masked shard", "a record claims another length, with its checksum"),
            d.each(**lengths),
            *(command, refused("shard-00000.tfrecord", "record 2")),
            each=True,
        )
        for command in (run.READ_PYTHON, run.READ_GRAPH)
    ]
    found += [
        row(
            AREA,
            "masked shard",
            "zeros",
            d.zero(MASKED, 0.3, 0.6),
            command,
            refused("shard-00000.tfrecord: record"),
        )
        for command in (run.READ_PYTHON, run.READ_GRAPH)
    ]
    found += [
        row(
            AREA,
            "packed shard",
            "an id out of range",
            ids(60000),
            command,
            refused("shard-00000.npy"),
        )
        for command in (run.READ_ONLINE, run.READ_ONLINE_GRAPH)
    ]
    found += [
        row(
            AREA,
            "packed shard",
            "an array of objects",
            d.write(PACKED, _OBJECTS),
            command,
            refused("shard-00000.npy"),
        )
        for command in (run.READ_ONLINE, run.VIEW, run.VERIFY)
    ]
    return found


_OBJECTS = (
    b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (9,), }"
    + b" " * 57
    + b"\n"
)


def _unfinished() -> list:
    """Rows about a build that was killed; it goes on, or says what is wrong."""
    found = [
        row(
            AREA,
            "plan.json",
            "not a record",
            d.no_json(PLAN),
            run.RESUME_BUILD,
            refused("plan.json"),
            each=True,
        ),
        row(
            *(AREA, "plan.json", "a value of another type in each field"),
            d.wrong_types(PLAN, but=("inputs", "made_by", "config")),
            *(run.RESUME_BUILD, refused_or_same("plan.json")),
            each=True,
        ),
        row(
            *(AREA, "plan.json", "of another build"),
            d.at(PLAN, ("config", "seed"), 9),
            *(run.RESUME_BUILD, same("BuildConfig.seed is 9 there and 7 now")),
        ),
        row(
            *(AREA, "plan.json", "of another version of a library"),
            d.at(PLAN, ("made_by", "sentencex"), "0.1"),
            *(run.RESUME_BUILD, same("sentencex is 0.1 there")),
        ),
    ]
    record = f"{DONE}/pack/train-00000.json"
    damages = d.each(
        half_of_it=d.truncate(record),
        brackets=d.write(record, "[" * 100_000),
        a_list=d.write(record, "[]"),
        records_as_text=d.at(record, ("result", "records"), "27"),
        a_path_outside=d.at(record, ("files",), [{"path": "../../outside/canary"}]),
        missing=d.remove(record),
    )
    found.append(
        row(
            *(AREA, "record of a packed shard", "damaged"),
            *(damages, run.RESUME_BUILD, same("resuming")),
            each=True,
        )
    )
    return found
