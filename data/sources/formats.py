"""One way into every kind of input."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from data.sources import books, lines
from data.sources.documents import Document, InputFile, InputPart, Reject, Skipped
from data.sources.streams import ByteCounter
from data.sources.wiki import dump, parts

# What the command line offers, and what each kind of file holds.
KINDS = {
    "wiki": "MediaWiki dumps (pages-articles XML, plain, .bz2 or .gz)",
    "books": "a book a file; Project Gutenberg's licence is left out, chapters are kept apart",
    "text": "a document a file, paragraphs separated by blank lines",
    "lines": "a paragraph or sentence a line, a blank line between documents",
    "jsonl": 'an object with "text", and if you like "id", a line',
}
# Small files are read together, so that there is not one task for each of 70,000 books.
_UNIT_BYTES = 16 * 2**20

# Parts that one worker reads in one go; all of one kind.
Unit = tuple[InputPart, ...]


def plan_units(inputs: Iterable[InputFile], *, unit_bytes: int = _UNIT_BYTES) -> list[Unit]:
    """Divides the input into units of work; a function of the files' names and sizes alone."""
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
    """The parts of one file that can be read independently."""
    if file.kind == "wiki":
        return parts.split_file(file)
    if file.kind in ("lines", "jsonl"):
        return lines.split_file(file)
    return [InputPart(file=file, start=0, stop=file.num_bytes)]


def read_part(
    part: InputPart, *, max_document_bytes: int, counter: ByteCounter | None = None
) -> Iterator[Document | Reject | Skipped]:
    """Streams one part of a file; every byte of it is in exactly one item.

    Args:
      part: of what `split_file` gave.
      max_document_bytes: a larger document is rejected.
      counter: counts the uncompressed bytes of the part where the file is opened, below the reader;
        when all items are taken, their bytes must add up to the same number.

    Raises:
      UserError: the file as a whole is damaged, or of another kind.
    """
    options = {"max_document_bytes": max_document_bytes, "counter": counter}
    match part.file.kind:
        case "wiki":
            yield from dump.read_part(part, **options)
        case "books":
            yield from books.read_book(part.file, **options)
        case "text":
            yield from books.read_text(part.file, **options)
        case "lines":
            yield from lines.read_lines(part, **options)
        case "jsonl":
            yield from lines.read_jsonl(part, **options)
