"""The table of formats; every format, compression, storage and split gives the same documents."""

import argparse
import bz2
import dataclasses
import gzip
import io
import json
import lzma
import re
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from data import build, files
from data.errors import UserError
from data.sources import lines, parquet
from data.sources.documents import (
    Document,
    InputPart,
    accept_any_head,
    find_inputs,
    whole_file,
)
from data.sources.formats import (
    FORMATS,
    GLOB_FLAG,
    Format,
    add_format_flags,
    find_flagged_inputs,
    guess_kind,
    read_part,
    split_file,
)
from data.sources.streams import ByteCounter, open_stream
from data.sources.wiki import parts as wiki_parts
from data.storage.sequence_sources import MIXED
from data.vocab import Vocab
from data.vocab import __main__ as vocab_command
from data.vocab.paragraphs import read_paragraphs

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
        case "wikiextractor":
            return [
                f'<doc id="{number}" url="u" title="T">\nT\n\n{text}\n\n</doc>\n'
                for number, text in enumerate(SENTENCES)
            ]
        case "parquet":
            return SENTENCES
    return ["\n\n".join(SENTENCES)]


COMPRESS = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.compress,
    # Several streams, one after the other.
    ".multistream.bz2": bz2.compress,
    ".multistream.xz": lzma.compress,
    ".multistream.zst": zstandard.compress,
}
SPLIT = ("wiki", "lines", "sentences", "jsonl", "wikiextractor")


def store(kind: str, suffix: str) -> bytes:
    if suffix == ".parquet":
        file = io.BytesIO()
        pq.write_table(pa.table({"text": SENTENCES}), file, row_group_size=4)
        return file.getvalue()
    if suffix == ".tar":
        return tar_of({"a/one.txt": "\n\n".join(SENTENCES).encode()})
    encoded = [block.encode() for block in blocks_of(kind)]
    if suffix.startswith(".multistream"):
        return b"".join(map(COMPRESS[suffix], encoded))
    return COMPRESS[suffix](b"".join(encoded))


def tar_of(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


FILES = [
    *((kind, suffix) for kind in FORMATS if kind != "parquet" for suffix in COMPRESS),
    *(("parquet", ".parquet"), ("sentences", ".parquet"), ("books", ".tar"), ("text", ".tar")),
]
# Names by which `data.vocab --input` recognises a format.
NAMES = {"wiki": "f.xml.zst", "jsonl": "f.jsonl.xz", "parquet": "f.parquet", "books": "f.tar"}


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(lines.split_file, "__kwdefaults__", {"part_bytes": 700})
    monkeypatch.setattr(lines, "SENTENCE_PART_BYTES", 700)
    monkeypatch.setattr(parquet, "PART_BYTES", 700)
    monkeypatch.setattr(parquet, "SENTENCE_PART_BYTES", 700)
    monkeypatch.setattr(wiki_parts, "PLAIN_PART_BYTES", 700)
    monkeypatch.setattr(wiki_parts, "BZ2_PART_BYTES", 700)


@pytest.mark.parametrize("storage", ["local", "ram"])
@pytest.mark.parametrize(("kind", "suffix"), FILES)
def test_every_format_is_read_from_every_storage_and_compression(
    kind, suffix, storage, tmp_path, small_parts
):
    directory = str(tmp_path) if storage == "local" else f"ram://{tmp_path.name}"
    content = store(kind, suffix)
    files.write_atomically(files.join(directory, f"in/f{suffix}"), content)
    (file,) = find_inputs(kind, files.join(directory, "in/*"))
    assert (file.name, file.num_bytes) == (f"f{suffix}", len(content))
    parts = split_file(file)
    is_split = (kind in SPLIT and suffix == "") or suffix == ".parquet"
    assert (len(parts) > 3) == (is_split or (kind, suffix) == ("wiki", ".multistream.bz2"))

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
    if suffix == ".parquet":  # of the texts
        assert num_bytes == len("".join(SENTENCES))
    else:
        assert num_bytes == len(content if suffix == ".tar" else "".join(blocks_of(kind)))


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
    for suffix in ("", ".gz", ".bz2", ".xz", ".zst"):
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
    example="in.sections",
    name_contains=".sections",
    has_text_field=False,
    check_head=accept_any_head,
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


@pytest.mark.parametrize(
    ("flag", "kind", "name"),
    [
        *((f"--{kind}", kind, f"f{suffix}") for kind, suffix in FILES),
        *(("--input", kind, name) for kind, name in NAMES.items()),
    ],
)
def test_data_vocab_reads_the_same_text_from_every_format(tmp_path, flag, kind, name):
    suffix = re.sub(r"^f(\.xml|\.jsonl)?", "", name)
    (tmp_path / name).write_bytes(store(kind, suffix))
    parser = argparse.ArgumentParser()
    add_format_flags(parser)
    parser.add_argument("--input", **GLOB_FLAG)
    inputs = find_flagged_inputs(parser.parse_args([flag, str(tmp_path / name)]))
    assert list(read_paragraphs(inputs, max_bytes=10**6)) == SENTENCES


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
        ("train-00000-of-00041.parquet", "parquet"),
        ("hamlet.txt", "books"),
        ("xml", "books"),
    ],
)
def test_the_name_of_a_file_suggests_its_kind(name, kind):
    assert guess_kind(f"folder.xml/{name}") == kind


@pytest.mark.parametrize(
    ("kind", "content", "message"),
    [
        ("wiki", b"Text.", "neither a MediaWiki dump nor XML"),
        ("wiki", b"", "f: is empty"),
        ("wiki", b"<feed><doc></doc></feed>", "its first element is <feed>"),
        ("jsonl", b'{"content": "One.", "id": 1}\n', "have 'content', 'id', but no 'text'; name"),
        ("parquet", b"Text.", "is not a Parquet table"),
        ("wikiextractor", b"Text.", "is not output of WikiExtractor"),
    ],
)
def test_the_head_of_every_file_is_looked_at_before_any_work(
    tmp_path, golden, kind, content, message
):
    (tmp_path / "f").write_bytes(content)
    arguments = [f"--{kind}", f"{tmp_path}/f", "--vocab_file", f"{golden}/vocab.txt"]
    with pytest.raises(UserError, match=message):
        build.main([*arguments, "--output_dir", f"{tmp_path}/D"])
    assert not (tmp_path / "D").exists()


def test_a_line_of_json_without_a_text_is_left_to_the_reader(tmp_path):
    (tmp_path / "f").write_bytes(b'{"a": 1}\n{"text": "One."}\nno JSON\n{"text": "cu')
    check_head = FORMATS["jsonl"].check_head
    assert len(find_inputs("jsonl", f"{tmp_path}/f", check_head=check_head)) == 1


def test_text_field_names_the_text_and_is_a_setting_of_the_build(tmp_path, golden, capsys):
    (tmp_path / "f").write_bytes(b'{"content": "A bird of the tree.", "body": "A tree."}\n')
    arguments = [
        *("--jsonl", f"{tmp_path}/f", "--vocab_file", f"{golden}/vocab.txt"),
        *("--gin_param", "BuildConfig.copies = 0", "--gin_param", "BuildConfig.num_shards = 1"),
        *("--gin_param", "BuildConfig.eval_fraction = 0.0", "--output_dir", f"{tmp_path}/D"),
        *("--gin_param", "BuildConfig.max_unknown_fraction = 1.0"),
    ]
    build.main([*arguments, "--text_field", "content"])
    (entry,) = build.Manifest.load(tmp_path / "D").inputs
    assert entry["text_field"] == "content"
    with pytest.raises(UserError, match=r"the text of f is 'content' there and 'body' now"):
        build.main([*arguments, "--text_field", "body"])


def test_text_field_without_a_format_that_has_one_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"no effect without --sentences, --jsonl, --parquet"):
        build.main(["--text", "a", "--text_field", "b", "--vocab_file", "v", "--output_dir", "D"])


@pytest.mark.parametrize("main", [build.main, vocab_command.main])
def test_help_has_an_example_of_each_format(main, capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    printed = capsys.readouterr().out
    for kind, entry in FORMATS.items():
        assert f"e.g. --{kind} {entry.example}" in printed
