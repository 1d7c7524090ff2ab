"""All kinds of input, however stored, wherever they lie and however they are split."""

import bz2
import gzip
import json

import pytest

from data import files
from data.sources import lines
from data.sources.documents import Document, InputPart, find_inputs
from data.sources.formats import KINDS, read_part, split_file
from data.sources.streams import ByteCounter
from data.sources.wiki import parts as wiki_parts

SENTENCES = [f"This is sentence number {number} of a small file." for number in range(60)]


def page(number: int, text: str) -> str:
    return f"<page><ns>0</ns><id>{number}</id><revision><text>{text}</text></revision></page>\n"


def blocks_of(kind: str) -> list[str]:
    """The content of a file, cut where a dump's streams may be."""
    match kind:
        case "wiki":
            header = "<mediawiki><siteinfo><dbname>testwiki</dbname></siteinfo>\n"
            pages = [page(number, text) for number, text in enumerate(SENTENCES)]
            return [header, *pages, "</mediawiki>\n"]
        case "jsonl":
            return [json.dumps({"text": text}) + "\n" for text in SENTENCES]
        case "lines":
            return [f"{text}\n\n" for text in SENTENCES]
    return ["\n\n".join(SENTENCES)]


def stored(kind: str, suffix: str) -> bytes:
    encoded = [block.encode() for block in blocks_of(kind)]
    if suffix == ".multistream.bz2":
        return b"".join(map(bz2.compress, encoded))
    return {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress}[suffix](b"".join(encoded))


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(lines.split_file, "__kwdefaults__", {"part_bytes": 700})
    monkeypatch.setattr(wiki_parts, "PLAIN_PART_BYTES", 700)
    monkeypatch.setattr(wiki_parts, "BZ2_PART_BYTES", 700)


@pytest.mark.parametrize("place", ["local", "ram"])
@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".multistream.bz2"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_read_everywhere(kind, suffix, place, tmp_path, small_parts):
    directory = str(tmp_path) if place == "local" else f"ram://{tmp_path.name}"
    content = stored(kind, suffix)
    files.write_atomically(files.join(directory, f"in/f{suffix}"), content)
    (file,) = find_inputs(kind, files.join(directory, "in/*"))
    assert (file.name, file.num_bytes) == (f"f{suffix}", len(content))
    parts = split_file(file)
    is_split = kind in ("wiki", "lines", "jsonl") and suffix == ""
    if kind == "wiki" and suffix == ".multistream.bz2":
        is_split = True
    assert (len(parts) > 3) == is_split

    paragraphs = []
    num_bytes = 0
    for part in parts:
        counter = ByteCounter()
        items = list(read_part(part, max_document_bytes=10**5, counter=counter))
        # Two counts of the same bytes: the file's as it was opened, and the reader's.
        assert sum(item.num_bytes for item in items) == counter.num_bytes
        num_bytes += counter.num_bytes
        documents = [item for item in items if isinstance(item, Document)]
        assert all(document.id.startswith(f"{kind}/") for document in documents)
        paragraphs += [text for document in documents for text in document.paragraphs]
    assert paragraphs == SENTENCES
    assert num_bytes == len("".join(blocks_of(kind)))


@pytest.mark.parametrize(
    ("kind", "reader", "lost"),
    [
        ("wiki", "data.sources.wiki.dump._read_pages", 3),
        ("jsonl", "data.sources.lines._lines", 3),
        ("lines", "data.sources.lines._lines", 3),
        ("jsonl", "data.sources.lines._lines", -1),
    ],
)
def test_a_reader_that_lost_a_document_would_be_noticed(kind, reader, lost, tmp_path, monkeypatch):
    path = tmp_path / "f"
    path.write_bytes(stored(kind, ""))
    (file,) = find_inputs(kind, str(path))
    part = InputPart(file=file, start=0, stop=file.num_bytes)
    module, _, name = reader.rpartition(".")
    read = getattr(__import__(module, fromlist=[name]), name)

    def careless(*args, **kwargs):
        items = list(read(*args, **kwargs))
        del items[lost]
        return iter(items)

    monkeypatch.setattr(reader, careless)
    counter = ByteCounter()
    items = list(read_part(part, max_document_bytes=10**5, counter=counter))
    assert sum(item.num_bytes for item in items) < counter.num_bytes == file.num_bytes


@pytest.mark.parametrize("kind", ["books", "text"])
def test_bytes_of_a_file_that_is_too_large_are_counted(kind, tmp_path):
    for suffix in ("", ".gz", ".bz2"):
        path = tmp_path / f"f{suffix}"
        path.write_bytes(stored(kind, suffix))
        (file,) = find_inputs(kind, str(path))
        counter = ByteCounter()
        (part,) = split_file(file)
        (item,) = read_part(part, max_document_bytes=10, counter=counter)
        assert item.reason == "larger than BuildConfig.max_document_bytes=10"
        assert item.num_bytes == counter.num_bytes > 10
