"""MediaWiki dumps: files split into parts, and the articles of a part as documents.

A dump (`pages-articles`, plain, .bz2 or .gz) is a row of `<page>` elements in a thin wrapping. Those
two tags never stand in the text of a page, where "<" is written "&lt;", so that they can be found in
the bytes without parsing, and each page is parsed alone: damage in one page costs that page only.
"""

from __future__ import annotations

import bz2
import codecs
import contextlib
import gzip
import math
import re
import zlib
from collections.abc import Iterator
from typing import BinaryIO
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from data.bzip2 import StreamReader, find_stream
from data.documents import Document, InputFile, InputPart, Reject, Skipped
from data.errors import UserError
from data.wikitext import to_paragraphs

PLAIN_PART_BYTES = 64 << 20
BZ2_PART_BYTES = 16 << 20  # as stored; the text is about four times as long
_MAX_FIRST_STREAM_BYTES = 16 << 20
# Real headers take some kilobytes, and white space separates pages.
_MAX_BYTES_AROUND_PAGES = 1 << 20
_CHUNK_BYTES = 1 << 16
_PAGE_START = re.compile(rb"<page>")
_PAGE_EDGE = re.compile(rb"</?page>")
_LONGEST_EDGE = len(b"</page>")
_AROUND = re.compile(rb"\s*(?:</mediawiki>\s*)?")
_PAGE_ID = re.compile(rb"<id>\s*(\d+)\s*</id>")
_FOOTER = b"</mediawiki>"
_AGAIN = "download it again and compare its checksum"
_DECLARED_ENCODING = re.compile(
    rb"""(?:\xef\xbb\xbf)?\s*<\?xml[^>]*?\sencoding\s*=\s*["']([^"'>]*)["']"""
)
_FIRST_ELEMENT = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?[^>]*>\s*|<!--.*?-->\s*)*<([A-Za-z][\w:.-]*)", re.DOTALL
)


def split_file(file: InputFile, *, part_bytes: int | None = None) -> list[InputPart]:
    """Divides a dump among workers; what it gives depends on the file alone.

    A plain file is cut into ranges of its bytes, of which a part yields the pages that begin there.
    So is a multistream .bz2, of which a part yields the pages of the streams that begin there. What
    can only be read from its beginning (.gz, single-stream .bz2, streams that end in the middle of
    a page, as pbzip2 writes them) is one part.

    Args:
      file: the dump.
      part_bytes: stored bytes of a part, instead of 64 MiB (plain) or 16 MiB (.bz2).
    """
    size = file.num_bytes
    if file.path.endswith(".bz2"):
        step = part_bytes or BZ2_PART_BYTES
        if size > step and not _is_multistream(file.path):
            step = size
    else:
        step = size if file.path.endswith(".gz") else part_bytes or PLAIN_PART_BYTES
    return [
        InputPart(file=file, start=start, stop=min(start + step, size))
        for start in range(0, size, max(step, 1))
    ] or [InputPart(file=file, start=0, stop=0)]  # an empty file is an error of the reader


def read_part(part: InputPart, *, max_document_bytes: int) -> Iterator[Document | Reject | Skipped]:
    """Streams what a part of a dump holds: articles as documents, and all else by its reason.

    The bytes of the items add up to those of the part, uncompressed. The parts of a plain file meet
    at the first `<page>` of each; so together they are the file, and together they yield what the
    file in one part does. Skipped are "redirect", "other namespace", "no prose" and "around pages".

    Args:
      part: of what `split_file` gave.
      max_document_bytes: a page with more bytes is rejected without being held in memory.

    Raises:
      UserError: the file is truncated, damaged, or not a MediaWiki dump in UTF-8.
    """
    name = part.file.path
    try:
        with _open_text(part) as text:
            yield from _read_pages(
                text,
                part.file,
                is_first=part.start == 0,
                max_document_bytes=max_document_bytes,
            )
    except (EOFError, OSError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's fault, not the file's
        raise UserError(f"{name}: truncated or damaged ({error}); {_AGAIN}") from error


class _Text:
    """The uncompressed bytes of a part from its first byte on, consumed from mark to mark.

    Attributes:
      position: offset of what comes next.
      stop: where the pages of the next part begin; infinite if the bytes end by themselves.
      streams: reader of the bzip2 streams, None for other files.
      must_be_whole: whether each stream has to hold whole pages, as parts of a file do.
    """

    def __init__(
        self,
        chunks: Iterator[bytes],
        *,
        position: int = 0,
        stop: float = math.inf,
        streams: StreamReader | None = None,
        must_be_whole: bool = False,
    ):
        self.position = position
        self.stop = stop
        self.streams = streams
        self.must_be_whole = must_be_whole
        self._chunks = chunks
        self._buffer = b""
        self._next = 0  # index in the buffer

    def until(self, mark: re.Pattern[bytes]) -> Iterator[bytes]:
        """Consumes what precedes the next mark, piece by piece; everything if there is none."""
        while not (match := mark.search(self._buffer, self._next)):
            # The last bytes may be the beginning of a mark.
            yield self._take(max(len(self._buffer) - _LONGEST_EDGE + 1, self._next))
            chunk = next(self._chunks, None)
            if chunk is None:
                yield self._take(len(self._buffer))
                return
            self._buffer, self._next = self._buffer[self._next :] + chunk, 0
        yield self._take(match.start())

    def starts_with(self, expected: bytes) -> bool:
        """Whether this comes next (known only where `until` has stopped)."""
        return self._buffer.startswith(expected, self._next)

    def take(self, expected: bytes) -> bytes:
        """Consumes these bytes if they come next, else b""."""
        return self._take(self._next + len(expected)) if self.starts_with(expected) else b""

    def has_page(self) -> bool:
        """Whether a page of this part comes next."""
        return self.starts_with(b"<page>") and self.position < self.stop

    def ends_the_file(self) -> bool:
        """Whether nothing comes next, neither in this part nor in another."""
        at_end = self._next == len(self._buffer)
        return at_end and (self.streams is None or self.streams.at_end)

    def place(self, position: int) -> str:
        """Says where a position is, in the same words however the file was split."""
        if self.streams is not None:
            begun, stored = max(s for s in self.streams.streams if s[0] <= position)
            if stored:
                return f"byte {position - begun} of the bzip2 stream at {stored}"
        return f"byte {position}"

    def is_cut(self, start: int) -> bool:
        """Whether a stream that must hold whole pages begins between `start` and the position."""
        for begun, _ in reversed(self.streams.streams if self.must_be_whole else ()):
            if begun <= start:
                return False
            if begun < self.position:
                return True
        return False

    def _take(self, stop: int) -> bytes:
        taken = self._buffer[self._next : stop]
        self._next = stop
        self.position += len(taken)
        return taken


@contextlib.contextmanager
def _open_text(part: InputPart) -> Iterator[_Text]:
    path = part.file.path
    if path.endswith(".gz"):
        with gzip.open(path) as file:
            yield _Text(_chunks(file))
        return
    with open(path, "rb") as file:
        if not path.endswith(".bz2"):
            file.seek(part.start)
            yield _Text(_chunks(file), position=part.start, stop=part.stop)
            return
        start = find_stream(file, part.start, part.stop) if part.start else 0
        if start is None:
            yield _Text(iter(()))
        else:
            streams = StreamReader(file, name=path, start=start, stop=part.stop)
            is_range = part.start > 0 or part.stop < part.file.num_bytes
            yield _Text(iter(streams), streams=streams, must_be_whole=is_range)


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK_BYTES):
        yield chunk


def _is_multistream(path: str) -> bool:
    """Whether a .bz2 file has a second stream, and it begins with a page as in a multistream dump."""
    with open(path, "rb") as file:
        # The first stream of a dump is its header. A longer search would read single streams twice.
        second = find_stream(file, 1, _MAX_FIRST_STREAM_BYTES)
        if second is None:
            return False
        file.seek(second)
        try:
            head = bz2.BZ2Decompressor().decompress(file.read(_CHUNK_BYTES * 16), max_length=100)
        except OSError:  # damaged; the reader says so
            return False
    return head.lstrip().startswith(b"<page>")


def _read_pages(
    text: _Text, file: InputFile, *, is_first: bool, max_document_bytes: int
) -> Iterator[Document | Reject | Skipped]:
    """Yields pages and what is around them, up to the first page of the next part."""
    is_plain = text.streams is None
    if is_plain and not is_first:
        for _ in text.until(_PAGE_START):  # the end of a page that is the previous part's
            if text.position >= text.stop:
                return
        if not text.has_page():
            return
    start, around = text.position, _take_around(text)
    if is_first:
        # The first streams of a dump may well be its header alone.
        is_part = not text.ends_the_file() and len(around) <= _MAX_BYTES_AROUND_PAGES
        _check_header(around, file.path, may_have_pages=text.starts_with(b"<page>") or is_part)
        yield Skipped(reason="around pages", num_bytes=len(around))
    elif not _AROUND.fullmatch(around):
        raise _pages_are_cut(file, text.place(start))
    elif around:
        yield Skipped(reason="around pages", num_bytes=len(around))
    while text.has_page():
        yield _read_page(text, file, max_document_bytes)
        start, around = text.position, _take_around(text)
        if around:
            yield _account_for(around, file, text.place(start))
    if text.ends_the_file() and _FOOTER not in around:
        raise UserError(f"{file.path}: truncated: it does not end with </mediawiki>; {_AGAIN}")


def _take_around(text: _Text) -> bytes:
    """What precedes the next page; a little more than a MiB if that is far away."""
    pieces, size = [], 0
    for piece in text.until(_PAGE_START):
        pieces.append(piece)
        size += len(piece)
        if size > _MAX_BYTES_AROUND_PAGES:
            break
    return b"".join(pieces)


def _account_for(around: bytes, file: InputFile, place: str) -> Skipped | Reject:
    """White space and the footer are nothing; other text was a page before it was damaged."""
    if len(around) > _MAX_BYTES_AROUND_PAGES:
        raise UserError(f"{file.path}: damaged: no <page> within a MiB after {place}; {_AGAIN}")
    if _AROUND.fullmatch(around):
        return Skipped(reason="around pages", num_bytes=len(around))
    excerpt = around.strip()[:40].decode("utf-8", "replace")
    return Reject(
        source=file.name,
        offset=place,
        reason=f"outside of any page: {excerpt!r}",
        num_bytes=len(around),
    )


def _check_header(header: bytes, path: str, *, may_have_pages: bool) -> None:
    """Raises a UserError unless this is how a MediaWiki dump in UTF-8 begins."""
    if not header and not may_have_pages:
        raise UserError(f"{path}: is empty; {_AGAIN}")
    if header.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UserError(f"{path}: is in UTF-16; convert it to UTF-8 (iconv -t UTF-8)")
    if (declared := _DECLARED_ENCODING.match(header)) and declared[1].upper() != b"UTF-8":
        encoding = declared[1].decode("ascii", "replace")
        raise UserError(
            f"{path}: declares the encoding {encoding!r}; convert it to UTF-8"
            f" (iconv -f {encoding} -t UTF-8) and mend its first line"
        )
    if re.search(rb"<!(DOCTYPE|ENTITY)", header, re.IGNORECASE):
        # It is how XML bombs start.
        raise UserError(f"{path}: declares a document type, which no MediaWiki dump does")
    first = _FIRST_ELEMENT.match(header)
    if first is None:
        raise UserError(f"{path}: not a MediaWiki dump, nor XML; plain text goes to --books")
    if first[1] != b"mediawiki":
        element = first[1][:40].decode("utf-8", "replace")
        raise UserError(
            f"{path}: not a MediaWiki dump: its first element is <{element}>, expected <mediawiki>"
        )
    if not may_have_pages:
        raise UserError(
            f"{path}: not a MediaWiki dump of pages: no <page> within the first MiB; give"
            " pages-articles files to --wiki"
        )


def _pages_are_cut(file: InputFile, place: str) -> UserError:
    return UserError(
        f"{file.path}: a bzip2 stream begins or ends within a page, at {place}: the file was"
        " compressed by pbzip2 or the like; recompress it (bzip2 -dc FILE | bzip2 > NEW.bz2)"
    )


def _read_page(
    text: _Text, file: InputFile, max_document_bytes: int
) -> Document | Reject | Skipped:
    """Consumes one page: from its `<page>`, which comes next, to its `</page>`."""
    start = text.position
    pieces = [text.take(b"<page>")]
    for piece in text.until(_PAGE_EDGE):
        if piece:
            pieces.append(piece)
        if text.position - start > max_document_bytes:
            del pieces[2:]  # read on, but hold no more than its beginning
    end = text.take(b"</page>")
    is_unfinished = not end and not text.starts_with(b"<page>")
    if text.is_cut(start) or (is_unfinished and not text.ends_the_file()):
        raise _pages_are_cut(file, text.place(start))
    if is_unfinished:
        raise UserError(
            f"{file.path}: truncated: it ends within the page at {text.place(start)}; {_AGAIN}"
        )
    content, num_bytes = b"".join([*pieces, end]), text.position - start
    try:
        if num_bytes > max_document_bytes:
            raise ValueError(f"larger than max_document_bytes={max_document_bytes}")
        if not end:
            raise ValueError("has no </page>")
        return _to_document(content)
    except Exception as error:  # one page in millions must not stop a build of days
        page_id = _PAGE_ID.search(content)
        number = f" (page {page_id[1].decode()})" if page_id else ""
        return Reject(
            source=file.name,
            offset=text.place(start) + number,
            reason=_reason(error),
            num_bytes=num_bytes,
        )


def _to_document(page: bytes) -> Document | Skipped:
    """The article that a page is; raises an exception of any kind if it cannot be read."""
    page.decode()  # the parser would not say what is wrong
    fields: dict[str, str] = {}
    for element in fromstring(page, forbid_dtd=True).iter():
        # The first <id> is the page's; those of the revision and its contributor follow.
        fields.setdefault(element.tag, element.text or "")
    wikitext = fields.get("text", "")

    def skip(reason: str) -> Skipped:
        return Skipped(reason=reason, num_bytes=len(page))

    if "redirect" in fields or wikitext.lstrip()[:9].upper() == "#REDIRECT":
        return skip("redirect")
    if fields.get("ns", "0") != "0":
        return skip("other namespace")
    page_id = fields.get("id", "").strip()
    if not page_id.isdecimal():
        raise ValueError("has no page id")
    paragraphs, section_bytes = to_paragraphs(wikitext)
    if not paragraphs:
        return skip("no prose")
    return Document(
        id=f"wiki/{page_id}",
        paragraphs=tuple(paragraphs),
        num_bytes=len(page),
        section_bytes=section_bytes,
    )


def _reason(error: Exception) -> str:
    """Why a page is rejected, in a line."""
    match error:
        case UnicodeDecodeError():
            return f"not UTF-8: {error.object[error.start]:#04x} at byte {error.start} of the page"
        case ParseError() | DefusedXmlException():
            return f"not well-formed XML: {error}"
        case ValueError():
            return str(error)
        case _:
            return f"cannot be cleaned: {type(error).__name__}: {error}"
