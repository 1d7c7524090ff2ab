"""Paragraphs that overlap with evaluation files."""

import gzip
import json
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.errors import UserError
from data.sources.documents import find_inputs
from data.stages import contamination
from data.stages.contamination import NgramFilter

SENTENCE = "the quick brown fox jumps over the lazy dog and runs far away today"  # 14 words


def matches(ngrams: NgramFilter, text: str) -> bool:
    return ngrams.matching([text]) == [True]


def filter_of(path, content: str) -> NgramFilter:
    path.write_text(content)
    return NgramFilter.from_files(find_inputs("decontaminate", str(path)))


def test_punctuation_does_not_hide_thirteen_words_in_a_row(tmp_path):
    found = filter_of(tmp_path / "eval.txt", SENTENCE)
    words = SENTENCE.split()
    assert matches(found, SENTENCE)
    assert matches(found, "Yes: " + ", ".join(words[1:]).upper() + "!")
    assert not matches(found, " ".join(words[:12]) + " somewhere")
    assert not matches(found, " ".join(reversed(words)))
    assert not matches(found, "")


def test_formats_of_evaluation_files(tmp_path):
    squad = {"data": [{"paragraphs": [{"context": f"He said:\n“{SENTENCE}”", "id": 5}]}]}
    assert matches(filter_of(tmp_path / "squad.json", json.dumps(squad)), SENTENCE)
    lines = json.dumps({"text": "x"}) + "\n" + json.dumps({"text": SENTENCE}) + "\n"
    assert matches(filter_of(tmp_path / "set.jsonl", lines), SENTENCE)
    first, second = SENTENCE[:30], SENTENCE[30:]
    glue = filter_of(tmp_path / "mnli.tsv", f"{SENTENCE} indeed\t{first}\n")
    assert matches(glue, SENTENCE)
    # Each field of a row is a separate text.
    (tmp_path / "more.tsv").write_text(f"{SENTENCE} indeed\n{first}\t{second}")
    assert not matches(
        filter_of(tmp_path / "m.tsv", f"{'a b c d e f g ' * 2}\n{first}\t{second}"), SENTENCE
    )


def test_ngrams_cross_paragraphs(tmp_path):
    found = filter_of(tmp_path / "eval.txt", SENTENCE)
    words = SENTENCE.split()
    paragraphs = ["Before that.", *(" ".join(words[i : i + 5]) + "." for i in (0, 5, 10)), "After."]
    assert found.matching(paragraphs) == [False, True, True, True, False]
    # The paragraphs of the 13 words, not those of the sentence.
    assert found.matching(["The", *words[1:], "?", "the end"]) == [True] * 14 + [False] * 2
    assert found.matching([" ".join(words[1:7]), "...", " ".join(words[7:])]) == [True, False, True]
    assert found.matching(paragraphs[:3]) == [False] * 3
    assert found.matching([]) == []


def test_evaluation_text_is_normalised_like_documents(tmp_path):
    decomposed = SENTENCE.replace("quick", "cafe\u0301").replace("lazy", "la\u00adzy")
    found = filter_of(tmp_path / "eval.txt", decomposed)
    assert matches(found, SENTENCE.replace("quick", "café"))


def test_ngrams_cross_lines_but_not_blank_lines(tmp_path):
    wrapped = SENTENCE[:30] + "\n" + SENTENCE[30:]
    assert matches(filter_of(tmp_path / "eval.txt", wrapped), SENTENCE)
    (tmp_path / "b.txt").write_text(f"{wrapped}\n")
    separated = wrapped.replace("\n", "\n \n") + "\n\n" + "other words " * 8
    assert not matches(filter_of(tmp_path / "c.txt", separated), SENTENCE)


def test_chinese_sentence_has_many_words(tmp_path):
    sentence = "语言模型的训练数据不应该包含测试集的文本。"
    found = filter_of(tmp_path / "eval.txt", sentence)
    assert matches(found, f"他说:{sentence}")
    assert not matches(found, "语言模型的训练数据包含许多别的文本。")


def test_json_strings_may_contain_any_line_separator(tmp_path):
    line = json.dumps({"text": f"One.\u2028{SENTENCE}\u0085Two."}, ensure_ascii=False)
    assert matches(filter_of(tmp_path / "set.jsonl", f"{line}\r\n{line}\n"), SENTENCE)


def test_without_files_nothing_matches():
    assert NgramFilter.from_files([]).matching([SENTENCE, ""]) == [False, False]


def test_unusable_evaluation_files_are_errors(tmp_path):
    with pytest.raises(UserError, match=r"--decontaminate .*short\.txt: no run of 13 words"):
        filter_of(tmp_path / "short.txt", "too short")
    with pytest.raises(UserError, match=r"--decontaminate .*bad\.json cannot be read"):
        filter_of(tmp_path / "bad.json", "{")
    with pytest.raises(UserError, match=r"--decontaminate .*deep\.json cannot be read"):
        filter_of(tmp_path / "deep.json", "[" * 100_000)


def test_file_without_a_run_of_words_is_named_beside_others(tmp_path, capsys):
    (tmp_path / "a.txt").write_text(SENTENCE)
    (tmp_path / "b.txt").write_text("too short")
    found = NgramFilter.from_files(find_inputs("decontaminate", f"{tmp_path}/*"))
    assert matches(found, SENTENCE)
    warning = (
        f"WARNING --decontaminate {tmp_path}/b.txt: no run of 13 words; nothing is compared with it"
    )
    assert capsys.readouterr().err.endswith(f"{warning}\n")


def test_tables_are_read_with_nested_values(tmp_path, monkeypatch):
    """As SQuAD is stored by Hugging Face: answers are lists inside of objects."""
    path = tmp_path / "validation.parquet"
    rows = {"id": [1, 2], "answers": [{"text": ["a", SENTENCE]}, {"text": None}]}
    pq.write_table(pa.table(rows), path)
    inputs = find_inputs("decontaminate", str(path))
    assert matches(NgramFilter.from_files(inputs), SENTENCE)
    monkeypatch.setattr(contamination, "_MAX_JSON_BYTES", 10)
    with pytest.raises(UserError, match=r"validation\.parquet has more than 10 bytes of values"):
        NgramFilter.from_files(inputs)
    path.write_bytes(path.read_bytes()[:-20] + b"x" * 20)
    with pytest.raises(UserError, match=r"validation\.parquet: truncated or damaged"):
        NgramFilter.from_files(inputs)


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("bomb.txt.gz", SENTENCE + "\n", r"has more than 1,048,576 bytes of text"),
        ("bomb.json.gz", "[" * 99, r"has more than 524,288 bytes of text"),
        ("bomb.tsv.gz", "x" * 100, r"has a line of more than 65,536 characters"),
        ("bomb.jsonl.gz", "[" * 99, r"has a line of more than 65,536 characters"),
    ],
)
def test_memory_for_a_file_that_unpacks_to_40_megabytes_is_bounded(
    tmp_path, monkeypatch, name, line, message
):
    with gzip.open(tmp_path / name, "wb", compresslevel=1) as file:
        block = (line * 10_000).encode()
        for _ in range(4 * 10**7 // len(block)):
            file.write(block)
    limits = {"_MAX_BYTES": 2**20, "_MAX_JSON_BYTES": 2**19, "_MAX_LINE": 2**16}
    for limit, value in limits.items():
        monkeypatch.setattr(contamination, limit, value)
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=rf"--decontaminate .*{name} {message}"):
            NgramFilter.from_files(find_inputs("decontaminate", str(tmp_path / name)))
        assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    finally:
        tracemalloc.stop()


def test_long_paragraph_is_read_by_line(tmp_path):
    found = filter_of(tmp_path / "eval.txt", SENTENCE.replace(" ", "\n") + "\n" + "x\n" * 50_000)
    assert matches(found, SENTENCE)
