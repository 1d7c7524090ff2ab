import bz2
import gzip
import os
import re
import time

import pytest

from data.errors import UserError
from data.sources.documents import Document, InputFile, InputPart, Reject, Skipped
from data.sources.wiki import dump as wiki
from tests.support.wiki_dumps import (
    FOOTER,
    HEADER,
    dump_of,
    flatten,
    merge_skipped,
    multistream,
    page,
    read_parts,
    read_whole,
    split_pages,
    store,
)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (page("<b>x", page_id=7), "not well-formed XML: mismatched tag: line 1, column"),
        (page("x &nbsp; y", page_id=7), "not well-formed XML: undefined entity"),
        (page("<!DOCTYPE x>", page_id=7), "not well-formed XML: "),
        (page("x", page_id=7)[:-7], "has no </page>"),
        (page("x" * 2000, page_id=7), "larger than max_document_bytes=1000"),
    ],
)
def test_a_bad_page_is_rejected_alone(tmp_path, bad, reason):
    content = dump_of(page("One."), bad, page("Two.", page_id=2))
    items = read_whole(tmp_path, content, max_document_bytes=1000)
    assert [type(item) for item in items[1:-1]] == [Document, Reject, Document]
    reject = items[2]
    assert reject.source == "d.xml"
    assert reject.offset == f"byte {len(HEADER) + len(page('One.'))} (page 7)"
    assert reject.reason.startswith(reason)
    assert reject.num_bytes == len(bad)


def test_a_page_that_is_not_utf8_is_rejected_alone(tmp_path):
    content = dump_of(page("One."), page("T?o.", page_id=2), page("Three.", page_id=3))
    items = read_whole(tmp_path, content.replace(b"?", b"\xff"))
    assert items[2].reason == "not UTF-8: 0xff at byte 70 of the page"
    assert [item.id for item in (items[1], items[3])] == ["wiki/1", "wiki/3"]


@pytest.mark.parametrize("number", ["", "<id>9</id>"])
def test_a_page_without_an_id_is_rejected(tmp_path, number):
    revision = f"<revision>{number}<text>Some text that is long enough to stay.</text></revision>"
    reject = read_whole(tmp_path, dump_of(f"<page>{revision}</page>"))[1]
    assert (reject.offset.partition(" (")[0], reject.reason) == (
        f"byte {len(HEADER)}",
        "has no page id",
    )


def test_many_comments_before_the_first_element_take_linear_time(tmp_path):
    content = b"<!---->" * 20_000 + b"x<page>"
    with pytest.raises(UserError, match="neither a MediaWiki dump nor XML"):
        read_whole(tmp_path, content)


def test_a_mebibyte_of_white_space_at_the_start_of_a_later_part_is_an_error(tmp_path):
    texts = [HEADER, "<page></page>", " " * (2 << 20) + "<page></page>", FOOTER]
    streams = [bz2.compress(text.encode()) for text in texts]
    file = store(tmp_path, b"".join(streams), "d.xml.bz2")
    start = len(streams[0] + streams[1])
    part = InputPart(file=file, start=start, stop=start + len(streams[2]))
    with pytest.raises(UserError):
        list(wiki.read_part(part, max_document_bytes=10**6))


def raiser_of(error: Exception):
    def fail(wikitext, site):
        raise error

    return fail


def test_a_page_that_cannot_be_cleaned_is_rejected(tmp_path, monkeypatch):
    monkeypatch.setattr(wiki, "to_article", raiser_of(RecursionError("too deep")))
    reject = read_whole(tmp_path, dump_of(page("x", page_id=7)))[1]
    assert (reject.source, reject.offset) == ("d.xml", f"byte {len(HEADER)} (page 7)")
    assert reject.reason == "cannot be cleaned: RecursionError: too deep"


@pytest.mark.parametrize("error", [MemoryError(), OSError(24, "Too many open files")])
def test_memory_and_io_errors_are_not_turned_into_rejects(tmp_path, monkeypatch, error):
    monkeypatch.setattr(wiki, "to_article", raiser_of(error))
    with pytest.raises(type(error)):
        read_whole(tmp_path, dump_of(page("x")))


def named_dump_of(name: str, *pages: str) -> bytes:
    header = f"<siteinfo><sitename>W</sitename><dbname>{name}</dbname></siteinfo>"
    return dump_of(header, *pages)


@pytest.mark.parametrize("part_bytes", [1, 150, 10**6])
@pytest.mark.parametrize("name", ["d.xml", "d.xml.gz", "d.xml.bz2"])
def test_document_ids_contain_the_wiki_in_every_part(tmp_path, name, part_bytes):
    text = "<dbname>ofapage</dbname>"
    xml = named_dump_of("simplewiki", page("One."), page("Two.", page_id=2, extra=text))
    compress = {"gz": gzip.compress, "bz2": lambda xml: multistream(xml, 1)}
    content = compress.get(name.rpartition(".")[2], bytes)(xml)
    items = flatten(read_parts(store(tmp_path, content, name), part_bytes=part_bytes))
    assert [i.id for i in items if isinstance(i, Document)] == [
        "wiki/simplewiki/1",
        "wiki/simplewiki/2",
    ]
    assert sum(item.num_bytes for item in items) == len(xml)


def test_a_wiki_name_in_a_page_is_ignored(tmp_path):
    content = dump_of(page("&lt;dbname>x&lt;/dbname> Text.", extra="<dbname>x</dbname>"))
    assert read_whole(tmp_path, content)[1].id == "wiki/1"


def test_text_between_pages_is_rejected(tmp_path):
    damaged = page("Two.", page_id=2).replace("<page>", "<pa7e>")
    reject = read_whole(tmp_path, dump_of(page("One."), damaged, page("Three.")))[2]
    assert reject.reason == "outside of any page: '<pa7e><title>T</title><ns>0</ns><id>2</i'"
    assert reject.num_bytes == len(damaged)


def test_the_offset_of_a_reject_does_not_depend_on_the_parts(tmp_path):
    bad = page("<b>x", page_id=7)
    streams = [HEADER, page("One.") + "\n", "\n" + bad + "\n", FOOTER]
    compressed = [bz2.compress(text.encode()) for text in streams]
    file = store(tmp_path, b"".join(compressed), "d.xml.bz2")
    offset = f"byte 1 of the bzip2 stream at {len(compressed[0] + compressed[1])} (page 7)"
    for part_bytes in (10, 100, 10_000):
        items = flatten(read_parts(file, part_bytes=part_bytes))
        assert [item.offset for item in items if isinstance(item, Reject)] == [offset]


def test_a_huge_page_is_not_held_in_memory(tmp_path):
    import tracemalloc

    blank = b" " * (1 << 20)
    compressor = bz2.BZ2Compressor()
    start, end = page("|").split("|")
    pieces = [compressor.compress((HEADER + start).encode())]
    pieces += [compressor.compress(blank) for _ in range(64)]
    pieces += [compressor.compress((end + FOOTER).encode()), compressor.flush()]
    file = store(tmp_path, b"".join(pieces), "d.xml.bz2")
    tracemalloc.start()
    (items,) = read_parts(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert items[1].reason == "larger than max_document_bytes=1000000"
    assert items[1].num_bytes == len(start + end) + (64 << 20)
    assert peak < 8 << 20


@pytest.mark.parametrize("compress", [bz2.compress, gzip.compress], ids=["bz2", "gz"])
@pytest.mark.parametrize("before", [b"", dump_of(page("One."))[:-13]], ids=["start", "later"])
def test_a_decompression_bomb_is_rejected_early(tmp_path, compress, before):
    name = "d.xml.bz2" if compress is bz2.compress else "d.xml.gz"
    before = before or HEADER.encode()
    file = store(tmp_path, compress(before + bytes(100 << 20)), name)
    began = time.monotonic()
    with pytest.raises(UserError, match="no <page> within"):
        read_parts(file)
    assert time.monotonic() - began < 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<html></html>", "not a MediaWiki dump: its first element is <html>"),
        (b"no xml at all", "neither a MediaWiki dump nor XML; give plain text to --books"),
        (b"<!-- <page> --><x>", "neither a MediaWiki dump nor XML"),
        (b"<mediawiki></mediawiki>", "not a MediaWiki dump of pages: no <page> within the first"),
        (dump_of(page("A"))[:-20], "truncated: it ends within the page at byte 62"),
        (dump_of(page("A"))[:-5], "truncated: it does not end with </mediawiki>"),
        (b'<!DOCTYPE m [<!ENTITY a "aaaa">]>' + dump_of(page("A")), "declares a document type"),
        (
            b'<?xml version="1.0" encoding="latin1"?>' + dump_of(page("A")),
            "declares the encoding 'lat",
        ),
        (dump_of(page("A")).decode().encode("utf-16"), "is in UTF-16; convert it"),
    ],
)
def test_a_file_that_is_not_a_valid_dump_is_an_error(tmp_path, content, message):
    file = store(tmp_path, content)
    with pytest.raises(UserError, match=f"{re.escape(file.path)}: {message}"):
        read_parts(file)


@pytest.mark.parametrize("start", ["", "\ufeff", '<?xml version="1.0" encoding="utf-8"?>\n'])
def test_a_utf8_declaration_is_accepted(tmp_path, start):
    content = start.encode() + dump_of(page("Some text."))
    assert read_whole(tmp_path, content)[1].id == "wiki/1"


def test_a_truncated_file_is_an_error(tmp_path, xml):
    for name, content in [
        ("d.xml.bz2", bz2.compress(xml)),
        ("d.xml.gz", gzip.compress(xml)),
        ("d.xml", xml),
    ]:
        for size in (len(content) // 2, len(content) - 6):
            with pytest.raises(UserError, match=rf"{name}: truncated"):
                read_parts(store(tmp_path, content[:size], name))


def test_a_damaged_compressed_file_is_an_error(tmp_path, xml):
    for name, content in [("d.xml.bz2", bz2.compress(xml)), ("d.xml.gz", gzip.compress(xml))]:
        damaged = bytearray(content)
        damaged[len(content) // 2] ^= 0xFF
        with pytest.raises(UserError, match=rf"{name}: truncated or damaged \("):
            read_parts(store(tmp_path, bytes(damaged), name))


@pytest.mark.parametrize("part_bytes", [100, 2_000, 10**6])
def test_a_missing_stream_or_other_data_between_streams_is_an_error(tmp_path, xml, part_bytes):
    streams = [bz2.compress(piece) for piece in split_pages(xml)]
    for content, message in [
        (b"".join(streams[:-1]), "truncated: it does not end with </mediawiki>"),
        (
            b"".join(streams) + b"junk",
            r"truncated or damaged \(no bzip2 stream at byte",
        ),
        (
            b"".join([*streams[:3], b"x" * 50, *streams[3:]]),
            r"truncated or damaged \(no bzip2 stream at byte",
        ),
    ]:
        with pytest.raises(UserError, match=rf"d\.xml\.bz2: {message}"):
            read_parts(store(tmp_path, content, "d.xml.bz2"), part_bytes=part_bytes)


@pytest.mark.parametrize("part_bytes", [10, 100, 10**6])
def test_empty_streams_are_ignored(tmp_path, part_bytes):
    streams = [HEADER, "", page("Some text."), "", FOOTER, "", ""]
    content = b"".join(bz2.compress(text.encode()) for text in streams)
    items = merge_skipped(read_parts(store(tmp_path, content, "d.xml.bz2"), part_bytes=part_bytes))
    assert [type(item) for item in items] == [Skipped, Document, Skipped]


def test_a_missing_file_raises_file_not_found(tmp_path):
    path = os.fspath(tmp_path / "none.xml")
    part = InputPart(
        file=InputFile(kind="wiki", path=path, name="none.xml", num_bytes=9), start=0, stop=9
    )
    with pytest.raises(FileNotFoundError):
        list(wiki.read_part(part, max_document_bytes=999))
