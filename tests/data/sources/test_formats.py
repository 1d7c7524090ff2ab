"""The table of formats; every format, compression, storage and split gives the same documents."""

import argparse
import bz2
import dataclasses
import gzip
import json

import pytest

from data import build, files
from data.sources import lines
from data.sources.documents import Document, InputFile, InputPart, find_inputs, whole_file
from data.sources.formats import (
    FORMATS,
    Format,
    add_format_flags,
    guess_kind,
    read_part,
    split_file,
)
from data.sources.streams import ByteCounter, open_stream
from data.sources.wiki import parts as wiki_parts
from data.storage.sequence_sources import MIXED
from data.vocab import Vocab
from data.vocab import __main__ as vocab_command

SENTENCES = [f"This is sentence number {number} of a small file." for number in range(60)]


def page(number: int, text: str) -> str:
    return f"<page><ns>0</ns><id>{number}</id><revision><text>{text}</text></revision></page>\n"


def blocks_of(kind: str) -> list[str]:
    """Return the content of a file as blocks; bzip2 streams of a dump may begin at each."""
    match kind:
        case "wiki":
            header = "<mediawiki><siteinfo><dbname>testwiki</dbname></siteinfo>\n"
            pages = [page(number, text) for number, text in enumerate(SENTENCES)]
            return [header, *pages, "</mediawiki>\n"]
        case "jsonl":
            return [json.dumps({"text": text}) + "\n" for text in SENTENCES]
        case "sentences":
            return [f"{text}\n" for text in SENTENCES]
        case "lines":
            return [f"{text}\n\n" for text in SENTENCES]
    return ["\n\n".join(SENTENCES)]


def store(kind: str, suffix: str) -> bytes:
    encoded = [block.encode() for block in blocks_of(kind)]
    if suffix == ".multistream.bz2":
        return b"".join(map(bz2.compress, encoded))
    return {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress}[suffix](b"".join(encoded))


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(lines.split_file, "__kwdefaults__", {"part_bytes": 700})
    monkeypatch.setattr(lines, "SENTENCE_PART_BYTES", 700)
    monkeypatch.setattr(wiki_parts, "PLAIN_PART_BYTES", 700)
    monkeypatch.setattr(wiki_parts, "BZ2_PART_BYTES", 700)


@pytest.mark.parametrize("storage", ["local", "ram"])
@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".multistream.bz2"])
@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_read_from_every_storage_and_compression(
    kind, suffix, storage, tmp_path, small_parts
):
    directory = str(tmp_path) if storage == "local" else f"ram://{tmp_path.name}"
    content = store(kind, suffix)
    files.write_atomically(files.join(directory, f"in/f{suffix}"), content)
    (file,) = find_inputs(kind, files.join(directory, "in/*"))
    assert (file.name, file.num_bytes) == (f"f{suffix}", len(content))
    parts = split_file(file)
    is_split = kind in ("wiki", "lines", "sentences", "jsonl") and suffix == ""
    if kind == "wiki" and suffix == ".multistream.bz2":
        is_split = True
    assert (len(parts) > 3) == is_split

    paragraphs = []
    num_bytes = 0
    for part in parts:
        counter = ByteCounter()
        items = list(read_part(part, max_document_bytes=10**5, counter=counter))
        # Two independent counts of the same bytes: by the file and by the reader.
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
        ("jsonl", "data.sources.lines._split_lines", 3),
        ("lines", "data.sources.lines._split_lines", 3),
        ("sentences", "data.sources.lines._split_lines", 3),
        ("jsonl", "data.sources.lines._split_lines", -1),
    ],
)
def test_a_reader_that_loses_a_document_yields_fewer_bytes_than_are_counted(
    kind, reader, lost, tmp_path, monkeypatch
):
    path = tmp_path / "f"
    path.write_bytes(store(kind, ""))
    (file,) = find_inputs(kind, str(path))
    part = InputPart(file=file, start=0, stop=file.num_bytes)
    module, _, name = reader.rpartition(".")
    read = getattr(__import__(module, fromlist=[name]), name)

    def lossy(*args, **kwargs):
        items = list(read(*args, **kwargs))
        del items[lost]
        return iter(items)

    monkeypatch.setattr(reader, lossy)
    counter = ByteCounter()
    items = list(read_part(part, max_document_bytes=10**5, counter=counter))
    assert sum(item.num_bytes for item in items) < counter.num_bytes == file.num_bytes


@pytest.mark.parametrize("kind", ["books", "text"])
def test_bytes_of_a_file_above_the_size_limit_are_counted(kind, tmp_path):
    for suffix in ("", ".gz", ".bz2"):
        path = tmp_path / f"f{suffix}"
        path.write_bytes(store(kind, suffix))
        (file,) = find_inputs(kind, str(path))
        counter = ByteCounter()
        (part,) = split_file(file)
        (item,) = read_part(part, max_document_bytes=10, counter=counter)
        assert item.reason == "larger than BuildConfig.max_document_bytes=10"
        assert item.num_bytes == counter.num_bytes > 10


def read_sections(part, *, max_document_bytes, counter=None):
    """Read a made-up format: documents separated by lines of "---"."""
    with open_stream(part.file.path, counter=counter) as stream:
        sections = stream.read().split(b"---\n")
    for number, section in enumerate(sections):
        yield Document(
            id=f"sections/{part.file.name}#{number}",
            paragraphs=tuple(section.decode().splitlines()),
            num_bytes=len(section) + (4 if number else 0),
        )


SECTIONS = Format(
    help="documents between lines of dashes, 100% made up",
    name_contains=".sections",
    split=whole_file,
    read=read_sections,
)


@pytest.fixture
def sections(tmp_path, monkeypatch):
    """A file of a format that is in the table only."""
    monkeypatch.setitem(FORMATS, "sections", SECTIONS)
    path = tmp_path / "in.sections"
    path.write_text("---\n".join(f"{text}\nIt has two lines.\n" for text in SENTENCES))
    return path


def test_one_entry_of_the_table_makes_a_format_known_to_data_build(sections, golden, capsys):
    output = sections.parent / "build"
    build.main(
        [
            *("--sections", str(sections), "--output_dir", str(output)),
            *("--vocab_file", f"{golden}/vocab.txt"),
            *("--gin_param", "BuildConfig.copies = 0", "--gin_param", "BuildConfig.num_shards = 1"),
            *("--gin_param", "BuildConfig.max_unknown_fraction = 1.0"),
        ]
    )
    manifest = build.Manifest.load(output)
    assert {shard.source_names for shard in manifest.shards} <= {("sections",), ()}
    assert manifest.accounts["sections"]["bytes_input"] == sections.stat().st_size
    assert manifest.accounts["sections"]["documents_read"] == len(SENTENCES)
    with pytest.raises(SystemExit):
        build.main(["--help"])
    assert "--sections GLOB [GLOB ...]" in capsys.readouterr().out


@pytest.mark.parametrize("flag", ["--sections", "--input"])
def test_one_entry_of_the_table_makes_a_format_known_to_data_vocab(sections, flag):
    output = sections.parent / "vocab.txt"
    vocab_command.main(
        [flag, str(sections), "--vocab_size", "60", "--output_file", str(output)],
    )
    pieces = Vocab.load(output).pieces
    assert len(pieces) == 60
    assert "-" not in pieces  # a book would have kept the separators


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Format)])
def test_an_incomplete_entry_is_an_error(field):
    entries = {f.name: getattr(SECTIONS, f.name) for f in dataclasses.fields(Format)}
    del entries[field]
    with pytest.raises(TypeError, match=field):
        Format(**entries)


@pytest.mark.parametrize("name", ["a/b", "Sections", "two words", "", "a-b"])
def test_a_key_that_cannot_be_a_flag_is_an_error(monkeypatch, name):
    monkeypatch.setitem(FORMATS, name, SECTIONS)
    with pytest.raises(ValueError, match="FORMATS"):
        add_format_flags(argparse.ArgumentParser())


def test_a_key_that_is_another_flag_is_an_error(monkeypatch):
    monkeypatch.setitem(FORMATS, "output_dir", SECTIONS)
    with pytest.raises(argparse.ArgumentError, match="--output_dir"):
        build.main([])


def test_no_format_has_the_name_of_another_kind_of_source():
    assert not {MIXED, build.DECONTAMINATE} & set(FORMATS)


def test_document_ids_of_another_kind_are_an_error(sections, monkeypatch):
    monkeypatch.setitem(FORMATS, "wrong", SECTIONS)
    (file,) = find_inputs("wrong", str(sections))
    (part,) = split_file(file)
    with pytest.raises(ValueError, match=r"FORMATS\['wrong'\].*'sections/in.sections#0'"):
        list(read_part(part, max_document_bytes=10**5))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("enwiki-pages-articles1.xml-p1p41242.bz2", "wiki"),
        ("a.jsonl.gz", "jsonl"),
        ("hamlet.txt", "books"),
        ("xml", "books"),
    ],
)
def test_the_name_of_a_file_suggests_its_kind(name, kind):
    file = InputFile(kind="input", path=f"folder.xml/{name}", name=name, num_bytes=1)
    assert guess_kind(file).kind == kind
