"""Paragraphs that overlap with evaluation files."""

import json

import pytest

from data.errors import UserError
from data.sources.documents import find_inputs
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
    with pytest.raises(UserError, match="the 1 files have no run of 13 words"):
        filter_of(tmp_path / "short.txt", "too short")
    with pytest.raises(UserError, match=r"--decontaminate .*bad\.json cannot be read"):
        filter_of(tmp_path / "bad.json", "{")
    with pytest.raises(UserError, match=r"--decontaminate .*deep\.json cannot be read"):
        filter_of(tmp_path / "deep.json", "[" * 100_000)
