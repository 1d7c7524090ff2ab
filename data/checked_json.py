"""Read JSON records from disk, and check the type of every field that is used.

A record on disk may be truncated, overwritten or come from an untrusted source. `read_json` and `Record`
turn everything that can be wrong with it into one `DamagedRecord` that names the file, the field, the
value and the remedy:

    record = read_json(path, remedy="delete it")
    step = record.integer("step", minimum=0)
    sizes = {name: file.integer("bytes", minimum=0) for name, file in record.mappings("files").items()}

Uses only the standard library, except for paths with a scheme.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import posixpath
import re
import sys
from collections.abc import Callable, Collection, Iterator
from typing import Any, TypeVar

from data import files
from data.errors import UserError, shorten

MAX_INTEGER = 2**63 - 1
MAX_BYTES, MAX_DEPTH = 2**28, 64
SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_SHOWN = 60  # characters of a wrong value in a message
_MAX_PATH = 1000  # characters of a path in a record
_REQUIRED: Any = object()
# Type of the default of a field, or nothing for a field without one.
Default = TypeVar("Default")
Item = TypeVar("Item")


class DamagedRecord(UserError):  # noqa: N818
    """A record on disk is malformed, or a field of it is missing or has a wrong type or value."""


@dataclasses.dataclass(frozen=True, eq=False)
class Record:
    """A JSON object, with checked access to its fields.

    Every method that returns a field raises a DamagedRecord if the field is missing or differs from
    what is asked for. With a `default`, a field that is missing or null has that value.

    Attributes:
      fields: content of the object, unchecked.
      path: file that contains the record, for errors.
      location: position of the object in the file, like "shards[3].packed"; "" for the whole file.
      remedy: what to do about a damaged file, at the end of errors; "" for no hint.
    """

    fields: dict[str, Any]
    path: str
    location: str = ""
    remedy: str = ""

    def __contains__(self, name: str) -> bool:
        """Return whether the record has a field, which may be null."""
        return name in self.fields

    def integer(
        self,
        name: str,
        *,
        minimum: int = -MAX_INTEGER,
        maximum: int = MAX_INTEGER,
        default: Default = _REQUIRED,
    ) -> int | Default:
        """Return a whole number in [minimum, maximum]."""
        value = self._get(name, default)
        if value is default:
            return value
        return self._integer(name, value, minimum, maximum)

    def integers(
        self,
        name: str,
        *,
        minimum: int = -MAX_INTEGER,
        maximum: int = MAX_INTEGER,
        default: Default = _REQUIRED,
    ) -> list[int] | Default:
        """Return a list of whole numbers in [minimum, maximum]."""
        return self._list(
            name, default, lambda item, value: self._integer(item, value, minimum, maximum)
        )

    def number(
        self, name: str, *, minimum: float = -math.inf, default: Default = _REQUIRED
    ) -> float | Default:
        """Return a finite number of at least `minimum`."""
        value = self._get(name, default)
        if value is default:
            return value
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        # Comparing is exact for integers that no float can hold.
        if not is_number or not abs(value) <= sys.float_info.max or value < minimum:
            at_least = "" if minimum == -math.inf else f" of at least {minimum}"
            raise self._wrong(name, value, f"a finite number{at_least}")
        return float(value)

    def boolean(self, name: str, *, default: Default = _REQUIRED) -> bool | Default:
        """Return true or false."""
        value = self._get(name, default)
        if value is not default and not isinstance(value, bool):
            raise self._wrong(name, value, "true or false")
        return value

    def text(
        self,
        name: str,
        *,
        pattern: re.Pattern[str] | None = None,
        choices: Collection[str] | None = None,
        default: Default = _REQUIRED,
    ) -> str | Default:
        """Return text that can be written as UTF-8.

        Args:
          name: name of the field.
          pattern: regular expression that matches the whole text.
          choices: permitted values.
          default: value of a missing field.
        """
        value = self._get(name, default)
        return value if value is default else self._text(name, value, pattern, choices)

    def texts(
        self, name: str, *, pattern: re.Pattern[str] | None = None, default: Default = _REQUIRED
    ) -> list[str] | Default:
        """Return a list of texts."""
        return self._list(name, default, lambda item, value: self._text(item, value, pattern, None))

    def sha256(self, name: str, *, default: Default = _REQUIRED) -> str | Default:
        """Return a sha256 as 64 hexadecimal digits."""
        return self.text(name, pattern=SHA256, default=default)

    def relative_path(self, name: str, *, default: Default = _REQUIRED) -> str | Default:
        """Return a path of a file inside the folder of the record; see `is_inside`."""
        value: Any = self.text(name, default=default)
        if value is not default and not is_inside(value):
            raise self._wrong(
                name, value, f"a relative path without '..', of at most {_MAX_PATH:,} characters"
            )
        return value

    def mapping(self, name: str, *, default: Default = _REQUIRED) -> Record | Default:
        """Return an object inside the record."""
        value = self._get(name, default)
        return value if value is default else self._record(name, value)

    def mappings(self, name: str, *, default: Default = _REQUIRED) -> dict[str, Record] | Default:
        """Return an object whose values are objects."""
        value = self._get(name, default)
        if value is default:
            return value
        record = self._record(name, value)
        return {key: record.mapping(key) for key in record.fields}

    def rows(self, name: str, *, default: Default = _REQUIRED) -> list[Record] | Default:
        """Return a list of objects."""
        return self._list(name, default, self._record)

    def require(self, *names: str) -> None:
        """Raise a DamagedRecord if the record lacks one of these fields, which may be null."""
        for name in names:
            if name not in self.fields:
                raise self.damaged(f"{self._locate(name)} is missing")

    def refuse_other_fields(self, names: Collection[str]) -> None:
        """Raise a DamagedRecord if the record has a field that is not one of `names`."""
        for name in self.fields:
            if name not in names:
                raise self.damaged(f"{self._locate(name)} is not a field of this record")

    def damaged(self, problem: str) -> DamagedRecord:
        """Return the error that says what is wrong with the record."""
        return _damaged(self.path, problem, self.remedy)

    def _get(self, name: str, default: Any) -> Any:
        value = self.fields.get(name)
        if value is None and default is not _REQUIRED:
            return default
        if name not in self.fields:
            raise self.damaged(f"{self._locate(name)} is missing")
        return value

    def _list(
        self, name: str, default: Default, check: Callable[[str, Any], Item]
    ) -> list[Item] | Default:
        value = self._get(name, default)
        if value is default:
            return value
        if not isinstance(value, list):
            raise self._wrong(name, value, "a list")
        return [check(f"{name}[{i}]", item) for i, item in enumerate(value)]

    def _integer(self, name: str, value: Any, minimum: int, maximum: int) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value <= maximum:
            at_least = "" if minimum == -MAX_INTEGER else f" of at least {minimum}"
            at_most = "" if maximum == MAX_INTEGER else f" and at most {maximum}"
            raise self._wrong(name, value, f"a whole number{at_least}{at_most}")
        return value

    def _text(
        self,
        name: str,
        value: Any,
        pattern: re.Pattern[str] | None,
        choices: Collection[str] | None,
    ) -> str:
        if not isinstance(value, str):
            raise self._wrong(name, value, "text")
        if re.search("[\ud800-\udfff]", value):
            raise self._wrong(name, value, "text without surrogates")
        if pattern is not None and not pattern.fullmatch(value):
            raise self._wrong(name, value, f"text like {pattern.pattern}")
        if choices is not None and value not in choices:
            raise self._wrong(name, value, f"one of {', '.join(sorted(choices))}")
        return value

    def _record(self, name: str, value: Any) -> Record:
        if not isinstance(value, dict):
            raise self._wrong(name, value, "an object")
        return Record(value, self.path, self._locate(name), self.remedy)

    def _wrong(self, name: str, value: Any, expected: str) -> DamagedRecord:
        return self.damaged(f"{self._locate(name)} is {format_value(value)}, must be {expected}")

    def _locate(self, name: str) -> str:
        name = name if len(name) <= _MAX_SHOWN else f"{name[:_MAX_SHOWN]}..."
        name = name if name.isprintable() else ascii(name)
        return f"{self.location}.{name}" if self.location else name


def read_json(
    path: str | os.PathLike[str],
    *,
    remedy: str = "",
    max_bytes: int = MAX_BYTES,
    max_depth: int = MAX_DEPTH,
) -> Record:
    """Read a JSON file whose content is an object.

    Args:
      path: local or remote file.
      remedy: what to do about a damaged file, for errors.
      max_bytes: largest size of the file.
      max_depth: largest number of nested lists and objects.

    Raises:
      FileNotFoundError: there is no such file.
      DamagedRecord: the file is too large, malformed or nested too deeply, or is not an object.
    """
    content = read_at_most(path, max_bytes)
    return parse_json(content, path, remedy=remedy, max_bytes=max_bytes, max_depth=max_depth)


def read_at_most(path: str | os.PathLike[str], max_bytes: int) -> bytes:
    """Return the content of a file, or its first `max_bytes + 1` bytes; add its name to errors."""
    try:
        with files.open_read(path) as file:
            return file.read(max_bytes + 1)
    except OSError as error:  # an error of reading, unlike one of opening, does not name the file
        error.filename = error.filename or os.fspath(path)
        raise


def parse_json(
    content: bytes | str,
    path: str | os.PathLike[str],
    *,
    remedy: str = "",
    max_bytes: int = MAX_BYTES,
    max_depth: int = MAX_DEPTH,
) -> Record:
    """Parse the content of a JSON file; see `read_json`.

    Args:
      content: content of the file.
      path: path of the file, for errors.
      remedy: what to do about a damaged file, for errors.
      max_bytes: largest length of the content.
      max_depth: largest number of nested lists and objects.

    Raises:
      DamagedRecord: see `read_json`.
    """
    path = os.fspath(path)
    if len(content) > max_bytes:
        raise _damaged(path, f"it has more than {max_bytes:,} bytes", remedy)
    try:
        value = json.loads(content)
    except RecursionError:
        raise _damaged(path, f"it is nested more than {max_depth} deep", remedy) from None
    except ValueError as error:
        reason = str(error).partition(";")[0]
        raise _damaged(path, f"it is not JSON: {reason}", remedy) from None
    if not isinstance(value, dict):
        raise _damaged(path, f"it is {format_value(value)}, must be an object", remedy)
    if _is_deeper(value, max_depth):
        raise _damaged(path, f"it is nested more than {max_depth} deep", remedy)
    return Record(value, path, "", remedy)


def parse_json_lines(
    content: bytes, path: str | os.PathLike[str]
) -> Iterator[tuple[bytes, Record | None]]:
    """Yield each line that is not empty, with its record, or None if it is not a JSON object.

    Args:
      content: content of a .jsonl file.
      path: path of the file, for errors.
    """
    for number, line in enumerate(content.split(b"\n"), 1):
        if line.strip():
            try:
                record = parse_json(line, path)
            except DamagedRecord:
                yield line, None
            else:
                yield line, dataclasses.replace(record, location=f"line {number}")


def keep_copy(path: str, content: bytes) -> str:
    """Write the content of a damaged file under another name, and return its path."""
    number, copy = 1, f"{path}.damaged"
    while files.exists(copy):
        number, copy = number + 1, f"{path}.damaged-{number + 1}"
    files.write_atomically(copy, content)
    return copy


def is_inside(path: str) -> bool:
    """Return whether a path names something below the folder that it is relative to.

    Paths in records and archives have forward slashes. Absolute paths, "..", backslashes, schemes,
    drive letters, very long paths and characters that cannot be printed, such as line ends, are
    refused, as is the folder itself.
    """
    parts = path.split("/")
    return (
        0 < len(path) <= _MAX_PATH
        and not posixpath.isabs(path)
        and path.isprintable()
        and not re.search(r"[\\:]", path)
        and all(part not in ("", ".", "..") for part in parts)
    )


def format_value(value: Any) -> str:
    """Return a JSON value for a message, on one line and shortened."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**_MAX_SHOWN:
        return f"a whole number of {value.bit_length()} bits"
    if isinstance(value, (dict, list)):
        kind = "an object" if isinstance(value, dict) else "a list"
        return f"{kind} of {len(value)}" if value else f"an empty {kind.split()[1]}"
    text = json.dumps(value[: 2 * _MAX_SHOWN] if isinstance(value, str) else value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def _is_deeper(value: Any, max_depth: int) -> bool:
    level = [value]
    for _ in range(max_depth):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True


def _damaged(path: str, problem: str, remedy: str) -> DamagedRecord:
    remedy = f"; {remedy}" if remedy else ""
    return DamagedRecord(f"{path} is damaged: {shorten(problem)}{remedy}")
