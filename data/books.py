"""Plain-text books: one file a book, hard-wrapped lines rejoined into paragraphs."""

from __future__ import annotations

import re
import zlib

from data.documents import Document, InputFile, Reject, join_lines, open_compressed
from data.errors import UserError

_GUTENBERG_START = re.compile(r"^\*\*\* ?START OF (THE|THIS) PROJECT GUTENBERG.*$", re.M | re.I)
_GUTENBERG_END = re.compile(r"^\*\*\* ?END OF (THE|THIS) PROJECT GUTENBERG.*$", re.M | re.I)


def read_book(file: InputFile) -> Document | Reject:
    """Reads one book (UTF-8, plain, .gz or .bz2).

    Returns:
      The document, or a reject if the file is not UTF-8, is damaged or holds no text.

    Raises:
      UserError: the file is a MediaWiki dump.
    """

    def reject(offset: int, reason: str) -> Reject:
        return Reject(source=file.name, offset=str(offset), reason=reason)

    try:
        with open_compressed(file.path) as stream:
            content = stream.read()
    except (EOFError, OSError, zlib.error) as error:
        return reject(0, f"cannot be read: {error}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return reject(error.start, f"not UTF-8: byte {content[error.start]:#04x}")
    if text.lstrip()[:10] == "<mediawiki":
        raise UserError(f"{file.path} is a MediaWiki dump, not a book; give it to --wiki")
    paragraphs = tuple(join_lines(strip_gutenberg(text).splitlines()))
    if not paragraphs:
        return reject(0, "no text")
    return Document(id=f"books/{file.name}", paragraphs=paragraphs)


def strip_gutenberg(text: str) -> str:
    """Removes the header and the licence that Project Gutenberg wraps around a book."""
    if start := _GUTENBERG_START.search(text):
        text = text[start.end() :]
    if end := _GUTENBERG_END.search(text):
        text = text[: end.start()]
    return text
