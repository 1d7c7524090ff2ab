"""Table of the corpus formats, and functions that plan and read input of any format.

To add a format, add an entry to `FORMATS`. Its key becomes the flag of `data.build` and
`data.vocab`, the first component of document ids, and the source in the accounts and metrics.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from data.errors import UserError
from data.sources import books, lines, parquet, wikiextractor
from data.sources.compressed.codecs import SUFFIXES
from data.sources.documents import (
    TEXT_FIELD,
    Document,
    InputFile,
    InputPart,
    Reject,
    Skipped,
    accept_any_head,
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
      example: an argument of the flag, as shown by --help.
      name_contains: text by which `data.vocab --input` recognises the file name; None if the
        format has no typical file names.
      has_text_field: whether --text_field names the text in such a file.
      check_head: function that raises a UserError for a file, and its first uncompressed bytes, that
        cannot have the format.
      split: function that divides a file into parts that can be read independently.
      read: reader of one part.
    """

    help: str
    example: str
    name_contains: str | None
    has_text_field: bool
    check_head: Callable[[InputFile, bytes], None]
    split: Callable[[InputFile], list[InputPart]]
    read: Reader


def _sentences(file: InputFile) -> Any:
    """Return the module that reads a file with a sentence per line or row."""
    return parquet if parquet.is_parquet(file.path) else lines


def _check_sentences(file: InputFile, head: bytes) -> None:
    if parquet.is_parquet(file.path) or head.startswith(parquet.MAGIC):
        parquet.check_head(file, head)


def _read_sentences(
    part: InputPart, *, max_document_bytes: int, counter: ByteCounter | None = None
) -> Iterator[Document | Reject | Skipped]:
    read: Reader = _sentences(part.file).read_sentences
    return read(part, max_document_bytes=max_document_bytes, counter=counter)


FORMATS: dict[str, Format] = {
    "wiki": Format(
        help="MediaWiki dumps (pages-articles XML)",
        example="'dumps/*.xml*.bz2'",
        name_contains=".xml",
        has_text_field=False,
        check_head=dump.check_head,
        split=parts.split_file,
        read=dump.read_part,
    ),
    "books": Format(
        help="one book per file, or in .tar archives; Project Gutenberg's licence is left out, chapters"
        " are kept apart",
        example="'books/**'",
        name_contains=None,
        has_text_field=False,
        check_head=accept_any_head,
        split=whole_file,
        read=books.read_book,
    ),
    "text": Format(
        help="one document per file, or in .tar archives; paragraphs separated by blank lines",
        example="'texts/*.tar.gz'",
        name_contains=None,
        has_text_field=False,
        check_head=accept_any_head,
        split=whole_file,
        read=books.read_text,
    ),
    "lines": Format(
        help="one paragraph or sentence per line, a blank line between documents",
        example="'corpus-*.txt'",
        name_contains=None,
        has_text_field=False,
        check_head=accept_any_head,
        split=lines.split_file,
        read=lines.read_lines,
    ),
    "sentences": Format(
        help="one sentence per line without blank lines, or per row of .parquet, such as BooksCorpus",
        example="books_large_p1.txt",
        name_contains=None,
        has_text_field=True,
        check_head=_check_sentences,
        split=lambda file: _sentences(file).split_sentences(file),
        read=_read_sentences,
    ),
    "jsonl": Format(
        help='one object per line, with "text" and optionally "id"',
        example="'pile/*.jsonl.zst'",
        name_contains=".jsonl",
        has_text_field=True,
        check_head=lines.check_json_head,
        split=lines.split_file,
        read=lines.read_jsonl,
    ),
    "parquet": Format(
        help='Parquet tables with a document per row: column "text", optionally "id" and "title"',
        example="'20231101.en/*.parquet'",
        name_contains=parquet.SUFFIX,
        has_text_field=True,
        check_head=parquet.check_head,
        split=parquet.split_documents,
        read=parquet.read_documents,
    ),
    "wikiextractor": Format(
        help="output of WikiExtractor: <doc ...> elements, or objects of its --json",
        example="'extracted/**'",
        name_contains=None,
        has_text_field=False,
        check_head=wikiextractor.check_head,
        split=lines.split_file,
        read=wikiextractor.read_part,
    ),
}
# Kind of a file whose name matches no format.
_FALLBACK = "books"
# Arguments of every flag that takes input files.
GLOB_FLAG: dict[str, Any] = dict(action="extend", nargs="+", default=[], metavar="GLOB")
# Small files are grouped into one unit: 70,000 books must not become 70,000 tasks.
_UNIT_BYTES, _UNIT_PARTS = 16 * 2**20, 1000
# About one file in so many begins a unit, chosen by its name: then one file more or fewer changes few units.
_FILES_BETWEEN_CUTS = 64

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
        text = f"{entry.help}\ne.g. --{kind} {entry.example}".replace("%", "%%")
        parser.add_argument(f"--{kind}", help=text, **GLOB_FLAG)
    parser.add_argument(
        "--text_field",
        metavar="NAME",
        help=f"column or key with the text, in {_text_field_flags()} (default: {TEXT_FIELD})\n"
        f"all text is UTF-8; files may be compressed ({SUFFIXES})",
    )


def format_flags() -> str:
    """Return the flags of all formats for an error message: "--wiki, --books, ..."."""
    return ", ".join(f"--{kind}" for kind in FORMATS)


def _text_field_flags() -> str:
    return ", ".join(f"--{kind}" for kind, entry in FORMATS.items() if entry.has_text_field)


def find_flagged_inputs(args: argparse.Namespace) -> list[InputFile]:
    """Return the files given by the flags of `add_format_flags`, sorted by name within a glob.

    The head of each is looked at, so that a file of another format stops a build before any work.

    Args:
      args: arguments; those in "input", if there are any, are of the kinds that their names suggest.

    Raises:
      UserError: a glob matches no file, or a file has another format; see `find_inputs`.
    """
    kinds = {kind: getattr(args, kind) for kind in FORMATS}
    has_field = any(FORMATS[kind].has_text_field and globs for kind, globs in kinds.items())
    if args.text_field is not None and not has_field and not getattr(args, "input", ()):
        raise UserError(f"--text_field has no effect without {_text_field_flags()}")
    text_field = TEXT_FIELD if args.text_field is None else args.text_field
    return [
        file
        for kind, globs in {"input": getattr(args, "input", ()), **kinds}.items()
        for glob in globs
        for file in find_inputs(
            kind,
            glob,
            kind_of=guess_kind if kind == "input" else None,
            text_field=text_field
            if kind not in FORMATS or FORMATS[kind].has_text_field
            else TEXT_FIELD,
            check_head=lambda file, head: FORMATS[file.kind].check_head(file, head),
        )
    ]


def guess_kind(path: str) -> str:
    """Return the kind that the name of a file suggests: the first match in `FORMATS`."""
    name = os.path.basename(path)
    kinds = [
        k for k, entry in FORMATS.items() if entry.name_contains and entry.name_contains in name
    ]
    return kinds[0] if kinds else _FALLBACK


def plan_units(inputs: Iterable[InputFile], *, unit_bytes: int = _UNIT_BYTES) -> list[Unit]:
    """Divide the input into units of work; depends on the kinds, names and sizes of the files only.

    Tiny files take more time than their bytes say, so a unit has at most a thousand parts.

    Args:
      inputs: files in the order in which they are read.
      unit_bytes: stored bytes per unit; a larger part is a unit of its own.
    """
    units: list[list[InputPart]] = []
    filled = 0
    for file in inputs:
        is_cut = zlib.crc32(file.name.encode()) % _FILES_BETWEEN_CUTS == 0
        for part in split_file(file):
            num_bytes = part.stop - part.start
            is_full = (
                not units
                or is_cut
                or filled + num_bytes > unit_bytes
                or len(units[-1]) == _UNIT_PARTS
            )
            is_cut = False
            if is_full or units[-1][0].file.kind != file.kind:
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
