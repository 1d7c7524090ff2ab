import bz2
import gzip
import itertools
import os
import re
import time

import pytest

from data import files, wiki, wiki_parts
from data.documents import Document, InputFile, InputPart, Reject, Skipped
from data.errors import UserError

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


@pytest.fixture(scope="module")
def xml(golden) -> bytes:
    """Nine real pages as plain XML; the first of them is a redirect."""
    return bz2.decompress((golden / "wiki.xml.bz2").read_bytes())


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


def test_real_dump_yields_articles_and_no_redirect(golden):
    path = golden / "wiki.xml.bz2"
    file = InputFile(kind="wiki", path=str(path), name=path.name, num_bytes=path.stat().st_size)
    (items,) = read(file)
    assert [(type(item).__name__, getattr(item, "reason", "")) for item in items[:4]] == [
        ("Skipped", AROUND),
        ("Skipped", "redirect"),  # AccessibleComputing (id 10)
        ("Skipped", AROUND),
        ("Document", ""),
    ]
    documents = [item for item in items if isinstance(item, Document)]
    assert [document.id for document in documents] == [
        f"wiki/enwiki/{number}"
        for number in (332, 580, 612, 642, 675, 683, 772)  # 728 is a list of names
    ]
    astronomer = documents[1]
    assert (astronomer.num_bytes, astronomer.section_bytes) == (8017, 1487)


def test_every_byte_is_in_one_item(tmp_path):
    parts = [HEADER, page("Some text."), "\n  ", page("", page_id=2), FOOTER]
    assert read_whole(tmp_path, "".join(parts).encode()) == [
        Skipped(reason=AROUND, num_bytes=len(parts[0])),
        Document(id="wiki/1", paragraphs=("Some text.",), num_bytes=len(parts[1])),
        Skipped(reason=AROUND, num_bytes=3),
        Skipped(reason="no prose", num_bytes=len(parts[3])),
        Skipped(reason=AROUND, num_bytes=len(parts[4])),
    ]


def test_what_is_skipped_and_why(tmp_path):
    content = dump_of(
        page("Talk.", ns=1),
        page("Text.", page_id=2),
        page("#redirect [[B]]", page_id=3),
        page("Text.", page_id=4, extra='<redirect title="B" />'),
        page("", page_id=5),
        page("* A name", page_id=6),
    )
    assert [getattr(item, "reason", item) for item in read_whole(tmp_path, content)[1:-1]] == [
        "other namespace",
        Document(id="wiki/2", paragraphs=("Text.",), num_bytes=len(page("Text."))),
        *("redirect", "redirect", "no prose", "no prose"),
    ]


def test_bytes_of_dropped_sections_are_counted_in_utf8(tmp_path):
    content = dump_of(page("Text.\n== Notes ==\nÄ\n=== More ===\nx\n== End ==\nText."))
    document = read_whole(tmp_path, content)[1]
    assert document.section_bytes == len("== Notes ==\nÄ\n=== More ===\nx\n".encode())
    assert document.paragraphs == ("Text.", "Text.")


@pytest.mark.parametrize("part_bytes", [1, 700, 5_000, 20_000, 10**6])
@pytest.mark.parametrize("pages_per_stream", [1, 2, 4])
def test_parts_of_a_multistream_dump_yield_what_the_whole_does(
    tmp_path, xml, part_bytes, pages_per_stream
):
    file = stored(tmp_path, multistream(xml, pages_per_stream), "d.xml.bz2")
    whole = InputPart(file=file, start=0, stop=file.num_bytes)
    expected = list(wiki.read_part(whole, max_document_bytes=10**6))
    parts = read(file, part_bytes=part_bytes)
    assert merged(parts) == merged([expected])
    assert sum(item.num_bytes for part in parts for item in part) == len(xml)
    assert len(parts) == -(-file.num_bytes // part_bytes)


@pytest.mark.parametrize("part_bytes", [7, 1_000, 33_333, 100_000, 10**7])
def test_parts_of_a_plain_dump_yield_what_the_whole_does(tmp_path, xml, part_bytes):
    file = stored(tmp_path, xml)
    parts = read(file, part_bytes=part_bytes)
    assert flat(parts) == read_whole(tmp_path, xml)
    assert len(parts) == -(-len(xml) // part_bytes)


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


def test_a_page_belongs_to_the_part_in_which_it_begins(tmp_path):
    first, second = page("One."), page("Two.", page_id=2)
    content = dump_of(first, second)
    start = len(HEADER)
    for boundary, expected in [
        (start, ([], ["wiki/1", "wiki/2"])),
        (start + 1, (["wiki/1"], ["wiki/2"])),
        (start + len(first), (["wiki/1"], ["wiki/2"])),
        (start + len(first) + 1, (["wiki/1", "wiki/2"], [])),
    ]:
        file = stored(tmp_path, content)
        parts = [
            InputPart(file=file, start=0, stop=boundary),
            InputPart(file=file, start=boundary, stop=len(content)),
        ]
        ids = tuple(
            [i.id for i in wiki.read_part(p, max_document_bytes=999) if isinstance(i, Document)]
            for p in parts
        )
        assert ids == expected, boundary


@pytest.mark.parametrize("name", ["d.xml.gz", "d.xml.bz2"])
def test_what_cannot_be_split_is_one_part(tmp_path, xml, name):
    compressed = gzip.compress(xml) if name.endswith("gz") else bz2.compress(xml)
    (items,) = read(stored(tmp_path, compressed, name), part_bytes=1000)
    assert items == read_whole(tmp_path, xml)


def cut_streams(xml: bytes, size: int) -> bytes:
    """As pbzip2 compresses: a stream every so many bytes."""
    pieces = [xml[start : start + size] for start in range(0, len(xml), size)]
    return b"".join(map(bz2.compress, pieces))


def test_streams_that_cut_pages_are_one_part(tmp_path, xml):
    file = stored(tmp_path, cut_streams(xml, 9_000), "d.xml.bz2")
    (items,) = read(file, part_bytes=1000)
    assert items == read_whole(tmp_path, xml)


@pytest.mark.parametrize("part_bytes", [500, 4_000, 9_000])
def test_streams_that_cut_pages_later_are_an_error(tmp_path, xml, part_bytes):
    header, *pages, footer = pages_of(xml)
    lucky = bz2.compress(header) + cut_streams(b"".join(pages) + footer, 9_000)
    file = stored(tmp_path, lucky, "d.xml.bz2")
    with pytest.raises(UserError, match=r"d\.xml\.bz2: a bzip2 stream begins or ends within a pa"):
        read(file, part_bytes=part_bytes)


def test_workers_read_their_range_and_the_end_of_its_last_page(tmp_path, xml, monkeypatch):
    monkeypatch.setattr(files, "CHUNK_BYTES", 512)
    monkeypatch.setattr(wiki, "database_name", lambda file: "")  # which reads the header
    taken = []

    class Counted:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def __getattr__(self, name):
            return getattr(self.file, name)

        def read(self, size):
            data = self.file.read(size)
            taken.append((self.file.tell() - len(data), self.file.tell()))
            return data

    open_read = files.open_read
    monkeypatch.setattr(files, "open_read", lambda path: Counted(open_read(path)))
    streams = multistream(xml, 1)
    longest = max(len(bz2.compress(piece)) for piece in pages_of(xml))
    for content, name, unit in [
        (streams, "d.xml.bz2", longest),
        (xml, "d.xml", max(map(len, pages_of(xml)))),
    ]:
        file = stored(tmp_path, content, name)
        for part in wiki_parts.split_file(file, part_bytes=8_000):
            taken.clear()
            list(wiki.read_part(part, max_document_bytes=10**6))
            assert min(start for start, _ in taken) == part.start
            assert max(stop for _, stop in taken) <= part.stop + unit + 2 * 512


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
def test_a_page_without_a_number_of_its_own_is_rejected(tmp_path, number):
    revision = f"<revision>{number}<text>Some text that is long enough to stay.</text></revision>"
    reject = read_whole(tmp_path, dump_of(f"<page>{revision}</page>"))[1]
    assert (reject.offset.partition(" (")[0], reject.reason) == (
        f"byte {len(HEADER)}",
        "has no page id",
    )


def test_comments_before_the_first_element_are_read_once(tmp_path):
    content = b"<!---->" * 20_000 + b"x<page>"
    with pytest.raises(UserError, match="not a MediaWiki dump"):
        read_whole(tmp_path, content)


def test_white_space_without_end_in_a_later_part_is_damage(tmp_path):
    texts = [HEADER, "<page></page>", " " * (2 << 20) + "<page></page>", FOOTER]
    streams = [bz2.compress(text.encode()) for text in texts]
    file = stored(tmp_path, b"".join(streams), "d.xml.bz2")
    start = len(streams[0] + streams[1])
    part = InputPart(file=file, start=start, stop=start + len(streams[2]))
    with pytest.raises(UserError):
        list(wiki.read_part(part, max_document_bytes=10**6))


def failing_with(error: Exception):
    def fail(wikitext):
        raise error

    return fail


def test_a_page_that_cannot_be_cleaned_is_rejected(tmp_path, monkeypatch):
    monkeypatch.setattr(wiki, "to_paragraphs", failing_with(RecursionError("too deep")))
    reject = read_whole(tmp_path, dump_of(page("x", page_id=7)))[1]
    assert (reject.source, reject.offset) == ("d.xml", f"byte {len(HEADER)} (page 7)")
    assert reject.reason == "cannot be cleaned: RecursionError: too deep"


@pytest.mark.parametrize("error", [MemoryError(), OSError(24, "Too many open files")])
def test_a_fault_of_the_machine_is_no_reject(tmp_path, monkeypatch, error):
    monkeypatch.setattr(wiki, "to_paragraphs", failing_with(error))
    with pytest.raises(type(error)):
        read_whole(tmp_path, dump_of(page("x")))


def named_dump_of(name: str, *pages: str) -> bytes:
    header = f"<siteinfo><sitename>W</sitename><dbname>{name}</dbname></siteinfo>"
    return dump_of(header, *pages)


@pytest.mark.parametrize("part_bytes", [1, 150, 10**6])
@pytest.mark.parametrize("name", ["d.xml", "d.xml.gz", "d.xml.bz2"])
def test_the_wiki_is_part_of_the_id(tmp_path, name, part_bytes):
    """Also in parts that do not hold the header."""
    text = "<dbname>ofapage</dbname>"
    xml = named_dump_of("simplewiki", page("One."), page("Two.", page_id=2, extra=text))
    compress = {"gz": gzip.compress, "bz2": lambda xml: multistream(xml, 1)}
    content = compress.get(name.rpartition(".")[2], bytes)(xml)
    items = flat(read(stored(tmp_path, content, name), part_bytes=part_bytes))
    assert [i.id for i in items if isinstance(i, Document)] == [
        "wiki/simplewiki/1",
        "wiki/simplewiki/2",
    ]
    assert sum(item.num_bytes for item in items) == len(xml)


def test_a_name_that_only_a_page_mentions_is_not_the_wikis(tmp_path):
    content = dump_of(page("&lt;dbname>x&lt;/dbname> Text.", extra="<dbname>x</dbname>"))
    assert read_whole(tmp_path, content)[1].id == "wiki/1"


def test_text_between_pages_is_rejected(tmp_path):
    damaged = page("Two.", page_id=2).replace("<page>", "<pa7e>")
    reject = read_whole(tmp_path, dump_of(page("One."), damaged, page("Three.")))[2]
    assert reject.reason == "outside of any page: '<pa7e><title>T</title><ns>0</ns><id>2</i'"
    assert reject.num_bytes == len(damaged)


def test_a_place_in_a_stream_does_not_depend_on_the_parts(tmp_path):
    bad = page("<b>x", page_id=7)
    streams = [HEADER, page("One.") + "\n", "\n" + bad + "\n", FOOTER]
    compressed = [bz2.compress(text.encode()) for text in streams]
    file = stored(tmp_path, b"".join(compressed), "d.xml.bz2")
    place = f"byte 1 of the bzip2 stream at {len(compressed[0] + compressed[1])} (page 7)"
    for part_bytes in (10, 100, 10_000):
        items = flat(read(file, part_bytes=part_bytes))
        assert [item.offset for item in items if isinstance(item, Reject)] == [place]


def test_a_huge_page_costs_time_only(tmp_path):
    import tracemalloc

    blank = b" " * (1 << 20)
    compressor = bz2.BZ2Compressor()
    start, end = page("|").split("|")
    pieces = [compressor.compress((HEADER + start).encode())]
    pieces += [compressor.compress(blank) for _ in range(64)]
    pieces += [compressor.compress((end + FOOTER).encode()), compressor.flush()]
    file = stored(tmp_path, b"".join(pieces), "d.xml.bz2")
    tracemalloc.start()
    (items,) = read(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert items[1].reason == "larger than max_document_bytes=1000000"
    assert items[1].num_bytes == len(start + end) + (64 << 20)
    assert peak < 8 << 20


@pytest.mark.parametrize("compress", [bz2.compress, gzip.compress], ids=["bz2", "gz"])
@pytest.mark.parametrize("before", [b"", dump_of(page("One."))[:-13]], ids=["start", "later"])
def test_a_bomb_ends_early(tmp_path, compress, before):
    name = "d.xml.bz2" if compress is bz2.compress else "d.xml.gz"
    before = before or HEADER.encode()
    file = stored(tmp_path, compress(before + bytes(100 << 20)), name)
    began = time.monotonic()
    with pytest.raises(UserError, match="no <page> within"):
        read(file)
    assert time.monotonic() - began < 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<html></html>", "not a MediaWiki dump: its first element is <html>"),
        (b"no xml at all", "not a MediaWiki dump, nor XML; plain text goes to --books"),
        (b"<!-- <page> --><x>", "not a MediaWiki dump, nor XML"),
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
def test_what_is_no_dump_is_an_error(tmp_path, content, message):
    file = stored(tmp_path, content)
    with pytest.raises(UserError, match=f"{re.escape(file.path)}: {message}"):
        read(file)


@pytest.mark.parametrize("start", ["", "\ufeff", '<?xml version="1.0" encoding="utf-8"?>\n'])
def test_a_declaration_of_utf8_is_no_error(tmp_path, start):
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
                read(stored(tmp_path, content[:size], name))


def test_a_damaged_file_is_an_error(tmp_path, xml):
    for name, content in [("d.xml.bz2", bz2.compress(xml)), ("d.xml.gz", gzip.compress(xml))]:
        damaged = bytearray(content)
        damaged[len(content) // 2] ^= 0xFF
        with pytest.raises(UserError, match=rf"{name}: truncated or damaged \("):
            read(stored(tmp_path, bytes(damaged), name))


@pytest.mark.parametrize("part_bytes", [100, 2_000, 10**6])
def test_a_missing_or_foreign_stream_is_an_error(tmp_path, xml, part_bytes):
    streams = [bz2.compress(piece) for piece in pages_of(xml)]
    for content, message in [
        (b"".join(streams[:-1]), "truncated: it does not end with </mediawiki>"),
        (
            b"".join(streams) + b"junk",
            r"truncated or damaged \(what stands at byte .* is no bzip2 stream",
        ),
        (
            b"".join([*streams[:3], b"x" * 50, *streams[3:]]),
            r"truncated or damaged \(what stands at byte .* is no bzip2",
        ),
    ]:
        with pytest.raises(UserError, match=rf"d\.xml\.bz2: {message}"):
            read(stored(tmp_path, content, "d.xml.bz2"), part_bytes=part_bytes)


@pytest.mark.parametrize("part_bytes", [10, 100, 10**6])
def test_empty_streams_are_nothing(tmp_path, part_bytes):
    streams = [HEADER, "", page("Some text."), "", FOOTER, "", ""]
    content = b"".join(bz2.compress(text.encode()) for text in streams)
    items = merged(read(stored(tmp_path, content, "d.xml.bz2"), part_bytes=part_bytes))
    assert [type(item) for item in items] == [Skipped, Document, Skipped]


def test_a_missing_file_is_the_systems_error(tmp_path):
    path = os.fspath(tmp_path / "none.xml")
    part = InputPart(
        file=InputFile(kind="wiki", path=path, name="none.xml", num_bytes=9), start=0, stop=9
    )
    with pytest.raises(FileNotFoundError):
        list(wiki.read_part(part, max_document_bytes=999))
