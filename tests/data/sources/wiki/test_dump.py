import bz2
import gzip

import pytest

from data import files
from data.errors import UserError
from data.sources.documents import Document, InputFile, InputPart, Skipped
from data.sources.wiki import dump as wiki
from data.sources.wiki import parts as wiki_parts
from data.sources.wiki.site import ENGLISH
from tests.support.wiki_dumps import (
    AROUND,
    FOOTER,
    HEADER,
    cut_streams,
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


def test_a_real_dump_yields_its_articles_without_redirects(golden):
    path = golden / "wiki.xml.bz2"
    file = InputFile(kind="wiki", path=str(path), name=path.name, num_bytes=path.stat().st_size)
    (items,) = read_parts(file)
    assert [(type(item).__name__, getattr(item, "reason", "")) for item in items[:4]] == [
        ("Skipped", AROUND),
        ("Skipped", "redirect"),  # AccessibleComputing (id 10)
        ("Skipped", AROUND),
        ("Document", ""),
    ]
    documents = [item for item in items if isinstance(item, Document)]
    assert [document.id for document in documents] == [
        f"wiki/enwiki/{number}"
        for number in (332, 580, 612, 642, 675, 683, 772)  # 728 is a list of names, without prose
    ]
    astronomer = documents[1]
    assert (astronomer.num_bytes, astronomer.section_bytes) == (8017, 1487)


def test_every_byte_belongs_to_one_item(tmp_path):
    parts = [HEADER, page("Some text."), "\n  ", page("", page_id=2), FOOTER]
    assert read_whole(tmp_path, "".join(parts).encode()) == [
        Skipped(reason=AROUND, num_bytes=len(parts[0])),
        Document(id="wiki/1", paragraphs=("Some text.",), num_bytes=len(parts[1])),
        Skipped(reason=AROUND, num_bytes=3),
        Skipped(reason="no prose", num_bytes=len(parts[3])),
        Skipped(reason=AROUND, num_bytes=len(parts[4])),
    ]


def test_pages_are_skipped_with_a_reason(tmp_path):
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
def test_parts_of_a_multistream_dump_yield_the_items_of_the_whole(
    tmp_path, xml, part_bytes, pages_per_stream
):
    file = store(tmp_path, multistream(xml, pages_per_stream), "d.xml.bz2")
    whole = InputPart(file=file, start=0, stop=file.num_bytes)
    expected = list(wiki.read_part(whole, max_document_bytes=10**6))
    parts = read_parts(file, part_bytes=part_bytes)
    assert merge_skipped(parts) == merge_skipped([expected])
    assert sum(item.num_bytes for part in parts for item in part) == len(xml)
    assert len(parts) == -(-file.num_bytes // part_bytes)


@pytest.mark.parametrize("part_bytes", [7, 1_000, 33_333, 100_000, 10**7])
def test_parts_of_a_plain_dump_yield_the_items_of_the_whole(tmp_path, xml, part_bytes):
    file = store(tmp_path, xml)
    parts = read_parts(file, part_bytes=part_bytes)
    assert flatten(parts) == read_whole(tmp_path, xml)
    assert len(parts) == -(-len(xml) // part_bytes)


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
        file = store(tmp_path, content)
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
def test_gz_and_single_stream_bz2_are_one_part(tmp_path, xml, name):
    compressed = gzip.compress(xml) if name.endswith("gz") else bz2.compress(xml)
    (items,) = read_parts(store(tmp_path, compressed, name), part_bytes=1000)
    assert items == read_whole(tmp_path, xml)


def test_a_file_whose_second_stream_begins_within_a_page_is_one_part(tmp_path, xml):
    file = store(tmp_path, cut_streams(xml, 9_000), "d.xml.bz2")
    (items,) = read_parts(file, part_bytes=1000)
    assert items == read_whole(tmp_path, xml)


@pytest.mark.parametrize("part_bytes", [500, 4_000, 9_000])
def test_a_later_stream_that_begins_within_a_page_is_an_error(tmp_path, xml, part_bytes):
    header, *pages, footer = split_pages(xml)
    content = bz2.compress(header) + cut_streams(b"".join(pages) + footer, 9_000)
    file = store(tmp_path, content, "d.xml.bz2")
    with pytest.raises(UserError, match=r"d\.xml\.bz2: a bzip2 stream begins or ends within a pa"):
        read_parts(file, part_bytes=part_bytes)


def test_a_part_reads_its_range_and_the_end_of_its_last_page_only(tmp_path, xml, monkeypatch):
    monkeypatch.setattr(files, "CHUNK_BYTES", 512)
    monkeypatch.setattr(wiki, "read_site", lambda file: ENGLISH)  # it reads the header of the file
    ranges_read = []

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
            ranges_read.append((self.file.tell() - len(data), self.file.tell()))
            return data

    open_read = files.open_read
    monkeypatch.setattr(files, "open_read", lambda path: Counted(open_read(path)))
    streams = multistream(xml, 1)
    longest = max(len(bz2.compress(piece)) for piece in split_pages(xml))
    for content, name, unit in [
        (streams, "d.xml.bz2", longest),
        (xml, "d.xml", max(map(len, split_pages(xml)))),
    ]:
        file = store(tmp_path, content, name)
        for part in wiki_parts.split_file(file, part_bytes=8_000):
            ranges_read.clear()
            list(wiki.read_part(part, max_document_bytes=10**6))
            assert min(start for start, _ in ranges_read) == part.start
            assert max(stop for _, stop in ranges_read) <= part.stop + unit + 2 * 512
