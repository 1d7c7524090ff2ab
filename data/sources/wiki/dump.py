"""Read the articles of a part of a MediaWiki dump as documents.

A dump (`pages-articles`, plain or compressed) is a sequence of `<page>` elements between a header and
a footer. The text of a page writes "<" as "&lt;", so `<page>` and `</page>` can be found in the bytes
without parsing. Each page is parsed on its own: a damaged page affects no other.
"""

from __future__ import annotations

import codecs
import dataclasses
import functools
import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from data.errors import UserError
from data.sources.documents import Document, InputFile, InputPart, Reject, Skipped
from data.sources.recursion import retry_on_empty_stack
from data.sources.streams import ByteCounter
from data.sources.wiki.parts import PAGE_START, PAGE_TAG, PartReader, open_part, read_site
from data.sources.wiki.site import Site
from data.sources.wiki.wikitext import to_article

# Real headers have a few kilobytes, and between pages there is white space only.
_MAX_BYTES_BETWEEN_PAGES = 1 << 20
_BETWEEN_PAGES = re.compile(rb"\s*(?:</mediawiki>\s*)?")
_PAGE_ID = re.compile(rb"<id>\s*(\d+)\s*</id>")
_FOOTER = b"</mediawiki>"
_DOWNLOAD_AGAIN = "download it again and compare its checksum"
_DECLARED_ENCODING = re.compile(
    rb"""(?:\xef\xbb\xbf)?\s*<\?xml[^>]*?\sencoding\s*=\s*["']([^"'>]*)["']"""
)
_FIRST_ELEMENT = re.compile(
    # Possessive quantifiers: no backtracking over a long run of comments.
    rb"(?:\xef\xbb\xbf)?\s*+(?:<\?[^>]*+>\s*+|<!--.*?-->\s*+)*+<([A-Za-z][\w:.-]*)",
    re.DOTALL,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Dump:
    """Settings and facts shared by all pages of a file."""

    file: InputFile
    max_document_bytes: int

    @functools.cached_property
    def site(self) -> Site:
        """The wiki. Read on demand: a small part may have no page."""
        return read_site(self.file)

    @property
    def id_prefix(self) -> str:
        """First components of the document ids."""
        return "/".join(filter(None, [self.file.kind, self.site.database]))


def read_part(
    part: InputPart, *, max_document_bytes: int, counter: ByteCounter | None = None
) -> Iterator[Document | Reject | Skipped]:
    """Stream the articles of a part as documents, and everything else as skipped or rejected bytes.

    `num_bytes` of the items add up to the uncompressed bytes of the part. Adjacent parts of a plain
    file meet at a `<page>`, so together they yield the same items as the file in a single part. The
    reasons for skipping are "redirect", "other namespace", "not wikitext" (pages of code or data),
    "no prose" and "around pages". Of a page with several revisions the newest counts.

    Document ids are "wiki/enwiki/12": the wiki's name from the header of the dump, and the page id,
    which is unique within a wiki. Without a name in the header they are "wiki/12".

    Args:
      part: part from `parts.split_file`.
      max_document_bytes: size limit; a larger page is rejected without being held in memory.
      counter: counter of the bytes read.

    Raises:
      UserError: the file is truncated, damaged, or not a MediaWiki dump in UTF-8.
    """
    dump = _Dump(file=part.file, max_document_bytes=max_document_bytes)
    with open_part(part, counter) as reader:
        yield from _read_pages(reader, dump, is_first=part.start == 0)


def check_head(file: InputFile, head: bytes) -> None:
    """Raise a UserError if a file is not a MediaWiki dump in UTF-8.

    Args:
      file: file.
      head: its first uncompressed bytes.
    """
    header, *pages = PAGE_START.split(head, maxsplit=1)
    _check_header(header, file.path, may_have_pages=bool(pages or head))


def _read_pages(
    reader: PartReader, dump: _Dump, *, is_first: bool
) -> Iterator[Document | Reject | Skipped]:
    """Yield the pages of a part, and the bytes before, between and after them."""
    start, between = reader.position, _take_until_page(reader)
    if is_first:
        # The first stream of a multistream dump may hold nothing but the header.
        may_have_pages = reader.starts_with(b"<page>") or (
            not reader.is_at_end_of_file() and len(between) <= _MAX_BYTES_BETWEEN_PAGES
        )
        _check_header(between, dump.file.path, may_have_pages=may_have_pages)
        yield Skipped(reason="around pages", num_bytes=len(between))
    elif len(between) > _MAX_BYTES_BETWEEN_PAGES or not _BETWEEN_PAGES.fullmatch(between):
        raise _cut_page_error(dump, reader.describe(start))
    elif between:
        yield Skipped(reason="around pages", num_bytes=len(between))
    while reader.starts_with(b"<page>"):
        yield _read_page(reader, dump)
        start, between = reader.position, _take_until_page(reader)
        if between:
            yield _skip_or_reject(between, dump, reader.describe(start))
    if reader.is_at_end_of_file() and _FOOTER not in between:
        raise UserError(
            f"{dump.file.path}: truncated: it does not end with </mediawiki>; {_DOWNLOAD_AGAIN}"
        )


def _take_until_page(reader: PartReader) -> bytes:
    """Consume the bytes before the next page; stop a little after a MiB."""
    chunks, num_bytes = [], 0
    for chunk in reader.read_until(PAGE_START):
        chunks.append(chunk)
        num_bytes += len(chunk)
        if num_bytes > _MAX_BYTES_BETWEEN_PAGES:
            break
    return b"".join(chunks)


def _skip_or_reject(between: bytes, dump: _Dump, offset: str) -> Skipped | Reject:
    """Skip white space and the footer; reject other text, which is what is left of a damaged page."""
    if len(between) > _MAX_BYTES_BETWEEN_PAGES:
        raise UserError(
            f"{dump.file.path}: damaged: no <page> within a MiB after {offset}; {_DOWNLOAD_AGAIN}"
        )
    if _BETWEEN_PAGES.fullmatch(between):
        return Skipped(reason="around pages", num_bytes=len(between))
    excerpt = between.strip()[:40].decode("utf-8", "replace")
    return Reject(
        source=dump.file.name,
        offset=offset,
        reason=f"outside of any page: {excerpt!r}",
        num_bytes=len(between),
    )


def _check_header(header: bytes, path: str, *, may_have_pages: bool) -> None:
    """Raise a UserError unless the header is that of a MediaWiki dump in UTF-8."""
    if not header and not may_have_pages:
        raise UserError(f"{path}: is empty; {_DOWNLOAD_AGAIN}")
    if header.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UserError(f"{path}: is in UTF-16; convert it to UTF-8 (iconv -t UTF-8)")
    if (declared := _DECLARED_ENCODING.match(header)) and declared[1].upper() != b"UTF-8":
        encoding = declared[1].decode("ascii", "replace")
        raise UserError(
            f"{path}: declares the encoding {encoding!r}; convert it to UTF-8"
            f" (iconv -f {encoding} -t UTF-8) and correct its first line"
        )
    if re.search(rb"<!(DOCTYPE|ENTITY)", header, re.IGNORECASE):
        # Entities can expand to gigabytes ("billion laughs").
        raise UserError(f"{path}: declares a document type, which no MediaWiki dump does")
    first = _FIRST_ELEMENT.match(header)
    if first is None:
        raise UserError(f"{path}: neither a MediaWiki dump nor XML; give plain text to --books")
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


def _cut_page_error(dump: _Dump, offset: str) -> UserError:
    return UserError(
        f"{dump.file.path}: a bzip2 stream begins or ends within a page, at {offset}: the file was"
        " compressed by pbzip2 or the like; recompress it (bzip2 -dc FILE | bzip2 > NEW.bz2)"
    )


def _read_page(reader: PartReader, dump: _Dump) -> Document | Reject | Skipped:
    """Consume one page, from `<page>`, which comes next, to `</page>`."""
    start = reader.position
    chunks = [reader.take(b"<page>")]
    for chunk in reader.read_until(PAGE_TAG):
        if chunk:
            chunks.append(chunk)
        if reader.position - start > dump.max_document_bytes:
            del chunks[2:]  # read on, but hold no more than the beginning
    end_tag = reader.take(b"</page>")
    is_unfinished = not end_tag and not reader.is_before_page()
    if reader.is_cut(start) or (is_unfinished and not reader.is_at_end_of_file()):
        raise _cut_page_error(dump, reader.describe(start))
    if is_unfinished:
        raise UserError(
            f"{dump.file.path}: truncated: it ends within the page at {reader.describe(start)};"
            f" {_DOWNLOAD_AGAIN}"
        )
    page, num_bytes = b"".join([*chunks, end_tag]), reader.position - start
    site, id_prefix = dump.site, dump.id_prefix
    try:
        if num_bytes > dump.max_document_bytes:
            raise ValueError(f"larger than max_document_bytes={dump.max_document_bytes}")
        if not end_tag:
            raise ValueError("has no </page>")
        return retry_on_empty_stack(_parse_page, page, id_prefix, site)
    except (MemoryError, OSError):  # faults of the machine, not of the page
        raise
    except Exception as error:  # one bad page in millions must not stop a long build
        match = _PAGE_ID.search(page)
        page_id = f" (page {match[1].decode()})" if match else ""
        return Reject(
            source=dump.file.name,
            offset=reader.describe(start) + page_id,
            reason=_describe_error(error),
            num_bytes=num_bytes,
        )


def _parse_page(page: bytes, id_prefix: str, site: Site) -> Document | Skipped:
    """Return the article of a page; raise any exception if it cannot be read."""
    page.decode()  # raises a clearer error than the parser
    root = fromstring(page, forbid_dtd=True)
    revision = max(root.findall("revision"), key=_age_key, default=root)
    wikitext = revision.findtext("text") or ""

    def skip(reason: str) -> Skipped:
        return Skipped(reason=reason, num_bytes=len(page))

    if root.find("redirect") is not None or wikitext.lstrip()[:9].upper() == "#REDIRECT":
        return skip("redirect")
    namespace = root.findtext("ns") or str(site.namespace_of(root.findtext("title") or ""))
    if namespace != "0":
        return skip("other namespace")
    if (revision.findtext("model") or "wikitext") != "wikitext":
        return skip("not wikitext")
    page_id = (root.findtext("id") or "").strip()
    if not page_id.isdecimal():
        raise ValueError("has no page id")
    article = to_article(wikitext, site)
    if not article.paragraphs:
        return dataclasses.replace(skip("no prose"), other_bytes=article.other_bytes)
    return Document(
        id=f"{id_prefix}/{page_id}",
        paragraphs=tuple(article.paragraphs),
        num_bytes=len(page),
        section_bytes=article.section_bytes,
        other_bytes=article.other_bytes,
    )


def _age_key(revision: Element) -> tuple[bool, str, int]:
    """Order revisions: the newest one that has a text is the largest."""
    text, number = revision.find("text"), (revision.findtext("id") or "").strip()
    is_deleted = text is None or text.get("deleted") is not None
    timestamp = (revision.findtext("timestamp") or "").strip()
    return not is_deleted, timestamp, int(number) if number.isdecimal() else 0


def _describe_error(error: Exception) -> str:
    """Return the reason why a page is rejected, in one line."""
    match error:
        case UnicodeDecodeError():
            return f"not UTF-8: {error.object[error.start]:#04x} at byte {error.start} of the page"
        case ParseError() | DefusedXmlException():
            return f"not well-formed XML: {error}"
        case ValueError():
            return str(error)
        case _:
            return f"cannot be cleaned: {type(error).__name__}: {error}"
