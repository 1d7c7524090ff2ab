import bz2
import gzip
import io
import json
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import files
from data.errors import UserError
from data.sources import lines as line_formats
from data.sources.documents import Document, InputFile, Reject, Skipped
from data.sources.lines import read_jsonl, read_lines, read_sentences, split_file

READERS = {"lines": read_lines, "sentences": read_sentences, "jsonl": read_jsonl}


def read(path, kind, *, part_bytes=10**6, limit=10**6) -> list[Document | Reject | Skipped]:
    file = InputFile(kind=kind, path=str(path), name="f", num_bytes=path.stat().st_size)
    return [
        item
        for part in split_file(file, part_bytes=part_bytes)
        for item in READERS[kind](part, max_document_bytes=limit)
    ]


def texts(items) -> list[tuple[str, tuple[str, ...]]]:
    return [(item.id, item.paragraphs) for item in items if isinstance(item, Document)]


def test_blank_lines_separate_documents(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"One.\nTwo  words.\r\n\n \nThree.")
    assert read(path, "lines") == [
        Document(id="lines/f#0", paragraphs=("One.", "Two words."), num_bytes=18),
        Skipped(reason="blank lines", num_bytes=1),
        Skipped(reason="blank lines", num_bytes=2),
        Document(id="lines/f#21", paragraphs=("Three.",), num_bytes=6),
    ]


def test_json_lines_are_documents_named_by_id_or_offset(tmp_path):
    path = tmp_path / "f"
    lines = [
        json.dumps({"text": "One.\n\nTwo.", "id": "a", "url": "x"}),
        "",
        json.dumps({"text": "caf\u00e9"}),
        json.dumps({"id": 7, "text": "Seven."}),
        json.dumps({"id": None, "text": "Null is none."}),
    ]
    path.write_text("\n".join(lines))
    items = read(path, "jsonl")
    assert texts(items) == [
        ("jsonl/f#a", ("One.", "Two.")),
        (f"jsonl/f#{len(lines[0]) + 2}", ("café",)),
        ("jsonl/f#7", ("Seven.",)),
        (f"jsonl/f#{sum(map(len, lines[:4])) + 4}", ("Null is none.",)),
    ]
    assert sum(item.num_bytes for item in items) == path.stat().st_size


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "not a line of JSON: "),
        (b"[" * 100_000, "not a line of JSON: "),
        (b'{"text": "caf\xe9"}', "not a line of JSON: 'utf-8' codec can't decode byte 0xe9"),
        (b"[1]", 'not an object with a string "text"'),
        (b'{"text": 5}', 'not an object with a string "text"'),
        (b'{"txt": "a"}', 'not an object with a string "text"'),
        (b'{"text": "a", "id": [1]}', '"id" is [1]: must be a string or an integer'),
        (b'{"text": "a", "id": ["' + b"long" * 9999 + b'"]}', '"id" is [\'longlong'),
        (b'{"text": "  \\u200b "}', "no text"),
        (b'{"text": "' + b"x" * 10**6 + b'"}', "a line larger than BuildConfig.max_document_bytes"),
    ],
)
def test_a_bad_json_line_is_rejected_alone(tmp_path, line, reason):
    path = tmp_path / "f"
    path.write_bytes(b'{"text": "Good."}\n' + line + b'\n{"text": "Also good."}\n')
    items = read(path, "jsonl")
    assert [paragraphs for _, paragraphs in texts(items)] == [("Good.",), ("Also good.",)]
    (reject,) = (item for item in items if isinstance(item, Reject))
    assert reject.reason.startswith(reason)
    assert len(reject.reason) <= 200
    assert (reject.offset, reject.num_bytes) == ("byte 18", len(line) + 1)


def test_bad_documents_between_blank_lines_are_rejected_alone(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"Good.\n\nbad \xff\n\n" + b"long line\n" * 20 + b"\nAlso good.\n")
    items = read(path, "lines", limit=100)
    assert [paragraphs for _, paragraphs in texts(items)] == [("Good.",), ("Also good.",)]
    rejects = [(i.offset, i.reason, i.num_bytes) for i in items if isinstance(i, Reject)]
    assert rejects == [
        (
            "byte 7",
            "not UTF-8: 'utf-8' codec can't decode byte 0xff in position 4: invalid start byte",
            6,
        ),
        (
            "byte 14",
            "a text without a blank line larger than BuildConfig.max_document_bytes=100",
            200,
        ),
    ]
    assert sum(item.num_bytes for item in items) == path.stat().st_size


def test_sentences_become_documents_of_a_number_of_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(line_formats, "SENTENCE_LINES", 2)
    path = tmp_path / "f"
    path.write_bytes(b"one .\ntwo .\nthree .\n\nfour .\nfive .\n")
    items = read(path, "sentences")
    assert texts(items) == [
        ("sentences/f#0", ("one .", "two .")),
        ("sentences/f#12", ("three .", "four .")),
        ("sentences/f#28", ("five .",)),
    ]
    assert sum(item.num_bytes for item in items) == path.stat().st_size


@pytest.mark.parametrize("part_bytes", [1, 5, 13, 40])
def test_sentences_of_all_parts_are_those_of_the_file_in_order(tmp_path, monkeypatch, part_bytes):
    monkeypatch.setattr(line_formats, "SENTENCE_LINES", 3)
    path = tmp_path / "f"
    sentences = [f"sentence {number} ." for number in range(20)]
    path.write_text("\n".join(sentences))
    items = read(path, "sentences", part_bytes=part_bytes)
    assert [line for _, document in texts(items) for line in document] == sentences
    assert sum(item.num_bytes for item in items) == path.stat().st_size


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.sampled_from(["", "", " ", "a", "bc", "def " * 5, "x" * 40])),
    st.booleans(),
    st.integers(1, 60),
    st.sampled_from(["lines", "jsonl"]),
)
def test_the_parts_of_a_file_yield_the_items_of_the_whole(
    tmp_path_factory, lines, ends_with_newline, part_bytes, kind
):
    path = tmp_path_factory.getbasetemp() / "parts"
    path.write_text("\n".join(lines) + ("\n" if ends_with_newline else ""))
    if kind == "jsonl":
        path.write_text(
            "".join(json.dumps({"text": text}) + "\n" if text.strip() else "\n" for text in lines)
        )
    whole = read(path, kind, limit=30)
    assert read(path, kind, part_bytes=part_bytes, limit=30) == whole
    assert sum(item.num_bytes for item in whole) == path.stat().st_size


@pytest.mark.parametrize("kind", ["lines", "jsonl"])
def test_a_compressed_file_is_a_single_part(tmp_path, kind):
    plain, packed = tmp_path / "f", tmp_path / "f.gz"
    text = "One.\n\nTwo.\n" if kind == "lines" else '{"text": "One."}\n{"text": "Two."}\n'
    plain.write_text(text * 50)
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert read(packed, kind, part_bytes=10) == read(plain, kind)
    packed.write_bytes(packed.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"f\.gz: truncated or damaged"):
        read(packed, kind)


@pytest.mark.parametrize("name", ["f", "f.gz", "f.bz2"])
@pytest.mark.parametrize("kind", ["lines", "jsonl"])
def test_an_empty_file_is_rejected(tmp_path, kind, name):
    path = tmp_path / name
    path.write_bytes({"f": b"", "f.gz": gzip.compress(b""), "f.bz2": bz2.compress(b"")}[name])
    assert read(path, kind) == [Reject(source="f", offset="byte 0", reason="no text", num_bytes=0)]


@pytest.mark.parametrize("kind", ["lines", "jsonl"])
@pytest.mark.parametrize("content", [b"x" * 400_000, b"line\n" * 80_000, b"\n" + b"x" * 400_000])
def test_a_part_without_a_document_is_not_read_to_the_end_of_the_file(
    tmp_path, monkeypatch, kind, content
):
    """If one line or document spans many parts, the bytes read must not grow with their number."""
    monkeypatch.setattr(files, "CHUNK_BYTES", 1000)
    path = tmp_path / "f"
    path.write_bytes(content)
    read_bytes = 0

    class Counted(io.FileIO):
        def read(self, size):
            nonlocal read_bytes
            data = super().read(size)
            read_bytes += len(data)
            return data

    monkeypatch.setattr(files, "open_read", lambda path: Counted(path, "rb"))
    items = read(path, kind, part_bytes=4000, limit=500)
    assert sum(item.num_bytes for item in items) == len(content)
    assert read_bytes < 6 * len(content)


def test_the_depth_of_the_caller_does_not_decide_whether_json_is_rejected(tmp_path):
    path = tmp_path / "f"
    depth = sys.getrecursionlimit() * 4 // 5
    path.write_text('{"text": "Deep.", "x": ' + "[" * depth + "]" * depth + "}\n")

    def read_below(levels: int) -> list:
        return read_below(levels - 1) if levels else read(path, "jsonl")

    assert texts(read_below(sys.getrecursionlimit() // 2)) == texts(read_below(0))
    assert texts(read_below(0)) == [("jsonl/f#0", ("Deep.",))]


def test_a_dump_given_as_lines_is_an_error(tmp_path):
    path = tmp_path / "f"
    path.write_text("<mediawiki>\n<page>\n</page>\n</mediawiki>\n")
    with pytest.raises(UserError, match="is a MediaWiki dump; give it to --wiki"):
        read(path, "lines")


def test_only_line_ends_end_the_paragraphs_of_json_lines(tmp_path):
    text = "One\u2028two\x85three\x0bfour\x0cfive.\r\nSix.\rSeven.\nEight."
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"text": text}) + "\n")
    ((_, paragraphs),) = texts(read(path, "jsonl"))
    assert paragraphs == ("One two three four five.", "Six.", "Seven.", "Eight.")
