"""Read whole files of plain text as documents, with or without the conventions of books."""

from __future__ import annotations

import re
from collections.abc import Iterator

from data.errors import UserError
from data.sources.archives import Member, is_archive, read_members
from data.sources.compressed.codecs import is_compressed
from data.sources.documents import (
    Document,
    InputFile,
    InputPart,
    Reject,
    Skipped,
    join_lines,
    split_lines,
)
from data.sources.streams import ByteCounter, DamagedError, open_chunks

# "*** START OF THE PROJECT GUTENBERG EBOOK ... ***", perhaps indented or over two or three lines; and the
# marks of older books: the end of the "small print" before the text, and a line after it.
_GUTENBERG_MARK = re.compile(
    rb"^[ \t]*(?:"
    rb"\*\*\* ?(?P<kind>START|END) OF (?:THE|THIS) PROJECT GUTENBERG"
    rb"(?:[^\n]*\n(?![ \t\r]*\n)){0,2}?[^\n]*?\*\*\*[ \t\r]*$"
    rb"|\*\*\* ?(?P<line>START|END) OF (?:THE|THIS) PROJECT GUTENBERG[^\n]*$"
    rb"|\*+ ?END ?\*? ?(?P<print>THE SMALL PRINT!)[^\n]*$"
    rb"|(?P<last>End of (?:the |this )?Project Gutenberg)\b[^\n]*$"
    rb")",
    re.M | re.I,
)
_NUMBER = (
    r"([IVXLC]+|\d+|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|"
    r"(thir|four|fif|six|seven|eigh|nine)teen|(twen|thir|for|fif)ty([ -]\w+)?|"
    r"(the )?(first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|last))"
)
# After the number: nothing, a title after punctuation, or a capitalised title without a full stop.
_TITLE = r"(\s*[.:,\u2013\u2014-].{0,80}|\s+(?-i:[A-Z\"'\u2018\u201c]).{0,80}(?<![.!?]))?"
# A heading that is a whole paragraph: "CHAPTER IV. The Storm", "Act 1", "Epilogue".
_CHAPTER = re.compile(
    rf"(chapter|book|part|volume|act|canto|letter|stave)\s+{_NUMBER}\b{_TITLE}|"
    rf"(the\s+)?(prologue|epilogue|preface|foreword|introduction|afterword|appendix)\b{_TITLE}",
    re.I,
)


def read_book(
    part: InputPart, *, max_document_bytes: int, counter: ByteCounter | None = None
) -> Iterator[Document | Reject | Skipped]:
    """Read one book, or an archive of books, and mark where chapters begin.

    Project Gutenberg's header and licence are skipped. If a file holds several of its books, each
    becomes a document.

    Args:
      part: whole file of UTF-8 text, or a tar archive of such files, plain or compressed.
      max_document_bytes: size limit; a larger file is rejected.
      counter: counter of the bytes read.

    Yields:
      The documents, or a reject if the file is too large, not UTF-8, damaged or without text.

    Raises:
      UserError: the file is a MediaWiki dump, or a damaged archive.
    """
    for text in _read_texts(part.file, max_document_bytes, counter):
        if not isinstance(text, Member):
            yield text
            continue
        books = _find_books(text.content)
        if licence := len(text.content) - sum(stop - start for start, stop in books):
            yield Skipped(reason="licence", num_bytes=licence)
        for start, stop in books:
            name = text.name if len(books) == 1 else f"{text.name}#{start}"
            book = Member(name, text.content[start:stop])
            yield _to_document(part.file, text.name, book, offset=start, has_chapters=True)


def read_text(
    part: InputPart, *, max_document_bytes: int, counter: ByteCounter | None = None
) -> Iterator[Document | Reject | Skipped]:
    """Read each file of plain text as one document. Arguments and errors as for `read_book`."""
    for text in _read_texts(part.file, max_document_bytes, counter):
        if isinstance(text, Member):
            yield _to_document(part.file, text.name, text, offset=0, has_chapters=False)
        else:
            yield text


def _read_texts(
    file: InputFile, limit: int, counter: ByteCounter | None
) -> Iterator[Member | Reject | Skipped]:
    """Yield the files of an archive, or the file itself if it is none."""
    if is_archive(file.path):
        yield from read_members(file, max_bytes=limit, counter=counter)
    else:
        yield _read_file(file, limit, counter)


def _read_file(file: InputFile, limit: int, counter: ByteCounter | None) -> Member | Reject:
    """Return the content of a file, or a reject if it exceeds the limit or is damaged."""
    chunks_read: list[bytes] = []
    num_bytes, reason = 0, ""
    try:
        with open_chunks(file.path, counter=counter) as chunks:
            for chunk in chunks:
                num_bytes += len(chunk)
                if num_bytes <= limit:
                    chunks_read.append(chunk)
                    continue
                reason = f"larger than BuildConfig.max_document_bytes={limit}"
                # Plain files are read to the end, to count their bytes. A decompression bomb is not:
                # a few kilobytes can become many gigabytes.
                if is_compressed(file.path):
                    break
    except DamagedError as error:
        reason = f"cannot be read: {error.__cause__}"
    if reason:
        return Reject(source=file.name, offset="byte 0", reason=reason, num_bytes=num_bytes)
    return Member(file.name, b"".join(chunks_read))


def _find_books(content: bytes) -> list[tuple[int, int]]:
    """Return the byte range [start, stop) of each book between Project Gutenberg's marks.

    A file without marks is one book. A book without an END mark ends at the next START mark; one
    without a START mark begins at the start of the file.
    """
    books: list[tuple[int, int]] = []
    start: int | None = 0  # of the current book, None between two books
    has_header = False
    for position, stop, is_start in _gutenberg_marks(content):
        # The text before the first START mark is a header.
        if start is not None and (has_header or not is_start):
            books.append((start, position))
        start = stop if is_start else None
        has_header = True
    if start is not None:
        books.append((start, len(content)))
    return [book for book in books if content[slice(*book)].strip()] or books[:1]


def _gutenberg_marks(content: bytes) -> list[tuple[int, int, bool]]:
    """Return start and stop of each mark in bytes, and whether a book begins after it."""
    marks: list[tuple[int, int, bool]] = []
    is_small_print = False
    for found in _GUTENBERG_MARK.finditer(content):
        is_start = (
            bool(found["print"]) or (found["kind"] or found["line"] or b"").upper() == b"START"
        )
        if is_start and is_small_print:  # the text begins after the later one of two
            marks.pop()
        marks.append((found.start(), found.end(), is_start))
        is_small_print = bool(found["print"])
    return marks


def _to_document(
    file: InputFile, source: str, text_file: Member, *, offset: int, has_chapters: bool
) -> Document | Reject:
    """Decode text into a document; `offset` is the position of the text in its source, in bytes."""
    content = text_file.content

    def reject(position: int, reason: str) -> Reject:
        return Reject(
            source=source,
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
    paragraphs = tuple(join_lines(split_lines(text)))
    if not paragraphs:
        return reject(0, "no text")
    return Document(
        id=f"{file.kind}/{text_file.name}",
        paragraphs=paragraphs,
        breaks=chapter_starts(paragraphs) if has_chapters else (),
        num_bytes=len(content),
    )


def chapter_starts(paragraphs: tuple[str, ...]) -> tuple[int, ...]:
    """Return the indices of the paragraphs that are chapter headings, except for paragraph 0.

    Of consecutive headings (a table of contents, "BOOK II" above "CHAPTER I") only the first counts.
    """
    is_heading = [_CHAPTER.fullmatch(paragraph) is not None for paragraph in paragraphs]
    return tuple(
        index
        for index in range(1, len(paragraphs))
        if is_heading[index] and not is_heading[index - 1]
    )
