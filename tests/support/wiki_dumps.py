"""MediaWiki dumps made for tests, and what the reader says of them."""

import bz2
import itertools
import re

from data.sources.documents import InputFile, Skipped
from data.sources.wiki import dump as wiki
from data.sources.wiki import parts as wiki_parts

HEADER = '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/">\n'
FOOTER = "</mediawiki>\n"
AROUND = "around pages"


def page(text: str, *, ns: int = 0, page_id: int = 1, extra: str = "") -> str:
    return (
        f"<page><title>T</title><ns>{ns}</ns><id>{page_id}</id>{extra}"
        f"<revision><id>99</id><text>{text}</text></revision></page>"
    )


def dump_of(*pages: str) -> bytes:
    return (HEADER + "".join(pages) + FOOTER).encode()


def stored(tmp_path, content: bytes, name: str = "d.xml") -> InputFile:
    path = tmp_path / name
    path.write_bytes(content)
    return InputFile(kind="wiki", path=str(path), name=name, num_bytes=len(content))


def read(file: InputFile, *, part_bytes: int | None = None, max_document_bytes: int = 10**6):
    """What all parts yield, one list per part."""
    return [
        list(wiki.read_part(part, max_document_bytes=max_document_bytes))
        for part in wiki_parts.split_file(file, part_bytes=part_bytes)
    ]


def read_whole(tmp_path, content: bytes, **settings):
    (items,) = read(stored(tmp_path, content), **settings)
    assert sum(item.num_bytes for item in items) == len(content)
    return items


def pages_of(xml: bytes) -> list[bytes]:
    """Header, pages (each with the white space after it) and footer of a dump."""
    return re.split(rb"(?=<page>)|(?=</mediawiki>)", xml)


def multistream(xml: bytes, pages_per_stream: int) -> bytes:
    """As Wikipedia's dumps are: the header, then some pages at a time, then the footer."""
    header, *pages, footer = pages_of(xml)
    groups = batches(pages, pages_per_stream)
    return b"".join(bz2.compress(b"".join(group)) for group in [[header], *groups, [footer]])


def batches(values: list, size: int) -> list[list]:
    return [values[start : start + size] for start in range(0, len(values), size)]


def flat(parts: list[list]) -> list:
    return list(itertools.chain.from_iterable(parts))


def merged(parts: list[list]) -> list:
    """Items in order, but what is around pages in one piece: streams and parts may cut it."""
    items = []
    for item in flat(parts):
        both_around = all(getattr(i, "reason", "") == AROUND for i in [*items[-1:], item])
        if items and both_around:
            items[-1] = Skipped(reason=AROUND, num_bytes=items[-1].num_bytes + item.num_bytes)
        else:
            items.append(item)
    return items


def cut_streams(xml: bytes, size: int) -> bytes:
    """As pbzip2 compresses: a stream every so many bytes."""
    pieces = [xml[start : start + size] for start in range(0, len(xml), size)]
    return b"".join(map(bz2.compress, pieces))
