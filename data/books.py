"""Whole files as documents: books, and any other plain text."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

from data.documents import Document, InputFile, Reject, Skipped, join_lines, open_compressed
from data.errors import UserError

_GUTENBERG_START = re.compile(rb"^\*\*\* ?START OF (THE|THIS) PROJECT GUTENBERG.*$", re.M | re.I)
_GUTENBERG_END = re.compile(rb"^\*\*\* ?END OF (THE|THIS) PROJECT GUTENBERG.*$", re.M | re.I)
_NUMBER = (
    r"([IVXLC]+|\d+|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|"
    r"(thir|four|fif|six|seven|eigh|nine)teen|(twen|thir|for|fif)ty([ -]\w+)?|"
    r"(the )?(first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|last))"
)
# What may follow the number: nothing, a title after punctuation, or a capitalised one without a stop.
_TITLE = r"(\s*[.:,\u2013\u2014-].{0,80}|\s+(?-i:[A-Z\"'\u2018\u201c]).{0,80}(?<![.!?]))?"
# A paragraph of its own that begins a part of a book: "CHAPTER IV. The Storm", "Act 1", "Epilogue".
_CHAPTER = re.compile(
    rf"(chapter|book|part|volume|act|canto|letter|stave)\s+{_NUMBER}\b{_TITLE}|"
    rf"(the\s+)?(prologue|epilogue|preface|foreword|introduction|afterword|appendix)\b{_TITLE}",
    re.I,
)


def read_book(file: InputFile, *, max_document_bytes: int) -> Iterator[Document | Reject | Skipped]:
    """Reads one book; its chapters become parts of the document.

    The header and the licence that Project Gutenberg wraps around a book are skipped.

    Args:
      file: UTF-8 text, plain, .gz or .bz2.
      max_document_bytes: a larger file is refused.

    Yields:
      The document, or a reject if the file is too large, not UTF-8, damaged or without text.

    Raises:
      UserError: the file is a MediaWiki dump.
    """
    content = _content(file, max_document_bytes)
    if isinstance(content, Reject):
        yield content
        return
    start, end = _book_within(content)
    if licence := len(content) - (end - start):
        yield Skipped(reason="licence", num_bytes=licence)
    yield _document(file, content[start:end], offset=start, chapters=True)


def read_text(file: InputFile, *, max_document_bytes: int) -> Iterator[Document | Reject]:
    """Reads one file of plain text as one document. Arguments and errors as for `read_book`."""
    content = _content(file, max_document_bytes)
    if isinstance(content, bytes):
        content = _document(file, content, offset=0, chapters=False)
    yield content


def _content(file: InputFile, max_document_bytes: int) -> bytes | Reject:
    content = b""
    try:
        with open_compressed(file.path) as stream:
            # Never all of it: a few kilobytes can decompress to many gigabytes.
            content = stream.read(max_document_bytes + 1)
    except (EOFError, OSError, zlib.error) as error:
        return Reject(
            source=file.name,
            offset="byte 0",
            reason=f"cannot be read: {error}",
            num_bytes=file.num_bytes,
        )
    if len(content) > max_document_bytes:
        return Reject(
            source=file.name,
            offset="byte 0",
            reason=f"larger than BuildConfig.max_document_bytes={max_document_bytes}",
            num_bytes=max(file.num_bytes, len(content)),
        )
    return content


def _book_within(content: bytes) -> tuple[int, int]:
    """Where the book itself begins and ends."""
    start = match.end() if (match := _GUTENBERG_START.search(content)) else 0
    end = match.start() if (match := _GUTENBERG_END.search(content, start)) else len(content)
    return start, end


def _document(file: InputFile, content: bytes, *, offset: int, chapters: bool) -> Document | Reject:
    def reject(position: int, reason: str) -> Reject:
        return Reject(
            source=file.name,
            offset=f"byte {offset + position}",
            reason=reason,
            num_bytes=len(content),
        )

    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return reject(error.start, f"not UTF-8: byte {content[error.start]:#04x}")
    if text.lstrip()[:10] == "<mediawiki":
        raise UserError(
            f"{file.path} is a MediaWiki dump, not a --{file.kind} file; give it to --wiki"
        )
    paragraphs = tuple(join_lines(text.splitlines()))
    if not paragraphs:
        return reject(0, "no text")
    return Document(
        id=f"{file.kind}/{file.name}",
        paragraphs=paragraphs,
        breaks=chapter_starts(paragraphs) if chapters else (),
        num_bytes=len(content),
    )


def chapter_starts(paragraphs: tuple[str, ...]) -> tuple[int, ...]:
    """Indices of the paragraphs that are headings of chapters, but for the first paragraph.

    Of headings in a row (a table of contents, "BOOK II" above "CHAPTER I") only the first counts.
    """
    is_heading = [_CHAPTER.fullmatch(paragraph) is not None for paragraph in paragraphs]
    return tuple(
        index
        for index in range(1, len(paragraphs))
        if is_heading[index] and not is_heading[index - 1]
    )
