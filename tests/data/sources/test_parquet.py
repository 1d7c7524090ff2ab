"""Tables as Hugging Face publishes them: Wikipedia, FineWeb, BookCorpus."""

import io
import itertools
import random
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data import files
from data.errors import UserError
from data.sources import parquet
from data.sources.documents import Document, Reject, Skipped, find_inputs
from data.sources.formats import FORMATS, read_part, split_file
from data.sources.streams import ByteCounter, DamagedError

WIKIPEDIA = {
    "id": ["12", "25"],
    "url": ["https://en.wikipedia.org/wiki/Anarchism", "https://en.wikipedia.org/wiki/Autism"],
    "title": ["Anarchism", "Autism"],
    "text": ["Anarchism is a philosophy.\n\nIt is old.", "Autism is a condition."],
}


def store(path, table, **options):
    pq.write_table(pa.table(table), path, **options)
    return str(path)


def read(path, kind="parquet", limit=10**6, text_field="text"):
    items = []
    check_head = FORMATS[kind].check_head
    for file in find_inputs(kind, path, text_field=text_field, check_head=check_head):
        for part in split_file(file):
            counter = ByteCounter()
            found = list(read_part(part, max_document_bytes=limit, counter=counter))
            assert sum(item.num_bytes for item in found) == counter.num_bytes
            items += found
    return items


def test_rows_of_wikipedia_are_documents_with_id_and_title(tmp_path):
    path = store(tmp_path / "train-00000-of-00041.parquet", WIKIPEDIA)
    assert read(path) == [
        Document(
            id="parquet/train-00000-of-00041.parquet#12 Anarchism",
            paragraphs=("Anarchism is a philosophy.", "It is old."),
            num_bytes=38,
        ),
        Document(
            id="parquet/train-00000-of-00041.parquet#25 Autism",
            paragraphs=("Autism is a condition.",),
            num_bytes=22,
        ),
    ]


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        ({}, ["0", "1"]),
        ({"id": [7, None]}, ["7", "1"]),
        ({"id": [[7], [8]]}, ["0", "1"]),
        ({"id": [True, False]}, ["0", "1"]),
        ({"title": ["A\u00ad b", None]}, ["0 A b", "1"]),
    ],
)
def test_without_an_id_the_number_of_the_row_names_a_document(tmp_path, columns, names):
    path = store(tmp_path / "f.parquet", {"text": ["One.", "Two."], **columns})
    assert [item.id for item in read(path)] == [f"parquet/f.parquet#{name}" for name in names]


@pytest.mark.parametrize(
    "text_type",
    [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())],
)
@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd"])
def test_strings_of_every_type_are_read(tmp_path, text_type, compression):
    texts = pa.array(["One é.", None, "", "Two."]).cast(text_type)
    path = store(tmp_path / "f.parquet", {"text": texts}, compression=compression)
    first, null, empty, last = read(path)
    assert (first.paragraphs, last.paragraphs) == (("One é.",), ("Two.",))
    assert null == Reject(source="f.parquet", offset="row 1", reason="'text' is null", num_bytes=0)
    assert empty == Reject(source="f.parquet", offset="row 2", reason="no text", num_bytes=0)


def test_texts_that_are_not_utf8_or_too_large_are_rejected(tmp_path):
    texts = pa.array([b"caf\xe9", b"x" * 11, b"Good."]).view(pa.string())
    path = store(tmp_path / "f.parquet", {"text": texts})
    encoding, size, good = read(path, limit=10)
    assert encoding.reason.startswith("not UTF-8: ")
    assert (encoding.offset, encoding.num_bytes) == ("row 0", 4)
    assert size.reason == "larger than BuildConfig.max_document_bytes=10"
    assert (size.offset, size.num_bytes) == ("row 1", 11)
    assert good.paragraphs == ("Good.",)


def test_rows_of_bookcorpus_are_sentences(tmp_path):
    rows = [f"sentence number {number} is short .\n" for number in range(750)]
    path = store(tmp_path / "f.parquet", {"text": [None, "", *rows]}, row_group_size=1000)
    skipped = [item for item in read(path, "sentences") if isinstance(item, Skipped)]
    first, second = (item for item in read(path, "sentences") if isinstance(item, Document))
    assert [(item.reason, item.num_bytes) for item in skipped] == [("blank lines", 0)] * 2
    assert (first.id, second.id) == ("sentences/f.parquet#2", "sentences/f.parquet#502")
    assert first.paragraphs + second.paragraphs == tuple(row.strip() for row in rows)


def test_a_sentence_above_the_size_limit_is_rejected_with_its_document(tmp_path):
    path = store(tmp_path / "f.parquet", {"text": ["short", "x" * 100, "short"]})
    (item,) = read(path, "sentences", limit=50)
    assert (item.offset, item.num_bytes) == ("row 0", 110)


def test_each_row_group_belongs_to_one_part(tmp_path, monkeypatch):
    texts = [f"Sentence number {number}." for number in range(100)]
    path = store(tmp_path / "f.parquet", {"text": texts}, row_group_size=7)
    for part_bytes in (1, 100, 1000, 10**6):
        monkeypatch.setattr(parquet, "PART_BYTES", part_bytes)
        documents = read(path)
        assert [document.paragraphs[0] for document in documents] == texts
        assert documents[-1].id == "parquet/f.parquet#99"


def test_another_column_may_have_the_text(tmp_path):
    path = store(tmp_path / "f.parquet", {"content": ["One."], "title": ["T"]})
    assert read(path, text_field="content")[0].paragraphs == ("One.",)
    assert read(path, text_field="title")[0].id == "parquet/f.parquet#0"


@pytest.mark.parametrize("kind", ["parquet", "sentences"])
@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            {"content": ["One."], "title": ["T"]},
            "f.parquet has no column 'text', but content, title; name the one with the text by"
            " --text_field$",
        ),
        ({}, "f.parquet has no column 'text', but no columns; "),
        (
            {"text": [["One."]], "body": ["One."], "id": [1]},
            "f.parquet: the column 'text' is list<.*>, not a string; columns of strings: body",
        ),
        ({"text": [{"a": "One."}]}, "the column 'text' is struct<.*>, .* columns of strings: none"),
        ({"text": [b"One."]}, "the column 'text' is binary, not a string"),
        ({"text": [1]}, "the column 'text' is int64, not a string"),
    ],
)
def test_a_table_without_a_column_of_text_is_an_error_that_names_its_columns(
    tmp_path, kind, table, message
):
    path = store(tmp_path / "f.parquet", table)
    with pytest.raises(UserError, match=f"^--{kind} .*{message}"):
        read(path, kind)


@pytest.mark.parametrize(
    ("start", "stop", "content"),
    [
        (100, None, b""),  # the footer is cut off
        (-8, -4, b"\xff\xff\xff\x7f"),  # its length
        (4, 60, b"\xff" * 56),  # the first page
    ],
)
def test_a_damaged_table_is_one_line_that_names_it(tmp_path, start, stop, content):
    file = io.BytesIO()
    pq.write_table(pa.table({"text": [f"Sentence {n}." for n in range(100)]}), file)
    whole = file.getvalue()
    end = whole[stop:] if stop is not None else b""
    path = tmp_path / "f.parquet"
    path.write_bytes(whole[:start] + content + end)
    with pytest.raises(DamagedError, match=r"^\S*f\.parquet: truncated or damaged \(.*download"):
        read(str(path))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("f.parquet", b"Text.", "f.parquet is not a Parquet table"),
        ("f", b"PAR1...", "f is a Parquet table; give it a name that ends with .parquet"),
    ],
)
def test_a_name_that_does_not_fit_the_content_is_an_error(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        read(str(tmp_path / name))


def test_a_folder_of_tables_in_a_bucket_is_read():
    for number in range(2):
        file = io.BytesIO()
        pq.write_table(pa.table({"text": [f"Sentence {number}."]}), file)
        files.write_atomically(f"ram://tables/en/{number}.parquet", file.getvalue())
    assert [item.id for item in read("ram://tables/**")] == [
        "parquet/en/0.parquet#0",
        "parquet/en/1.parquet#0",
    ]


def test_a_row_group_is_read_piece_by_piece(tmp_path):
    """Not as a whole, as pyarrow does by default."""
    rng = random.Random(1)
    texts = [rng.randbytes(3000).hex() for _ in range(8000)]
    path = store(tmp_path / "f.parquet", {"text": texts}, row_group_size=10**6, compression="none")
    (file,) = find_inputs("parquet", path)
    tracemalloc.start()
    num_bytes = sum(
        item.num_bytes
        for part in split_file(file)
        for item in read_part(part, max_document_bytes=10**6)
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert num_bytes == 48_000_000
    assert peak + pa.total_allocated_bytes() < 20 * 2**20


def test_a_table_of_a_kilobyte_that_stands_for_gigabytes_takes_little_memory(tmp_path):
    long = pa.array(["x" * 2**20])
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 10_000, pa.int32()), long)
    path = store(tmp_path / "f.parquet", {"text": texts}, compression="zstd")
    assert files.size_of(path) < 3000
    (file,) = find_inputs("parquet", path)
    (part,) = split_file(file)
    items = itertools.islice(read_part(part, max_document_bytes=1000), 200)
    assert max(pa.total_allocated_bytes() for _ in items) < 300 * 2**20
