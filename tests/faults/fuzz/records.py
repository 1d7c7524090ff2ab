"""Fuzz manifests and all other JSON records: those of runs, exports, tasks, jobs and unfinished builds."""

from __future__ import annotations

import codecs
import contextlib
import dataclasses
import io
import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from data.errors import UserError
from tests.faults.fuzz.changes import change
from tests.support.watch import Watch


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecordKind:
    """A record, and how it is read.

    Attributes:
      file: path of the record, relative to the artefacts.
      needs: files and folders of the artefacts that the reader needs besides it.
      read: reads the record, given the folder to which all of them were copied.
    """

    file: str
    needs: tuple[str, ...] = ()
    read: Callable[[Path], object]


def fuzz_manifests(folder: Path, artefacts: Path, numbers: Iterator[int]) -> Iterator[str]:
    """Parse manifests; one that is read describes files inside the build, and can be used."""
    from tests.faults.fuzz.readers import MANIFEST

    return fuzz([MANIFEST], folder, artefacts, numbers)


def fuzz_others(folder: Path, artefacts: Path, numbers: Iterator[int]) -> Iterator[str]:
    """Read all other records, in turn."""
    from tests.faults.fuzz.readers import OTHERS

    return fuzz(OTHERS, folder, artefacts, numbers)


def fuzz(
    kinds: list[RecordKind], folder: Path, artefacts: Path, numbers: Iterator[int]
) -> Iterator[str]:
    """Change and read records of several kinds in turn."""
    watch = Watch()
    # What `json` may take a text for; Python loads a codec when it is first needed.
    for encoding in (
        "utf-8-sig",
        "utf-16",
        "utf-16-be",
        "utf-16-le",
        "utf-32",
        "utf-32-be",
        "utf-32-le",
    ):
        codecs.lookup(encoding)
    bases = [_copy(kind, folder / str(i), artefacts) for i, kind in enumerate(kinds)]
    for i, kind in enumerate(kinds):
        assert _outcome(lambda kind=kind, i=i: kind.read(folder / str(i))) == "read", kind.file
        _restore(folder / str(i) / kind.file, bases[i][1])
    for number in numbers:
        i = number % len(kinds)
        place, (base, text) = folder / str(i), bases[i]
        path = place / kinds[i].file
        changed = _changed(base, text, random.Random(f"{kinds[i].file}/{number}"))
        path.write_bytes(changed)
        try:
            yield _watched(lambda kind=kinds[i], place=place: kind.read(place), watch, place)
        except BaseException:
            print(f"{path}: {changed[:3000]!r}")
            raise
        _restore(path, text)


def _copy(kind: RecordKind, place: Path, artefacts: Path) -> tuple[Any, bytes]:
    """Copy a record and what it needs; return its content and its text."""
    for name in dict.fromkeys((*kind.needs, kind.file)):
        source, target = artefacts / name, place / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)
    text = (place / kind.file).read_bytes()
    if kind.file.endswith(".jsonl"):
        return [json.loads(line) for line in text.splitlines()], text
    return json.loads(text), text


def _restore(path: Path, text: bytes) -> None:
    """Write a record again, and remove what its reader has set aside."""
    path.write_bytes(text)
    for copy in path.parent.glob("*.damaged*"):
        copy.unlink()


def _changed(base: Any, text: bytes, rng: random.Random) -> bytes:
    if not isinstance(base, list):
        return change(base, text, rng)
    lines = [json.dumps(row).encode() for row in base]
    for _ in range(rng.choice((1, 1, 2))):
        row = rng.randrange(len(base))
        lines[row] = change(base[row], lines[row], rng)
    return rng.choice((b"\n", b"\n", b"\r\n", b"\n\n")).join(lines) + rng.choice(
        (b"\n", b"", b"\0")
    )


def _watched(read: Callable[[], object], watch: Watch, folder: Path) -> str:
    with watch.on():
        outcome = _outcome(read)
    assert watch.imports == [], watch.imports
    outside = [name for name in watch.opened if not Path(name).is_relative_to(folder)]
    assert outside == [], outside
    return outcome


def _outcome(read: Callable[[], object]) -> str:
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            read()
    except UserError as error:
        message = str(error)  # `run_main` shortens it
        assert message and "\n" not in message, message
        return "refused"
    return "read"
