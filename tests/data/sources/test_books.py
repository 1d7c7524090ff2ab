import bz2
import gzip

import pytest

from data.errors import UserError
from data.sources.books import chapter_starts, read_book, read_text
from data.sources.documents import (
    Document,
    InputFile,
    Reject,
    Skipped,
    whole_file,
)


def read_items(path, kind="books", limit=10**6) -> list[Document | Reject | Skipped]:
    """Read a file; assert that the items account for every byte of it."""
    file = InputFile(kind=kind, path=str(path), name=path.name, num_bytes=path.stat().st_size)
    reader = {"books": read_book, "text": read_text}[kind]
    (part,) = whole_file(file)
    items = list(reader(part, max_document_bytes=limit))
    if path.suffix not in (".gz", ".bz2"):
        assert sum(item.num_bytes for item in items) == file.num_bytes
    return items


def read_one(path) -> Document | Reject:
    (item,) = read_items(path)
    return item


def test_stanzas_of_a_real_poem_are_paragraphs(golden):
    document = read_one(golden / "books/phoenix_and_the_turtle.txt")
    assert document.id == "books/phoenix_and_the_turtle.txt"
    assert document.paragraphs[:4] == (
        "THE PHOENIX AND THE TURTLE",
        "by William Shakespeare",
        "Let the bird of loudest lay, On the sole Arabian tree, Herald sad and trumpet be, To whose"
        " sound chaste wings obey.",
        "But thou, shrieking harbinger, Foul pre-currer of the fiend, Augur of the fever's end, To"
        " this troop come thou not near.",
    )


def test_a_compressed_book_gives_the_same_paragraphs(golden, tmp_path):
    plain = golden / "books/lovers_complaint.txt"
    packed = tmp_path / "lovers_complaint.txt.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert read_one(packed).paragraphs == read_one(plain).paragraphs


def test_gutenberg_header_and_licence_are_skipped_and_counted(tmp_path):
    header = "Title: X\n*** START OF THE PROJECT GUTENBERG EBOOK X ***"
    licence = "*** END OF THE PROJECT GUTENBERG EBOOK X ***\nLicence."
    path = tmp_path / "x.txt"
    path.write_text(f"{header}\nIt begins.\n{licence}")
    assert read_items(path) == [
        Skipped(reason="licence", num_bytes=len(header) + len(licence)),
        Document(id="books/x.txt", paragraphs=("It begins.",), num_bytes=len("\nIt begins.\n")),
    ]
    (whole,) = read_items(path, kind="text")
    assert whole.id == "text/x.txt"
    assert whole.num_bytes == path.stat().st_size


START = "*** START OF THE PROJECT GUTENBERG EBOOK X ***\n"
END = "*** END OF THIS PROJECT GUTENBERG EBOOK X ***\n"


TWO_LINES = "*** START OF THE PROJECT GUTENBERG EBOOK X,\nA LONG TITLE ***\n"
SMALL_PRINT = (
    "***START**THE SMALL PRINT!**FOR PUBLIC DOMAIN ETEXTS**START***\nTerms.\n"
    "*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*\n"
)
LAST_LINE = "End of Project Gutenberg's Etext of X, by Y\n"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (["Head.\n", TWO_LINES, "One.\n", END, "Licence.\n"], "One."),
        (["Head.\n", f"  {START}", "One.\n", f"\t{END}", "Licence.\n"], "One."),
        (["Head.\n", SMALL_PRINT, "One.\n", LAST_LINE, "Licence.\n"], "One."),
        (["Head.\n", SMALL_PRINT, "Notes.\n", START, "One.\n", LAST_LINE, END, "L."], "One."),
        (["Head.\n", START, "One.\n", END, "Licence.\n", START, "Two.\n", END, "L"], "One. Two."),
        (["Head.\n", START, "One.\n", START, "Two.\n"], "One. Two."),
        (["One.\n", END, "Licence.\n", START, "Two.\n"], "One. Two."),
        (["One.\n", END, "Licence.\n", END, "Licence.\n"], "One."),
        (["Head.\n", START, START, "One.\n", END], "One."),
    ],
)
def test_each_gutenberg_book_in_a_file_is_a_document(tmp_path, content, expected):
    path = tmp_path / "x.txt"
    path.write_text("".join(content))
    documents = [item for item in read_items(path) if isinstance(item, Document)]
    assert [document.paragraphs for document in documents] == [(t,) for t in expected.split()]
    names = [document.id for document in documents]
    if len(names) == 1:
        assert names == ["books/x.txt"]
    else:
        offsets = ["".join(content).index(text) for text in expected.split()]
        # The line end after a START mark belongs to its book.
        starts = [offset - (offset > 0) for offset in offsets]
        assert names == [f"books/x.txt#{start}" for start in starts]


def test_a_book_between_marks_without_text_is_rejected(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text(START + "\n" + END)
    assert [getattr(item, "reason", item) for item in read_items(path)] == ["licence", "no text"]


def test_chapter_headings_are_found():
    paragraphs = (
        "THE BOOK",
        "CHAPTER I",
        "Chapter one begins: book 2 is on the shelf, chapter and verse.",
        "BOOK THE SECOND",
        "CHAPTER 2. The Storm",
        "It rained.",
        "Act of parliament, he said.",
        "Epilogue",
        "The end.",
    )
    # "BOOK THE SECOND" and the chapter below it are one boundary.
    assert chapter_starts(paragraphs) == (1, 3, 7)
    assert chapter_starts(("CHAPTER I", "It begins.")) == ()


def test_acts_of_a_play_are_chapters(tmp_path):
    path = tmp_path / "play.txt"
    path.write_text("A PLAY\n\nACT I\n\nScene 1.\n\nEnter two.\n\nACT II\n\nExit one.\n")
    (document,) = read_items(path)
    assert document.paragraphs == (
        "A PLAY",
        "ACT I",
        "Scene 1.",
        "Enter two.",
        "ACT II",
        "Exit one.",
    )
    assert document.breaks == (1, 4)


@pytest.mark.parametrize(
    ("content", "offset", "reason"),
    [
        (b"good \xff bad", "byte 5", "not UTF-8: byte 0xff"),
        (b"", "byte 0", "no text"),
        (b" \n\n \x00 \n", "byte 0", "no text"),
        (b"x" * 101, "byte 0", "larger than BuildConfig.max_document_bytes=100"),
    ],
)
def test_a_bad_book_is_rejected_with_offset_and_reason(tmp_path, content, offset, reason):
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    for kind in ("books", "text"):
        assert read_items(path, kind, limit=100) == [
            Reject(source="bad.txt", offset=offset, reason=reason, num_bytes=len(content))
        ]


def test_a_decompression_bomb_is_rejected_after_a_few_chunks(tmp_path):
    path = tmp_path / "bomb.txt.bz2"
    path.write_bytes(bz2.compress(b"0" * 50_000_000))
    assert path.stat().st_size < 100
    (item,) = read_items(path, limit=1000)
    assert item.reason == "larger than BuildConfig.max_document_bytes=1000"
    assert item.num_bytes < 100_000  # bytes actually decompressed


def test_a_truncated_book_is_rejected(tmp_path):
    path = tmp_path / "cut.txt.gz"
    path.write_bytes(gzip.compress(b"many words " * 1000)[:-10])
    assert read_one(path).reason.startswith("cannot be read")


def test_a_dump_given_as_a_book_is_an_error(golden, tmp_path):
    path = tmp_path / "dump.bz2"
    path.write_bytes((golden / "wiki.xml.bz2").read_bytes())
    with pytest.raises(UserError, match="is a MediaWiki dump, not a --books file"):
        read_one(path)
