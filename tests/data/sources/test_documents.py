import bz2
import gzip
import os

import pytest

from data import files
from data.errors import UserError
from data.sources.documents import check_distinct, find_inputs, join_lines, normalise
from data.vocab.__main__ import main


def test_hard_wrapped_lines_are_joined():
    assert list(join_lines(["A b", " c.", "", "", "D\te."])) == ["A b c.", "D e."]


def test_word_divided_by_a_soft_hyphen_at_a_line_end_is_whole():
    lines = ["a compre\u00ad", "  hensive view\f", "\fof co\u00ad operation, well-", "known"]
    assert list(join_lines(lines)) == ["a comprehensive view of co operation, well- known"]


def test_normalise_removes_invisible_characters_and_composes_accents():
    assert normalise("page\x0cbreak\rline\x85next\x1eend") == "page break line next end"
    assert normalise("e\u200b\u0301") == "é"
    assert normalise("cafe\u0301\u200b \x07 a\u00adb\nc") == "café ab c"


def test_inputs_are_named_below_the_fixed_part_of_the_glob(golden):
    names = [file.name for file in find_inputs("books", f"{golden}/**/*.txt")]
    assert "books/sonnets.txt" in names
    assert [f.name for f in find_inputs("books", f"{golden}/books/sonnets.txt")] == ["sonnets.txt"]


def test_a_file_name_with_glob_characters_is_taken_literally(tmp_path):
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
    with pytest.raises(UserError, match=r"--books .*/caf\\xe9\.txt: .* not UTF-8"):
        find_inputs("books", f"{tmp_path}/*")


def test_folders_that_match_a_glob_are_reported(tmp_path, capsys):
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.txt").write_text("Text.")
    (tmp_path / "folder/b.txt").write_text("Text.")
    assert len(find_inputs("books", f"{tmp_path}/*")) == 1
    assert f"1 folders matched and are not read; '{tmp_path}/**' does" in capsys.readouterr().err
    assert len(find_inputs("books", f"{tmp_path}/**")) == 2
    assert capsys.readouterr().err == ""


def test_a_glob_without_files_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"--wiki .*/\*\.bz2: no input file matched"):
        find_inputs("wiki", f"{tmp_path}/*.bz2")
    with pytest.raises(UserError, match="it is a directory: add /"):
        find_inputs("wiki", str(tmp_path))


@pytest.mark.parametrize("pattern", ["*", "**", "**/*.txt"])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.symlink_to("nowhere"), "is a symbolic link to nothing"),
        (lambda path: path.symlink_to(path.name), "is a symbolic link to nothing"),
        (os.mkfifo, "is a pipe, socket or device"),
    ],
)
def test_match_that_is_no_file_is_an_error(tmp_path, pattern, make, message):
    (tmp_path / "good.txt").write_text("Text.")
    make(tmp_path / "odd.txt")
    with pytest.raises(UserError, match=rf"odd\.txt {message}"):
        find_inputs("books", f"{tmp_path}/{pattern}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"x" * 257 + b"ustar\x00", "is a tar archive"),
        (gzip.compress(b"x" * 257 + b"ustar\x00", mtime=0), r"a\.gz is a tar archive"),
        (b"PK\x03\x04x", r"is a zip archive, not text; unpack it \(unzip .*/a\.txt -d .*/a\) and"),
        (b"PK\x03\x04" + b"x" * 26 + b"mimetypeapplication/epub+zip", r"\.epub, .*pandoc"),
        (b"7z\xbc\xaf\x27\x1cx", r"is a 7z archive, .*7z x .*/a\.txt -o.*/a\) .*7z x -so"),
        (b"\x28\xb5\x2f\xfdx", "is compressed by zstd"),
        (b"\xfd7zXZ\x00x", "is compressed by xz"),
        (gzip.compress(b"text", mtime=0), "is compressed by gzip"),
        (bz2.compress(b"text"), "is compressed by bzip2"),
        (b"PAR1x", "is a Parquet table, not text; give it to --parquet"),
        (b"600:12:April\n600:13:August\n", "is the index of a multistream dump"),
        (b"d41d8cd98f00b204e9800998ecf8427e  a.bz2\n", "is a list of checksums"),
        (b"\x04\x22\x4d\x18x", r"is compressed by lz4 or compress, .* zstd > "),
        (b"%PDF-1.7", "is a PDF document"),
        (b"\x7fELFx", "is a program"),
        (b'<doc id="12" url="u" title="T">\nT\n', "is output of WikiExtractor"),
    ],
)
def test_file_that_is_not_text_is_named(tmp_path, content, message):
    path = tmp_path / ("a.gz" if r"a\.gz" in message else "a.txt")
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"--lines .*{message}.*"):
        find_inputs("lines", str(path))


@pytest.mark.parametrize("kind", ["books", "text", "lines", "sentences"])
def test_json_given_as_text_is_named(tmp_path, kind):
    (tmp_path / "wiki_00").write_text('{"id": "12", "title": "T", "text": "One."}\n')
    with pytest.raises(UserError, match=rf"--{kind} .*wiki_00 has JSON objects.* --jsonl"):
        find_inputs(kind, str(tmp_path / "wiki_00"))
    assert len(find_inputs("jsonl", str(tmp_path / "wiki_00"))) == 1


def test_remote_file_that_is_not_text_is_named():
    path = "ram://not-text/archive.txt"
    files.write_atomically(path, b"PK\x03\x04x")
    with pytest.raises(UserError, match=f"--lines {path} is a zip archive.*; unpack"):
        find_inputs("lines", "ram://not-text/*")


ONE_A_LINE = [
    b"usually , he would be tearing around the living room , playing with his toys .\n",
    b"but just one look at a minion sent him practically catatonic .\n",
]


@pytest.mark.parametrize("kind", ["books", "text"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_sentences_given_as_hard_wrapped_lines_are_said(tmp_path, capsys, kind, suffix):
    content = b"".join(ONE_A_LINE * 50)
    path = tmp_path / f"p1{suffix}"
    path.write_bytes(gzip.compress(content) if suffix else content)
    find_inputs(kind, str(path))
    assert f"WARNING --{kind} {path} seems to have one sentence per line" in capsys.readouterr().err
    find_inputs("sentences", str(path))
    assert capsys.readouterr().err == ""


def test_no_warning_about_real_books(golden, capsys):
    find_inputs("books", f"{golden}/books/*.txt")
    find_inputs("text", f"{golden}/*.txt")
    assert capsys.readouterr().err == ""


def test_file_that_is_found_twice_through_a_linked_folder_is_an_error_that_names_the_link(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/a.txt").write_text("Text.")
    (tmp_path / "b").symlink_to("a")
    message = r"a/a\.txt and .*b/a\.txt are the same file; remove or exclude the link .*/b$"
    with pytest.raises(UserError, match=message):
        check_distinct(find_inputs("books", f"{tmp_path}/**"))
    with pytest.raises(UserError, match=message):
        main(["--books", f"{tmp_path}/**", "--output_file", str(tmp_path / "vocab.txt")])


def test_loop_of_folders_is_an_error(tmp_path):
    (tmp_path / "a.txt").write_text("Text.")
    (tmp_path / "loop").symlink_to(".")
    message = r"loop is a symbolic link to nothing or to itself; remove or mend it"
    with pytest.raises(UserError, match=message):
        find_inputs("books", f"{tmp_path}/**")
    with pytest.raises(UserError, match=message):
        main(["--books", f"{tmp_path}/**", "--output_file", str(tmp_path / "vocab.txt")])


def test_error_of_the_disk_names_the_file(tmp_path):
    (tmp_path / "bad.txt").symlink_to("/proc/self/mem")  # whose first bytes cannot be read
    with pytest.raises(OSError, match=r"Input/output error: '.*bad\.txt'"):
        find_inputs("books", f"{tmp_path}/*")


COMPANIONS = [
    "enwiki-20260101-pages-articles-multistream-index.txt.bz2",
    "enwiki-20260101-sha1sums.txt",
    "md5sums.txt",
    "SHA256SUMS",
    "a.bz2.md5",
    "_SUCCESS",
    "dataset_infos.json",
    "README.md",
]


@pytest.mark.parametrize("name", COMPANIONS)
@pytest.mark.parametrize("kind", ["wiki", "text", "jsonl", "parquet"])
def test_companions_of_a_corpus_are_named_and_not_read(tmp_path, capsys, kind, name):
    (tmp_path / "a.txt").write_text("Text.")
    (tmp_path / name).write_bytes(b"\x00 not text")
    assert [file.name for file in find_inputs(kind, f"{tmp_path}/*")] == ["a.txt"]
    assert f"INFO --{kind} {tmp_path}/*: {name} (" in capsys.readouterr().err
    # A file with a name of its own is meant.
    (tmp_path / name).write_text("Text.")
    assert [file.name for file in find_inputs(kind, str(tmp_path / name))] == [name]


def test_a_description_in_a_folder_of_texts_is_text(tmp_path):
    (tmp_path / "project").mkdir()
    for name in ("README.md", "project/README.md"):
        (tmp_path / name).write_text("Text.")
    assert [file.name for file in find_inputs("text", f"{tmp_path}/**")] == ["project/README.md"]
    with pytest.raises(
        UserError, match=r"README\.md \(a description\): no text; check the pattern"
    ):
        find_inputs("text", f"{tmp_path}/*.md")


def test_a_text_with_a_similar_name_is_no_companion(tmp_path):
    for name in ("readme_first.txt", "index.txt", "sums.txt", "_a.txt", "md5.md"):
        (tmp_path / name).write_text("Text.")
    assert len(find_inputs("text", f"{tmp_path}/*")) == 5
