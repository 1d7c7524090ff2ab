"""Files of examples to rows: TSV, CSV, JSON lines, and words with a label a line.

Every line is in a row, or listed as skipped with the reason, or an error that names file and line.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any

from data import files
from data.errors import UserError

# csv refuses longer fields by default, and an article may be one.
csv.field_size_limit(sys.maxsize)
_BYTE_ORDER_MARK = "\ufeff"
# Between columns of words and labels; words may contain other white space, such as U+00A0.
_BLANKS = re.compile(r"[ \t]+")


@dataclasses.dataclass(frozen=True)
class Skip:
    """Something of a file that is not in its split: where it stands, and why it was left out."""

    where: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Row:
    """One row: the line on which it ends, counted from 1, and its value in each column."""

    line: int
    cells: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Table:
    """The rows of a file. `columns` are those that were asked for and are there."""

    path: str
    columns: tuple[str, ...]
    rows: list[Row]
    skipped: list[Skip]

    def where(self, row: Row) -> str:
        """File and line, for messages."""
        return f"{self.path}, line {row.line}"


def read_text(path: str | os.PathLike) -> str:
    """A whole text file, without byte order mark.

    Raises:
      UserError: it is empty, or not UTF-8; then the line is named.
    """
    content = files.read_bytes(path)
    try:
        text = content.decode("utf-8").removeprefix(_BYTE_ORDER_MARK)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}, line {line}: byte 0x{content[error.start]:02x} is not UTF-8; convert the file,"
            " as with `iconv -t UTF-8`"
        ) from None
    if not text.strip():
        raise UserError(f"{path} is empty")
    return text


def require_unicode(content: Any, where: str) -> None:
    """Raises a UserError for half of a surrogate pair, which JSON can spell and no text holds."""
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = ord(error.object[error.start])
        raise UserError(f"{where}: \\u{half:04x} is half of a character; mend the file") from None


def json_text(value: Any) -> str:
    """A value of JSON as it is spelled there."""
    return json.dumps(value, ensure_ascii=False)


def read_table(
    path: str | os.PathLike,
    *,
    columns: Sequence[str],
    optional: Sequence[str] = (),
    header: Sequence[str] | None = None,
    keep_all: bool = False,
) -> Table:
    """Reads a file with columns; the suffix says how: .csv, .jsonl, tabs otherwise.

    TSV knows no quotes: a quotation mark is text, a line is a row (as in the files of GLUE, which
    have unpaired ones); an empty line is none, unless there is one column only. CSV may quote, and
    then fields may hold line breaks.

    Args:
      path: of the file.
      columns: that must be there.
      optional: that are taken too if they are there.
      header: names of the columns of a file without a first line that has them.
      keep_all: rows that do not fit the header are errors instead of skips, for files in which
        every row wants a prediction.

    Raises:
      UserError: the file is empty, has no rows, is not UTF-8 or malformed, or lacks a column.
    """
    path = os.fspath(path)
    match PurePath(path).suffix:
        case ".jsonl":
            return _read_jsonl(path, columns, optional)
        case ".csv":
            lines = _csv_lines(path)
        case _:
            lines = _tsv_lines(path)
    if header is None:
        header = next(cells for _, cells in lines if cells != [""])
    named = _named_columns(path, header, columns, optional)
    rows, skipped = [], []
    for line, cells in lines:
        if cells == [""] and len(header) > 1:
            continue
        if len(cells) == len(header):
            rows.append(Row(line, {name: cells[index] for name, index in named.items()}))
            continue
        skip = Skip(f"{path}, line {line}", f"{len(cells)} columns instead of {len(header)}")
        if keep_all:
            raise UserError(f"{skip.where}: {skip.reason}; every row needs a prediction, mend it")
        skipped.append(skip)
    if not rows:
        raise UserError(f"{path} has no rows of {len(header)} columns ({', '.join(header)})")
    return Table(path, tuple(named), rows, skipped)


def _tsv_lines(path: str) -> Iterator[tuple[int, list[str]]]:
    # Not by str.splitlines: published sentences contain U+2028 and the like.
    for number, line in enumerate(read_text(path).removesuffix("\n").split("\n"), start=1):
        yield number, line.removesuffix("\r").split("\t")


def _csv_lines(path: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, cells
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: {error}") from None


def _named_columns(
    path: str, header: Sequence[str], columns: Sequence[str], optional: Sequence[str]
) -> dict[str, int]:
    """Place of each wanted column."""
    for name in columns:
        if name not in header:
            raise UserError(f"{path} has no column {name!r}; there are {', '.join(header)}")
    wanted = [name for name in dict.fromkeys([*columns, *optional]) if name in header]
    for name in wanted:
        if header.count(name) > 1:
            raise UserError(f"{path} has {header.count(name)} columns called {name!r}")
    return {name: header.index(name) for name in wanted}


def _read_jsonl(path: str, columns: Sequence[str], optional: Sequence[str]) -> Table:
    rows = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            cells = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise UserError(f"{where}: not JSON: {error}") from None
        if not isinstance(cells, dict):
            raise UserError(f"{where}: must be an object with {', '.join(columns)}")
        require_unicode(cells, where)
        for name in columns:
            if name not in cells:
                raise UserError(f"{where}: no field {name!r}; there are {', '.join(cells)}")
        rows.append(Row(number, {name: cells.get(name) for name in [*columns, *optional]}))
    # A field that no line has is no column; one that some have is None in the others.
    there = [name for name in optional if any(row.cells[name] is not None for row in rows)]
    return Table(path, (*columns, *there), rows, [])


def read_conll(path: str | os.PathLike) -> Table:
    """Reads a word and its label a line, sentences separated by blank lines.

    The first field of a line is the word, the last, if there are several, its label: the format of
    the CoNLL shared tasks. Lines "-DOCSTART-" separate documents there and are skipped.

    Returns:
      A row a sentence, with "words" and "labels", lists of strings of equal length; no column
      "labels" if no line has two fields.

    Raises:
      UserError: the file is empty or not UTF-8, or some lines have a label and others not.
    """
    path = os.fspath(path)
    rows, skipped = [], []
    words: list[tuple[str, str]] = []
    first_bare = first_labelled = 0
    for number, line in enumerate([*read_text(path).split("\n"), ""], start=1):
        fields = _BLANKS.split(line.strip(" \t\r"))
        if fields == [""]:
            if words:
                cells = {"words": [w for w, _ in words], "labels": [label for _, label in words]}
                rows.append(Row(number - 1, cells))
            words = []
        elif fields[0] == "-DOCSTART-":
            skipped.append(Skip(f"{path}, line {number}", "separates documents"))
        elif len(fields) == 1:
            first_bare = first_bare or number
            words.append((fields[0], ""))
        else:
            first_labelled = first_labelled or number
            words.append((fields[0], fields[-1]))
    if first_bare and first_labelled:
        raise UserError(
            f"{path}: line {first_labelled} has a label and line {first_bare} has none; give all"
            " words one, or none"
        )
    if not rows:
        raise UserError(f"{path} has no words")
    columns = ("words", "labels") if first_labelled else ("words",)
    return Table(path, columns, rows, skipped)
