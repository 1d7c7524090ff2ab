"""MediaWiki dumps: files split into parts, and the articles of a part as documents.

A dump (`pages-articles`, plain, .bz2 or .gz) is a row of `<page>` elements in a thin wrapping. Those
two tags never stand in the text of a page, where "<" is written "&lt;", so that they can be found in
the bytes without parsing, and each page is parsed alone: damage in one page costs that page only.
"""

from __future__ import annotations

import codecs
import dataclasses
import functools
import re
from collections.abc import Iterator
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from data.errors import UserError
from data.sources.documents import Document, InputFile, InputPart, Reject, Skipped
from data.sources.recursion import with_full_stack
from data.sources.streams import ByteCounter
from data.sources.wiki.parts import PAGE_EDGE, PAGE_START, PartText, database_name, open_part
from data.sources.wiki.wikitext import to_paragraphs

# Real headers take some kilobytes, and white space separates pages.
_MAX_BYTES_AROUND_PAGES = 1 << 20
_AROUND = re.compile(rb"\s*(?:</mediawiki>\s*)?")
_PAGE_ID = re.compile(rb"<id>\s*(\d+)\s*</id>")
_FOOTER = b"</mediawiki>"
_AGAIN = "download it again and compare its checksum"
_DECLARED_ENCODING = re.compile(
    rb"""(?:\xef\xbb\xbf)?\s*<\?xml[^>]*?\sencoding\s*=\s*["']([^"'>]*)["']"""
)
_FIRST_ELEMENT = re.compile(
    # Possessive: of many comments in a row none is tried twice.
    rb"(?:\xef\xbb\xbf)?\s*+(?:<\?[^>]*+>\s*+|<!--.*?-->\s*+)*+<([A-Za-z][\w:.-]*)",
    re.DOTALL,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Dump:
    """What all pages of a file share."""

    file: InputFile
    max_document_bytes: int

    @functools.cached_property
    def id_prefix(self) -> str:
        """How the ids of its articles begin. Read late: most parts of tiny ranges have no page."""
        return "/".join(filter(None, [self.file.kind, database_name(self.file)]))


def read_part(
    part: InputPart, *, max_document_bytes: int, counter: ByteCounter | None = None
) -> Iterator[Document | Reject | Skipped]:
    """Streams what a part of a dump holds: articles as documents, and all else by its reason.

    The bytes of the items add up to those of the part, uncompressed. The parts of a plain file meet
    at the first `<page>` of each; so together they are the file, and together they yield what the
    file in one part does. Skipped are "redirect", "other namespace", "no prose" and "around pages".

    An article is "wiki/enwiki/12": pages are numbered within a wiki, and the header of a dump names
    the wiki. It is "wiki/12" without such a name.

    Args:
      part: of what `split_file` gave.
      max_document_bytes: a page with more bytes is rejected without being held in memory.
      counter: counts the bytes that were read; those of the items must add up to the same.

    Raises:
      UserError: the file is truncated, damaged, or not a MediaWiki dump in UTF-8.
    """
    dump = _Dump(file=part.file, max_document_bytes=max_document_bytes)
    with open_part(part, counter) as text:
        yield from _read_pages(text, dump, is_first=part.start == 0)


def _read_pages(
    text: PartText, dump: _Dump, *, is_first: bool
) -> Iterator[Document | Reject | Skipped]:
    """Yields pages and what is around them."""
    start, around = text.position, _take_around(text)
    if is_first:
        # The first streams of a dump may well be its header alone.
        is_part = not text.ends_the_file() and len(around) <= _MAX_BYTES_AROUND_PAGES
        _check_header(around, dump.file.path, may_have_pages=text.starts_with(b"<page>") or is_part)
        yield Skipped(reason="around pages", num_bytes=len(around))
    elif len(around) > _MAX_BYTES_AROUND_PAGES or not _AROUND.fullmatch(around):
        raise _pages_are_cut(dump, text.place(start))
    elif around:
        yield Skipped(reason="around pages", num_bytes=len(around))
    while text.starts_with(b"<page>"):
        yield _read_page(text, dump)
        start, around = text.position, _take_around(text)
        if around:
            yield _account_for(around, dump, text.place(start))
    if text.ends_the_file() and _FOOTER not in around:
        raise UserError(f"{dump.file.path}: truncated: it does not end with </mediawiki>; {_AGAIN}")


def _take_around(text: PartText) -> bytes:
    """What precedes the next page; a little more than a MiB if that is far away."""
    pieces, size = [], 0
    for piece in text.until(PAGE_START):
        pieces.append(piece)
        size += len(piece)
        if size > _MAX_BYTES_AROUND_PAGES:
            break
    return b"".join(pieces)


def _account_for(around: bytes, dump: _Dump, place: str) -> Skipped | Reject:
    """White space and the footer are nothing; other text was a page before it was damaged."""
    if len(around) > _MAX_BYTES_AROUND_PAGES:
        raise UserError(
            f"{dump.file.path}: damaged: no <page> within a MiB after {place}; {_AGAIN}"
        )
    if _AROUND.fullmatch(around):
        return Skipped(reason="around pages", num_bytes=len(around))
    excerpt = around.strip()[:40].decode("utf-8", "replace")
    return Reject(
        source=dump.file.name,
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


def _pages_are_cut(dump: _Dump, place: str) -> UserError:
    return UserError(
        f"{dump.file.path}: a bzip2 stream begins or ends within a page, at {place}: the file was"
        " compressed by pbzip2 or the like; recompress it (bzip2 -dc FILE | bzip2 > NEW.bz2)"
    )


def _read_page(text: PartText, dump: _Dump) -> Document | Reject | Skipped:
    """Consumes one page: from its `<page>`, which comes next, to its `</page>`."""
    start = text.position
    pieces = [text.take(b"<page>")]
    for piece in text.until(PAGE_EDGE):
        if piece:
            pieces.append(piece)
        if text.position - start > dump.max_document_bytes:
            del pieces[2:]  # read on, but hold no more than its beginning
    end = text.take(b"</page>")
    is_unfinished = not end and not text.precedes_page()
    if text.is_cut(start) or (is_unfinished and not text.ends_the_file()):
        raise _pages_are_cut(dump, text.place(start))
    if is_unfinished:
        raise UserError(
            f"{dump.file.path}: truncated: it ends within the page at {text.place(start)}; {_AGAIN}"
        )
    content, num_bytes = b"".join([*pieces, end]), text.position - start
    id_prefix = dump.id_prefix
    try:
        if num_bytes > dump.max_document_bytes:
            raise ValueError(f"larger than max_document_bytes={dump.max_document_bytes}")
        if not end:
            raise ValueError("has no </page>")
        return with_full_stack(_to_document, content, id_prefix)
    except (MemoryError, OSError):  # the machine's fault, not the page's
        raise
    except Exception as error:  # one page in millions must not stop a build of days
        page_id = _PAGE_ID.search(content)
        number = f" (page {page_id[1].decode()})" if page_id else ""
        return Reject(
            source=dump.file.name,
            offset=text.place(start) + number,
            reason=_reason(error),
            num_bytes=num_bytes,
        )


def _to_document(page: bytes, id_prefix: str) -> Document | Skipped:
    """The article that a page is; raises an exception of any kind if it cannot be read."""
    page.decode()  # the parser would not say what is wrong
    root = fromstring(page, forbid_dtd=True)
    wikitext = root.findtext("revision/text") or ""

    def skip(reason: str) -> Skipped:
        return Skipped(reason=reason, num_bytes=len(page))

    if root.find("redirect") is not None or wikitext.lstrip()[:9].upper() == "#REDIRECT":
        return skip("redirect")
    if (root.findtext("ns") or "0") != "0":
        return skip("other namespace")
    page_id = (root.findtext("id") or "").strip()
    if not page_id.isdecimal():
        raise ValueError("has no page id")
    paragraphs, section_bytes = to_paragraphs(wikitext)
    if not paragraphs:
        return skip("no prose")
    return Document(
        id=f"{id_prefix}/{page_id}",
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
