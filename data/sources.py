"""One way into every kind of input."""

from __future__ import annotations

from collections.abc import Iterator

from data import books, wiki
from data.documents import Document, InputFile, Reject


def read_input(file: InputFile) -> Iterator[Document | Reject]:
    """Streams the documents of one input file."""
    if file.kind == "wiki":
        yield from wiki.read_documents(file)
    else:
        yield books.read_book(file)
