"""Table of the corpus formats, and functions that plan and read input of any format.

To add a format, add an entry to `FORMATS`. Its key becomes the flag of `data.build` and
`data.vocab`, the first component of document ids, and the source in the accounts and metrics.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from data.sources import books, lines
from data.sources.documents import (
    Document,
    InputFile,
    InputPart,
    Reject,
    Skipped,
    find_inputs,
    whole_file,
)
from data.sources.streams import ByteCounter
from data.sources.wiki import dump, parts


class Reader(Protocol):
    """Signature of the readers."""

    def __call__(
        self, part: InputPart, *, max_document_bytes: int, counter: ByteCounter | None = None
    ) -> Iterator[Document | Reject | Skipped]:
        """Stream one part of a file; arguments, items and errors as for `read_part`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Format:
    """One corpus format. Every field is required, so that an incomplete entry fails on import.

    Attributes:
      help: content of such a file, as shown by --help.
      name_contains: text by which `data.vocab --input` recognises the file name; None if the
        format has no typical file names.
      split: function that divides a file into parts that can be read independently.
      read: reader of one part.
    """

    help: str
    name_contains: str | None
    split: Callable[[InputFile], list[InputPart]]
    read: Reader


FORMATS: dict[str, Format] = {
    "wiki": Format(
        help="MediaWiki dumps (pages-articles XML, plain, .bz2 or .gz)",
        name_contains=".xml",
        split=parts.split_file,
        read=dump.read_part,
    ),
    "books": Format(
        help="one book per file; Project Gutenberg's licence is left out, chapters are kept apart",
        name_contains=None,
        split=whole_file,
        read=books.read_book,
    ),
    "text": Format(
        help="one document per file, paragraphs separated by blank lines",
        name_contains=None,
        split=whole_file,
        read=books.read_text,
    ),
    "lines": Format(
        help="one paragraph or sentence per line, a blank line between documents",
        name_contains=None,
        split=lines.split_file,
        read=lines.read_lines,
    ),
    "sentences": Format(
        help="one sentence per line without blank lines, such as BooksCorpus",
        name_contains=None,
        split=lines.split_sentences,
        read=lines.read_sentences,
    ),
    "jsonl": Format(
        help='one object per line, with "text" and optionally "id"',
        name_contains=".jsonl",
        split=lines.split_file,
        read=lines.read_jsonl,
    ),
}
# Kind of a file whose name matches no format.
_FALLBACK = "books"
# Arguments of every flag that takes input files.
GLOB_FLAG: dict[str, Any] = dict(action="extend", nargs="+", default=[], metavar="GLOB")
# Small files are grouped into one unit: 70,000 books must not become 70,000 tasks.
_UNIT_BYTES = 16 * 2**20

# Parts that one worker reads in a single task; all of one kind.
Unit = tuple[InputPart, ...]


def add_format_flags(parser: argparse.ArgumentParser) -> None:
    """Add one flag per format.

    Raises:
      ValueError: a key of `FORMATS` cannot be a flag and a component of document ids.
      argparse.ArgumentError: the parser already has a flag of that name.
    """
    for kind, entry in FORMATS.items():
        if not re.fullmatch("[a-z][a-z0-9_]*", kind):
            raise ValueError(
                f"FORMATS[{kind!r}]: the key must be lower-case letters, digits and underscores"
            )
        parser.add_argument(f"--{kind}", help=entry.help.replace("%", "%%"), **GLOB_FLAG)


def format_flags() -> str:
    """Return the flags of all formats for an error message: "--wiki, --books, ..."."""
    return ", ".join(f"--{kind}" for kind in FORMATS)


def find_flagged_inputs(args: argparse.Namespace) -> list[InputFile]:
    """Return the files given by the flags of `add_format_flags`, sorted by name within a glob.

    Raises:
      UserError: a glob matches no file; see `find_inputs`.
    """
    return [
        file for kind in FORMATS for glob in getattr(args, kind) for file in find_inputs(kind, glob)
    ]


def guess_kind(file: InputFile) -> InputFile:
    """Return the file with the kind that its name suggests: the first match in `FORMATS`."""
    name = os.path.basename(file.path)
    kinds = [
        k for k, entry in FORMATS.items() if entry.name_contains and entry.name_contains in name
    ]
    return dataclasses.replace(file, kind=kinds[0] if kinds else _FALLBACK)


def plan_units(inputs: Iterable[InputFile], *, unit_bytes: int = _UNIT_BYTES) -> list[Unit]:
    """Divide the input into units of work; depends on the kinds, names and sizes of the files only.

    Args:
      inputs: files in the order in which they are read.
      unit_bytes: stored bytes per unit; a larger part is a unit of its own.
    """
    units: list[list[InputPart]] = []
    filled = 0
    for file in inputs:
        for part in split_file(file):
            num_bytes = part.stop - part.start
            if not units or filled + num_bytes > unit_bytes or units[-1][0].file.kind != file.kind:
                units.append([])
                filled = 0
            units[-1].append(part)
            filled += num_bytes
    return [tuple(unit) for unit in units]


def split_file(file: InputFile) -> list[InputPart]:
    """Return the parts of one file that can be read independently of each other."""
    return FORMATS[file.kind].split(file)


def read_part(
    part: InputPart, *, max_document_bytes: int, counter: ByteCounter | None = None
) -> Iterator[Document | Reject | Skipped]:
    """Stream one part of a file; every byte of it belongs to exactly one item.

    Args:
      part: a part from `split_file`.
      max_document_bytes: size limit; a larger document is rejected.
      counter: counts the uncompressed bytes of the part as the file yields them, independently of
        the reader. Once the iterator is exhausted, `num_bytes` of the items add up to the same.

    Yields:
      Documents, whose ids begin with the kind of the file and a slash; rejected documents; and
      skipped bytes.

    Raises:
      UserError: the file as a whole is damaged, or has another format.
      ValueError: the reader of the format gave a document an id that names another kind.
    """
    kind = part.file.kind
    reader = FORMATS[kind].read
    for item in reader(part, max_document_bytes=max_document_bytes, counter=counter):
        # The accounts attribute input bytes by the kind of the file, and tokens by the id.
        if isinstance(item, Document) and not item.id.startswith(f"{kind}/"):
            raise ValueError(
                f"FORMATS[{kind!r}]: document id {item.id!r} must begin with '{kind}/'"
            )
        yield item
