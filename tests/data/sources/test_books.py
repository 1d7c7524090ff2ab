import bz2
import gzip
import os

import pytest

from data.errors import UserError
from data.sources.books import chapter_starts, read_book, read_text
from data.sources.documents import (
    Document,
    InputFile,
    Reject,
    Skipped,
    find_inputs,
    join_lines,
    normalise,
    whole_file,
)


def items(path, kind="books", limit=10**6) -> list[Document | Reject | Skipped]:
    """All that a file gives; checks that every byte of it is in exactly one item."""
    file = InputFile(kind=kind, path=str(path), name=path.name, num_bytes=path.stat().st_size)
    reader = {"books": read_book, "text": read_text}[kind]
    (part,) = whole_file(file)
    found = list(reader(part, max_document_bytes=limit))
    if path.suffix not in (".gz", ".bz2"):
        assert sum(item.num_bytes for item in found) == file.num_bytes
    return found


def book(path) -> Document | Reject:
    (item,) = items(path)
    return item


def test_a_real_poem_has_its_stanzas_as_paragraphs(golden):
    document = book(golden / "books/phoenix_and_the_turtle.txt")
    assert document.id == "books/phoenix_and_the_turtle.txt"
    assert document.paragraphs[:4] == (
        "THE PHOENIX AND THE TURTLE",
        "by William Shakespeare",
        "Let the bird of loudest lay, On the sole Arabian tree, Herald sad and trumpet be, To whose"
        " sound chaste wings obey.",
        "But thou, shrieking harbinger, Foul pre-currer of the fiend, Augur of the fever's end, To"
        " this troop come thou not near.",
    )


def test_compressed_books_read_the_same(golden, tmp_path):
    plain = golden / "books/lovers_complaint.txt"
    packed = tmp_path / "lovers_complaint.txt.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert book(packed).paragraphs == book(plain).paragraphs


def test_gutenberg_header_and_licence_are_skipped_and_counted(tmp_path):
    header = "Title: X\n*** START OF THE PROJECT GUTENBERG EBOOK X ***"
    licence = "*** END OF THE PROJECT GUTENBERG EBOOK X ***\nLicence."
    path = tmp_path / "x.txt"
    path.write_text(f"{header}\nIt begins.\n{licence}")
    assert items(path) == [
        Skipped(reason="licence", num_bytes=len(header) + len(licence)),
        Document(id="books/x.txt", paragraphs=("It begins.",), num_bytes=len("\nIt begins.\n")),
    ]
    (whole,) = items(path, kind="text")
    assert whole.id == "text/x.txt"
    assert whole.num_bytes == path.stat().st_size


START = "*** START OF THE PROJECT GUTENBERG EBOOK X ***\n"
END = "*** END OF THIS PROJECT GUTENBERG EBOOK X ***\n"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (["Head.\n", START, "One.\n", END, "Licence.\n", START, "Two.\n", END, "L"], "One. Two."),
        (["Head.\n", START, "One.\n", START, "Two.\n"], "One. Two."),
        (["One.\n", END, "Licence.\n", START, "Two.\n"], "One. Two."),
        (["One.\n", END, "Licence.\n", END, "Licence.\n"], "One."),
        (["Head.\n", START, START, "One.\n", END], "One."),
    ],
)
def test_each_of_gutenbergs_books_in_a_file_is_a_document(tmp_path, content, expected):
    path = tmp_path / "x.txt"
    path.write_text("".join(content))
    documents = [item for item in items(path) if isinstance(item, Document)]
    assert [document.paragraphs for document in documents] == [(t,) for t in expected.split()]
    names = [document.id for document in documents]
    if len(names) == 1:
        assert names == ["books/x.txt"]
    else:
        places = ["".join(content).index(text) for text in expected.split()]
        # The line end after a START belongs to its book.
        starts = [place - (place > 0) for place in places]
        assert names == [f"books/x.txt#{start}" for start in starts]


def test_a_book_between_marks_without_text_is_rejected(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text(START + "\n" + END)
    assert [getattr(item, "reason", item) for item in items(path)] == ["licence", "no text"]


def test_chapters_are_parts_of_a_book():
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


def test_a_real_play_has_its_acts_as_parts(tmp_path):
    path = tmp_path / "play.txt"
    path.write_text("A PLAY\n\nACT I\n\nScene 1.\n\nEnter two.\n\nACT II\n\nExit one.\n")
    (document,) = items(path)
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
def test_bad_books_are_rejected_with_place_and_reason(tmp_path, content, offset, reason):
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    for kind in ("books", "text"):
        assert items(path, kind, limit=100) == [
            Reject(source="bad.txt", offset=offset, reason=reason, num_bytes=len(content))
        ]


def test_a_decompression_bomb_is_refused_at_once(tmp_path):
    path = tmp_path / "bomb.txt.bz2"
    path.write_bytes(bz2.compress(b"0" * 50_000_000))
    assert path.stat().st_size < 100
    (item,) = items(path, limit=1000)
    assert item.reason == "larger than BuildConfig.max_document_bytes=1000"
    assert item.num_bytes < 100_000  # no more was read


def test_a_truncated_book_is_rejected(tmp_path):
    path = tmp_path / "cut.txt.gz"
    path.write_bytes(gzip.compress(b"many words " * 1000)[:-10])
    assert book(path).reason.startswith("cannot be read")


def test_lines_are_rejoined():
    assert list(join_lines(["A b", " c.", "", "", "D\te."])) == ["A b c.", "D e."]


def test_normalise():
    assert normalise("page\x0cbreak\rline\x85next\x1eend") == "page break line next end"
    assert normalise("e\u200b\u0301") == "é"
    assert normalise("cafe\u0301\u200b \x07 a\u00adb\nc") == "café ab c"


def test_inputs_are_named_below_the_fixed_part_of_the_glob(golden):
    names = [file.name for file in find_inputs("books", f"{golden}/**/*.txt")]
    assert "books/sonnets.txt" in names
    assert [f.name for f in find_inputs("books", f"{golden}/books/sonnets.txt")] == ["sonnets.txt"]


def test_a_file_whose_name_looks_like_a_pattern(tmp_path):
    path = tmp_path / "Book [1] *.txt"
    path.write_text("Text.")
    (tmp_path / "Book").mkdir()
    assert [file.name for file in find_inputs("books", str(path))] == [path.name]
    assert [file.name for file in find_inputs("books", f"{tmp_path}/Book*.txt")] == [path.name]


def test_a_file_whose_name_is_not_utf8_is_an_error(tmp_path):
    with open(os.fsencode(tmp_path) + b"/caf\xe9.txt", "wb") as file:
        file.write(b"Text.")
    (tmp_path / "café.txt").write_text("Text.")
    assert [file.name for file in find_inputs("books", f"{tmp_path}/café*")] == ["café.txt"]
    with pytest.raises(
        UserError, match=r"--books .*/caf\\xe9\.txt: the name of the file is not UTF"
    ):
        find_inputs("books", f"{tmp_path}/*")


def test_folders_that_a_glob_matches_are_mentioned(tmp_path, capsys):
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.txt").write_text("Text.")
    (tmp_path / "folder/b.txt").write_text("Text.")
    assert len(find_inputs("books", f"{tmp_path}/*")) == 1
    assert f"1 folders matched and are not read; '{tmp_path}/**' does" in capsys.readouterr().out
    assert len(find_inputs("books", f"{tmp_path}/**")) == 2
    assert capsys.readouterr().out == ""


def test_a_dump_is_no_book(golden, tmp_path):
    path = tmp_path / "dump.bz2"
    path.write_bytes((golden / "wiki.xml.bz2").read_bytes())
    with pytest.raises(UserError, match="is a MediaWiki dump, not a --books file"):
        book(path)


def test_no_match_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"--wiki .*/\*\.bz2: no input file matched"):
        find_inputs("wiki", f"{tmp_path}/*.bz2")
    with pytest.raises(UserError, match="it is a directory: add /"):
        find_inputs("wiki", str(tmp_path))
