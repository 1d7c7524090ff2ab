"""Damages of files and folders, and of every field of a JSON record.

Functions that take a file return a damage, or yield (detail, damage) for several. Paths are relative to
the folder of a case.
"""

from __future__ import annotations

import json
import math
import os
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.faults.case import Apply

Variants = Callable[[Path], Iterator[tuple[str, Apply]]]
Keys = tuple[str | int, ...]
_OTHER_TYPES: dict[type, tuple[Any, ...]] = {
    str: (7, [], None, {}, True),
    int: ("7", [], None, {}, 1.5, True),
    float: ("0.1", [], None, {}, True),
    bool: ("yes", 7, None, []),
    list: ({}, "a", None, 7),
    dict: ([], "a", None, 7),
    type(None): (["a"], {"a": 1}, 1.5),
}
_HUGE = (10**30, -(10**30), math.inf, math.nan, 2**63, -1)


def edit(file: str, change: Callable[[bytes], bytes]) -> Apply:
    """Return a damage that changes the content of a file."""

    def apply(folder: Path) -> None:
        path = folder / file
        path.write_bytes(change(path.read_bytes()))

    return apply


def write(file: str, content: bytes | str) -> Apply:
    """Return a damage that replaces the content of a file, or adds the file."""

    def apply(folder: Path) -> None:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return apply


def replace(file: str, old: str, new: str) -> Apply:
    """Return a damage that replaces a text, which must be there."""

    def change(content: bytes) -> bytes:
        assert old.encode() in content, (file, old)
        return content.replace(old.encode(), new.encode())

    return edit(file, change)


def flip(file: str, seed: int = 0, *, first: int = 0, bits: int = 1) -> Apply:
    """Return a damage that flips bits at drawn places of a file, from byte `first` on."""

    def change(content: bytes) -> bytes:
        rng, damaged = random.Random(f"{file}/{seed}"), bytearray(content)
        for _ in range(bits):
            damaged[rng.randrange(first, len(damaged))] ^= 1 << rng.randrange(8)
        return bytes(damaged)

    return edit(file, change)


def truncate(file: str, share: float = 0.5) -> Apply:
    """Return a damage that keeps the first part of a file."""
    return edit(file, lambda content: content[: int(len(content) * share)])


def zero(file: str, first: float = 0.5, last: float = 1.0) -> Apply:
    """Return a damage that overwrites a part of a file with zeros, as a crash of the machine does."""

    def change(content: bytes) -> bytes:
        start, stop = int(len(content) * first), int(len(content) * last)
        return content[:start] + bytes(stop - start) + content[stop:]

    return edit(file, change)


def append(file: str, content: bytes) -> Apply:
    """Return a damage that adds bytes to the end of a file."""
    return edit(file, lambda before: before + content)


def remove(*files: str) -> Apply:
    """Return a damage that removes files or folders, also by a pattern."""

    def apply(folder: Path) -> None:
        for file in files:
            found = list(folder.glob(file))
            assert found, file
            for path in found:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    return apply


def move(file: str, target: str) -> Apply:
    """Return a damage that renames a file or folder; an existing target is replaced."""

    def apply(folder: Path) -> None:
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        os.replace(folder / file, folder / target)

    return apply


def swap(one: str, other: str) -> Apply:
    """Return a damage that exchanges two files."""

    def apply(folder: Path) -> None:
        contents = [(folder / name).read_bytes() for name in (other, one)]
        for name, content in zip((one, other), contents, strict=True):
            (folder / name).write_bytes(content)

    return apply


def age(file: str, seconds: float) -> Apply:
    """Return a damage that sets the times of files, also by a pattern."""

    def apply(folder: Path) -> None:
        for path in folder.glob(file):
            os.utime(path, (seconds, seconds))

    return apply


def all_of(*damages: Apply) -> Apply:
    """Return a damage of several parts."""

    def apply(folder: Path) -> None:
        for damage in damages:
            damage(folder)

    return apply


def instead(file: str, make: Callable[[Path], object]) -> Apply:
    """Return a damage that puts something else in the place of a file."""

    def apply(folder: Path) -> None:
        path = folder / file
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        make(path)

    return apply


def no_file(*files: str, also_missing: bool = True) -> Variants:
    """Yield damages that put a folder, a pipe or a link in the place of each file."""
    kinds: dict[str, Callable[[Path], object]] = {
        "a folder": lambda path: path.mkdir(),
        "a pipe": os.mkfifo,
        "a dangling link": lambda path: path.symlink_to("nowhere"),
        "a link to itself": lambda path: path.symlink_to(path.name),
        "/dev/zero": lambda path: path.symlink_to("/dev/zero"),
    }

    def variants(_: Path) -> Iterator[tuple[str, Apply]]:
        for file in files:
            name = f" for {Path(file).name}" if len(files) > 1 else ""
            if also_missing:
                yield f"missing{name}", instead(file, lambda _: None)
            for kind, make in kinds.items():
                yield f"{kind}{name}", instead(file, make)

    return variants


def no_json(file: str) -> Variants:
    """Yield damages that leave no JSON object in a file."""

    def variants(_: Path) -> Iterator[tuple[str, Apply]]:
        yield "100,000 brackets", write(file, "[" * 100_000)
        yield "100,000 brackets in a field", write(file, '{"a": ' * 100_000)
        yield "empty", write(file, "")
        yield "half of it", truncate(file)
        yield "zeros", zero(file, 0)
        yield "zeros at the end", zero(file, 0.7)
        yield "not UTF-8", write(file, b'{"a": "\xff\xfe"}')
        yield "a number of 5,000 digits", write(file, '{"step": ' + "9" * 5000 + "}")
        for text in ("null", "[]", "{}", "7", '"a"', "NaN"):
            yield text, write(file, text)

    return variants


def each(**damages: Apply) -> Variants:
    """Yield damages by name; "_" stands for a space."""

    def variants(_: Path) -> Iterator[tuple[str, Apply]]:
        for name, damage in damages.items():
            yield name.replace("_", " "), damage

    return variants


def at(file: str, keys: Keys, value: Any) -> Apply:
    """Return a damage that sets a field of a JSON record: to a value, or a function of the old one."""
    return change_json(file, lambda content: _set(content, keys, value))


def change_json(file: str, change: Callable[[Any], object]) -> Apply:
    """Return a damage that changes a JSON record in place."""

    def apply(folder: Path) -> None:
        path = folder / file
        content = json.loads(path.read_bytes())
        change(content)
        path.write_text(json.dumps(content))

    return apply


def wrong_types(
    file: str, *, below: Keys = (), but: Sequence[str] = (), all_types: bool = False
) -> Variants:
    """Yield a damage for each field of a JSON record: a value of another type.

    Args:
      file: the record.
      below: field of the record whose fields are damaged.
      but: names of fields to leave out.
      all_types: whether to yield a damage for each other type, not for a drawn one only.
    """

    def variants(artefacts: Path) -> Iterator[tuple[str, Apply]]:
        for keys, value in _fields_of(artefacts / file, below, but):
            others = _OTHER_TYPES[type(value)]
            if not all_types:
                others = (random.Random(f"{file}{keys}").choice(others),)
            for other in others:
                yield f"{label(keys)} is {json.dumps(other)}", at(file, keys, other)

    return variants


def huge_numbers(file: str, *, below: Keys = (), but: Sequence[str] = ()) -> Variants:
    """Yield a damage for each number of a JSON record: one far out of range; see `wrong_types`."""

    def variants(artefacts: Path) -> Iterator[tuple[str, Apply]]:
        for keys, value in _fields_of(artefacts / file, below, but):
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                huge = random.Random(f"huge {file}{keys}").choice(_HUGE)
                yield f"{label(keys)} is {huge}", at(file, keys, huge)

    return variants


def missing_fields(file: str, *, below: Keys = (), but: Sequence[str] = ()) -> Variants:
    """Yield a damage for each field of a JSON record: it is missing; see `wrong_types`."""

    def variants(artefacts: Path) -> Iterator[tuple[str, Apply]]:
        for keys, _ in _fields_of(artefacts / file, below, but):
            if isinstance(keys[-1], str):
                yield f"without {label(keys)}", change_json(file, lambda c, k=keys: _drop(c, k))

    return variants


def paths(file: str, keys: Keys) -> Variants:
    """Yield damages of a field with a path: paths that leave the folder of the record."""
    hostile = {
        "absolute": "/etc/hostname",
        "parent": "../../outside/canary",
        "parent inside": "packed/../../../outside/canary",
        "the folder itself": ".",
        "empty": "",
        "with a scheme": "gs://bucket/file",
        "with a NUL": "a\0b",
        "backslashes": "..\\..\\outside\\canary",
        "a surrogate": "\ud800",
        "very long": "a/" * 5000 + "a",
    }

    def variants(_: Path) -> Iterator[tuple[str, Apply]]:
        for name, path in hostile.items():
            yield f"{label(keys)} {name}", at(file, keys, path)

    return variants


def fields(content: Any, keys: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """Yield path and value of every field of a JSON value; of a list, the first and the last element."""
    items: Any = ()
    if isinstance(content, dict):
        items = content.items()
    elif isinstance(content, list) and content:
        items = {0: content[0], len(content) - 1: content[-1]}.items()
    for key, value in items:
        yield (*keys, key), value
        yield from fields(value, (*keys, key))


def label(keys: Keys) -> str:
    """Return the name of a field, as errors print it."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)
    return text.removeprefix(".")


def _fields_of(path: Path, below: Keys, but: Sequence[str]) -> Iterator[tuple[Keys, Any]]:
    content = json.loads(path.read_bytes())
    for key in below:
        content = content[key]
    for keys, value in fields(content, below):
        if not set(but) & {key for key in keys if isinstance(key, str)}:
            yield keys, value


def _set(content: Any, keys: Keys, value: Any) -> None:
    for key in keys[:-1]:
        content = content[key]
    content[keys[-1]] = value(content[keys[-1]]) if callable(value) else value


def _drop(content: Any, keys: Keys) -> None:
    for key in keys[:-1]:
        content = content[key]
    del content[keys[-1]]
