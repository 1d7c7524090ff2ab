"""Make MediaWiki dumps for tests, and read them."""

import bz2
import itertools
import re

from data.sources.documents import InputFile, Skipped
from data.sources.wiki import dump as wiki
from data.sources.wiki import parts as wiki_parts

HEADER = '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/">\n'
FOOTER = "</mediawiki>\n"
AROUND = "around pages"  # reason of a Skipped item


def page(text: str, *, ns: int = 0, page_id: int = 1, extra: str = "") -> str:
    return (
        f"<page><title>T</title><ns>{ns}</ns><id>{page_id}</id>{extra}"
        f"<revision><id>99</id><text>{text}</text></revision></page>"
    )


def dump_of(*pages: str) -> bytes:
    return (HEADER + "".join(pages) + FOOTER).encode()


def store(tmp_path, content: bytes, name: str = "d.xml") -> InputFile:
    path = tmp_path / name
    path.write_bytes(content)
    return InputFile(kind="wiki", path=str(path), name=name, num_bytes=len(content))


def read_parts(file: InputFile, *, part_bytes: int | None = None, max_document_bytes: int = 10**6):
    """Return the items of a dump, one list per part."""
    return [
        list(wiki.read_part(part, max_document_bytes=max_document_bytes))
        for part in wiki_parts.split_file(file, part_bytes=part_bytes)
    ]


def read_whole(tmp_path, content: bytes, **settings):
    """Return the items of a dump in one part; assert that they account for every byte."""
    (items,) = read_parts(store(tmp_path, content), **settings)
    assert sum(item.num_bytes for item in items) == len(content)
    return items


def split_pages(xml: bytes) -> list[bytes]:
    """Split a dump into header, pages (each with the white space after it) and footer."""
    return re.split(rb"(?=<page>)|(?=</mediawiki>)", xml)


def multistream(xml: bytes, pages_per_stream: int) -> bytes:
    """Compress header, groups of pages and footer as streams, as in Wikipedia's dumps."""
    header, *pages, footer = split_pages(xml)
    groups = batches(pages, pages_per_stream)
    return b"".join(bz2.compress(b"".join(group)) for group in [[header], *groups, [footer]])


def batches(values: list, size: int) -> list[list]:
    return [values[start : start + size] for start in range(0, len(values), size)]


def flatten(parts: list[list]) -> list:
    return list(itertools.chain.from_iterable(parts))


def merge_skipped(parts: list[list]) -> list:
    """Return the items in order; merge adjacent skipped bytes, which streams and parts may split."""
    items = []
    for item in flatten(parts):
        both_around = all(getattr(i, "reason", "") == AROUND for i in [*items[-1:], item])
        if items and both_around:
            items[-1] = Skipped(reason=AROUND, num_bytes=items[-1].num_bytes + item.num_bytes)
        else:
            items.append(item)
    return items


def cut_streams(xml: bytes, size: int) -> bytes:
    """Compress every `size` bytes as a stream, as pbzip2 does."""
    pieces = [xml[start : start + size] for start in range(0, len(xml), size)]
    return b"".join(map(bz2.compress, pieces))
