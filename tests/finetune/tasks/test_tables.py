"""Files of examples: rows, skipped lines, and errors with file and line."""

import gzip

import pytest

from data.errors import UserError
from finetune.tasks.tables import Row, Skip, read_conll, read_table


def write(path, content: str | bytes):
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_tsv_has_no_quoting(tmp_path):
    content = '\ufefftext\tlabel\r\nShe said "no.\t0\r\nline\u2028separator\t1\r\n\r\n"\t2'
    table = read_table(write(tmp_path / "a.tsv", content), columns=["label", "text"])
    assert table.rows == [
        Row(2, {"label": "0", "text": 'She said "no.'}),
        Row(3, {"label": "1", "text": "line\u2028separator"}),
        Row(5, {"label": "2", "text": '"'}),
    ]
    assert table.where(table.rows[2]) == f"{tmp_path}/a.tsv, line 5"


def test_quoted_fields_of_csv_may_contain_line_breaks(tmp_path):
    content = 'label,text\n0,"one, two\nand ""three"""\n1,four\n'
    table = read_table(write(tmp_path / "a.csv", content), columns=["text"], optional=["label"])
    assert table.rows == [
        Row(3, {"text": 'one, two\nand "three"', "label": "0"}),
        Row(4, {"text": "four", "label": "1"}),
    ]


def test_optional_field_of_jsonl(tmp_path):
    content = '{"text": "a\\tb", "label": 1}\n\n{"text": "c", "other": 2}\n'
    path = write(tmp_path / "a.jsonl", content)
    table = read_table(path, columns=["text"], optional=["label", "id"])
    assert table.columns == ("text", "label")
    assert [(row.line, row.cells["text"], row.cells["label"]) for row in table.rows] == [
        (1, "a\tb", 1),
        (3, "c", None),
    ]


def test_row_that_does_not_fit_is_skipped_or_an_error(tmp_path):
    path = write(tmp_path / "a.tsv", "text\tlabel\na\t0\nb\nc\td\t1\n")
    table = read_table(path, columns=["text", "label"])
    assert [row.line for row in table.rows] == [2]
    assert table.skipped == [
        Skip(f"{path}, line 3", "1 columns instead of 2"),
        Skip(f"{path}, line 4", "3 columns instead of 2"),
    ]
    with pytest.raises(UserError, match="line 3: 1 columns instead of 2; every row needs"):
        read_table(path, columns=["text"], keep_all=True)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", "", "a.tsv is empty"),
        ("a.tsv", "\n \n", "a.tsv is empty"),
        ("a.tsv", "text\tlabel\n", r"a.tsv has no rows of 2 columns \(text, label\)"),
        ("a.tsv", "text\tlabels\na\t0\n", "no column 'label'; there are text, labels"),
        ("a.tsv", "text\ttext\tlabel\na\tb\t0\n", "has 2 columns called 'text'"),
        ("a.tsv", b"text\tlabel\na\t0\ncaf\xe9\t1\n", "line 3: byte 0xe9 is not UTF-8"),
        ("a.csv", 'text,label\n"a,0\n', "a.csv, line 2: unexpected end of data"),
        ("a.jsonl", '{"text": "a", "label": 0}\n{"text": ', "line 2: not JSON"),
        ("a.jsonl", '{"text": "a", "label": 0}\n["b", 1]\n', "line 2: must be an object with text"),
        ("a.jsonl", '{"text": "a"}\n', "line 1: no field 'label'; there are text"),
        (
            "a.jsonl",
            '{"text": "\\ud83d", "label": 1}\n',
            r"line 1: \\ud83d is half of a surrogate pair",
        ),
    ],
)
def test_errors_name_file_and_line(tmp_path, name, content, message):
    with pytest.raises(UserError, match=message):
        read_table(write(tmp_path / name, content), columns=["text", "label"])


def test_conll_columns(tmp_path):
    content = "-DOCSTART- -X- -X- O\n\nKing NNP B-NP B-PER\r\nHenry\tNNP\tI-NP\tI-PER\n\n\nno\u00a0one NN x O"
    table = read_conll(write(tmp_path / "a.conll", content))
    assert table.rows == [
        Row(4, {"words": ["King", "Henry"], "labels": ["B-PER", "I-PER"]}),
        Row(7, {"words": ["no\u00a0one"], "labels": ["O"]}),
    ]
    assert table.skipped == [Skip(f"{tmp_path}/a.conll, line 1", "separates documents")]


def test_conll_without_labels(tmp_path):
    assert read_conll(write(tmp_path / "a.conll", "King\nHenry\n")).columns == ("words",)
    with pytest.raises(UserError, match="line 1 has a label and line 2 has none"):
        read_conll(write(tmp_path / "b.conll", "King B\nHenry\n"))
    with pytest.raises(UserError, match="has no words"):
        read_conll(write(tmp_path / "c.conll", "-DOCSTART-\n"))


def test_comments_of_conllu_before_the_words_of_a_sentence_are_skipped(tmp_path):
    content = "# newdoc\n# sent_id = 1\n# text = No # sign\nNo\tDET\n#\tSYM\nsign\tNOUN\n\n#1 SYM\n"
    table = read_conll(write(tmp_path / "a.conll", content))
    assert table.rows == [
        Row(6, {"words": ["No", "#", "sign"], "labels": ["DET", "SYM", "NOUN"]}),
        Row(8, {"words": ["#1"], "labels": ["SYM"]}),
    ]
    assert [skip.where.rpartition(" ")[2] for skip in table.skipped] == ["1", "2", "3"]
    assert {skip.reason for skip in table.skipped} == {"a comment"}


def test_all_columns_of_conllu_are_an_error_with_the_remedy(tmp_path):
    content = "# text = Gone\n1-2\tGone\t_\t_\t_\t_\t_\t_\t_\t_\n"
    with pytest.raises(UserError, match=r"a\.conll, line 2: has the 10 columns .* cut -f 2,4"):
        read_conll(write(tmp_path / "a.conll", content))


@pytest.mark.parametrize("name", ["a.tsv", "a.csv"])
def test_lone_carriage_return_is_white_space_within_a_row(tmp_path, name):
    separator = "," if name.endswith("csv") else "\t"
    rows = [["text", "label"], ["one\rrow", "1"], ["two", "0"]]
    content = "".join(f"{separator.join(row)}\r\n" for row in rows)
    table = read_table(write(tmp_path / name, content), columns=["text", "label"])
    assert [row.cells for row in table.rows] == [
        {"text": "one row", "label": "1"},
        {"text": "two", "label": "0"},
    ]
    old_mac = "".join(f"{separator.join(row)}\r" for row in rows if "\r" not in row[0])
    table = read_table(write(tmp_path / name, old_mac), columns=["text"])
    assert [row.cells for row in table.rows] == [{"text": "two"}]


def test_nan_in_jsonl_is_a_missing_value(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"text": "a", "label": NaN}\n{"text": "b", "label": 1}\n')
    table = read_table(path, columns=["text"], optional=["label"])
    assert [row.cells["label"] for row in table.rows] == [None, 1]


def test_compressed_files(tmp_path):
    rows = [{"text": "a, b", "label": "1"}]
    for name, content in (
        ("a.csv.gz", 'text,label\n"a, b",1\n'),
        ("a.tsv.gz", "text\tlabel\na, b\t1\n"),
    ):
        path = write(tmp_path / name, gzip.compress(content.encode()))
        table = read_table(path, columns=["text", "label"])
        assert [row.cells for row in table.rows] == rows
    path = write(tmp_path / "a.csv.gz", gzip.compress(b"text,label\n")[:-4])
    with pytest.raises(UserError, match=r"a\.csv\.gz cannot be decompressed: "):
        read_table(path, columns=["text"])
    path = write(tmp_path / "a.csv.gz", b"text,label\n")
    with pytest.raises(UserError, match=r"a\.csv\.gz cannot be decompressed: Not a gzipped"):
        read_table(path, columns=["text"])


def test_decompressed_content_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("data.files.MAX_TEXT_BYTES", 2**20)
    path = write(tmp_path / "a.csv.gz", gzip.compress(b"text\n" + bytes(2**21)))
    with pytest.raises(UserError, match="has more than 1,048,576 bytes"):
        read_table(path, columns=["text"])


def test_messages_list_some_of_many_columns(tmp_path):
    names = ",".join(f"column{n}" for n in range(1_000_000))
    path = write(tmp_path / "wide.csv", f"{names}\n1\n")
    for columns in (["text"], ["column0"]):
        with pytest.raises(UserError, match=r"column19 and 999,980 more") as caught:
            read_table(path, columns=columns)
        assert len(str(caught.value)) < 500


def test_a_number_of_too_many_digits_is_not_json(tmp_path):
    path = write(tmp_path / "a.jsonl", f'{{"text": "a"}}\n{{"text": {"9" * 5000}}}\n')
    with pytest.raises(
        UserError, match=r"a\.jsonl, line 2: not JSON: Exceeds the limit .*5000 digits$"
    ):
        read_table(path, columns=["text"])
