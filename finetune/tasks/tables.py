"""Read files of examples as rows: TSV, CSV, JSON lines, and CoNLL's columns of words and labels.

Every line becomes a row, is listed as skipped with the reason, or raises an error that names file and
line.
"""

from __future__ import annotations

import csv
import dataclasses
import gzip
import io
import json
import os
import re
import sys
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

from data import files
from data.checked_json import read_at_most
from data.errors import UserError, list_names
from finetune.config import table_suffix

# A field may be a whole article; the default limit is 128 KiB.
csv.field_size_limit(sys.maxsize)
_BYTE_ORDER_MARK = "\ufeff"
# A lone carriage return within a line is white space, as copied from a spreadsheet's cell.
_LONE_RETURN = re.compile("\r(?!\n)")
# CoNLL's separators; words may contain other white space, such as U+00A0.
_BLANKS = re.compile(r"[ \t]+")
# Comments of CoNLL-U come before the words of a sentence: "# sent_id = 7", "# newpar".
_COMMENT = re.compile(r"#\s*(?:[\w:.-]+\s*=|new(?:doc|par)\b)")
_CONLLU_COLUMNS = 10
_CONLLU_ID = re.compile(r"\d+(?:[-.]\d+)?")


@dataclasses.dataclass(frozen=True)
class Skip:
    """A part of a file that is not in its split: file and line, and why it was left out."""

    where: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Row:
    """One row: its last line, counted from 1, and its values by column."""

    line: int
    cells: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Table:
    """The rows of a file; `columns` are the requested columns that the file has."""

    path: str
    columns: tuple[str, ...]
    rows: list[Row]
    skipped: list[Skip]

    def where(self, row: Row) -> str:
        """Return file and line, for messages."""
        return f"{self.path}, line {row.line}"


def read_text(path: str | os.PathLike[str]) -> str:
    """Return the content of a text file, without byte order mark.

    Lone carriage returns are line ends in a file without others, as old Macs wrote, and else blanks.

    Raises:
      UserError: the file is empty, too large or not UTF-8; the last error names the line.
    """
    content = read_at_most(path, files.MAX_TEXT_BYTES)
    if os.fspath(path).endswith(".gz"):
        content = _decompress(content, path)
    if len(content) > files.MAX_TEXT_BYTES:
        raise UserError(
            f"{path} has more than {files.MAX_TEXT_BYTES:,} bytes; divide it into several files"
        )
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
    return _LONE_RETURN.sub(" " if "\n" in text else "\n", text)


def _decompress(content: bytes, path: str | os.PathLike[str]) -> bytes:
    """Return the first MAX_TEXT_BYTES + 1 bytes of gzip's content."""
    try:
        with gzip.open(io.BytesIO(content)) as file:
            return file.read(files.MAX_TEXT_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be decompressed: {error}") from None


def require_unicode(content: Any, where: str) -> None:
    """Raise a UserError for half of a surrogate pair, which JSON can express and UTF-8 cannot."""
    try:
        json_text(content).encode()
    except UnicodeEncodeError as error:
        half = ord(error.object[error.start])
        raise UserError(f"{where}: \\u{half:04x} is half of a surrogate pair; fix it") from None


def describe_json_error(error: Exception) -> str:
    """Return why `json.loads` failed, in a few words."""
    return str(error).partition(";")[0]  # the rest is about Python's limit of digits


def _null(_: str) -> None:
    """Read NaN, which Python writes for missing values and JSON does not have, as null."""


def json_text(value: Any) -> str:
    """Return a value as JSON, without escapes for non-ASCII characters."""
    return json.dumps(value, ensure_ascii=False)


def read_table(
    path: str | os.PathLike[str],
    *,
    columns: Sequence[str],
    optional: Sequence[str] = (),
    header: Sequence[str] | None = None,
    keep_all: bool = False,
) -> Table:
    """Read a file with columns: .csv, .jsonl, or with any other suffix TSV; each may end with .gz.

    TSV has no quoting: a quotation mark is text and a line is a row, as in the files of GLUE, which
    have unpaired ones. Empty lines are ignored, unless there is only one column. In CSV, quoted fields
    may contain line breaks.

    Args:
      path: file to read.
      columns: required columns.
      optional: columns to read if the file has them.
      header: column names of a file without a header line.
      keep_all: raise an error for a row that does not fit the header instead of skipping it; for
        files in which every row needs a prediction.

    Raises:
      UserError: the file is empty, has no rows, is not UTF-8 or malformed, or lacks a column.
    """
    path = os.fspath(path)
    match table_suffix(path):
        case ".jsonl":
            return _read_jsonl(path, columns, optional)
        case ".csv":
            lines = _csv_lines(path)
        case _:
            lines = _tsv_lines(path)
    if header is None:
        header = next(cells for _, cells in lines if cells != [""])
    indices = _column_indices(path, header, columns, optional)
    rows, skipped = [], []
    for line, cells in lines:
        if cells == [""] and len(header) > 1:
            continue
        if len(cells) == len(header):
            rows.append(Row(line, {name: cells[index] for name, index in indices.items()}))
            continue
        skip = Skip(f"{path}, line {line}", f"{len(cells)} columns instead of {len(header)}")
        if keep_all:
            raise UserError(f"{skip.where}: {skip.reason}; every row needs a prediction, fix it")
        skipped.append(skip)
    if not rows:
        raise UserError(f"{path} has no rows of {len(header)} columns ({list_names(header)})")
    return Table(path, tuple(indices), rows, skipped)


def _tsv_lines(path: str) -> Iterator[tuple[int, list[str]]]:
    # str.splitlines would also split at U+2028 and the like, which published sentences contain.
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


def _column_indices(
    path: str, header: Sequence[str], columns: Sequence[str], optional: Sequence[str]
) -> dict[str, int]:
    """Return the index of each requested column, by name."""
    for name in columns:
        if name not in header:
            raise UserError(f"{path} has no column {name!r}; there are {list_names(header)}")
    present = [name for name in dict.fromkeys([*columns, *optional]) if name in header]
    for name in present:
        if header.count(name) > 1:
            raise UserError(f"{path} has {header.count(name)} columns called {name!r}")
    return {name: header.index(name) for name in present}


def _read_jsonl(path: str, columns: Sequence[str], optional: Sequence[str]) -> Table:
    rows = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            cells = json.loads(line, parse_constant=_null)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{where}: not JSON: {describe_json_error(error)}") from None
        if not isinstance(cells, dict):
            raise UserError(f"{where}: must be an object with {', '.join(columns)}")
        require_unicode(cells, where)
        for name in columns:
            if name not in cells:
                raise UserError(f"{where}: no field {name!r}; there are {list_names(cells)}")
        rows.append(Row(number, {name: cells.get(name) for name in [*columns, *optional]}))
    # An optional field is a column if any line has it, and None in the other lines.
    present = [name for name in optional if any(row.cells[name] is not None for row in rows)]
    return Table(path, (*columns, *present), rows, [])


def read_conll(path: str | os.PathLike[str]) -> Table:
    """Read the format of the CoNLL shared tasks: a word and its label on each line.

    The first field of a line is the word; the last of several fields is its label. Blank lines
    separate sentences. "-DOCSTART-" lines separate documents and are skipped, as are the comments of
    CoNLL-U before the words of a sentence.

    Returns:
      One row for each sentence, with "words" and "labels", lists of strings of equal length; without
      a column "labels" if no line has two fields.

    Raises:
      UserError: the file is empty, not UTF-8 or has all columns of CoNLL-U, or some lines have a label
        and others do not.
    """
    path = os.fspath(path)
    rows, skipped = [], []
    words: list[tuple[str, str]] = []
    first_unlabelled = first_labelled = 0
    for number, line in enumerate([*read_text(path).split("\n"), ""], start=1):
        fields = _BLANKS.split(line.strip(" \t\r"))
        if fields == [""]:
            if words:
                cells = {"words": [w for w, _ in words], "labels": [label for _, label in words]}
                rows.append(Row(number - 1, cells))
            words = []
        elif fields[0] == "-DOCSTART-":
            skipped.append(Skip(f"{path}, line {number}", "separates documents"))
        elif not words and _COMMENT.match(line):
            skipped.append(Skip(f"{path}, line {number}", "a comment"))
        elif _is_conllu(line):
            raise UserError(
                f"{path}, line {number}: has the {_CONLLU_COLUMNS} columns of CoNLL-U; keep the words and"
                f" the labels, as with `grep -Ev '^[0-9]+[-.]' {path} | cut -f 2,4`"
            )
        elif len(fields) == 1:
            first_unlabelled = first_unlabelled or number
            words.append((fields[0], ""))
        else:
            first_labelled = first_labelled or number
            words.append((fields[0], fields[-1]))
    if first_unlabelled and first_labelled:
        raise UserError(
            f"{path}: line {first_labelled} has a label and line {first_unlabelled} has none; label"
            " all words or none"
        )
    if not rows:
        raise UserError(f"{path} has no words")
    columns = ("words", "labels") if first_labelled else ("words",)
    return Table(path, columns, rows, skipped)


def _is_conllu(line: str) -> bool:
    columns = line.split("\t")
    return len(columns) == _CONLLU_COLUMNS and _CONLLU_ID.fullmatch(columns[0]) is not None
