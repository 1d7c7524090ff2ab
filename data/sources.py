"""One way into every kind of input."""

from __future__ import annotations

from collections.abc import Iterator

from data import books, wiki
from data.documents import Document, InputFile, Reject, Skipped

_MAX_DOCUMENT_BYTES = 64 << 20


def read_input(file: InputFile) -> Iterator[Document | Reject | Skipped]:
    """Streams what one input file holds."""
    if file.kind == "wiki":
        for part in wiki.split_file(file):
            yield from wiki.read_part(part, max_document_bytes=_MAX_DOCUMENT_BYTES)
    else:
        yield books.read_book(file)
