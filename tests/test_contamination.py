import json

import pytest

from data.contamination import NgramFilter
from data.documents import find_inputs
from data.errors import UserError

SENTENCE = "the quick brown fox jumps over the lazy dog and runs far away today"  # 14 words


def filter_of(path, content: str) -> NgramFilter:
    path.write_text(content)
    return NgramFilter.from_files(find_inputs("decontaminate", str(path)))


def test_thirteen_words_in_a_row_are_found_whatever_the_punctuation(tmp_path):
    found = filter_of(tmp_path / "eval.txt", SENTENCE)
    words = SENTENCE.split()
    assert found.matches(SENTENCE)
    assert found.matches("Yes: " + ", ".join(words[1:]).upper() + "!")
    assert not found.matches(" ".join(words[:12]) + " somewhere")
    assert not found.matches(" ".join(reversed(words)))
    assert not found.matches("")


def test_formats_of_evaluation_files(tmp_path):
    squad = {"data": [{"paragraphs": [{"context": f"He said:\n“{SENTENCE}”", "id": 5}]}]}
    assert filter_of(tmp_path / "squad.json", json.dumps(squad)).matches(SENTENCE)
    lines = json.dumps({"text": "x"}) + "\n" + json.dumps({"text": SENTENCE}) + "\n"
    assert filter_of(tmp_path / "set.jsonl", lines).matches(SENTENCE)
    first, second = SENTENCE[:30], SENTENCE[30:]
    glue = filter_of(tmp_path / "mnli.tsv", f"{SENTENCE} indeed\t{first}\n")
    assert glue.matches(SENTENCE)
    # Fields of a row are texts of their own.
    (tmp_path / "more.tsv").write_text(f"{SENTENCE} indeed\n{first}\t{second}")
    assert not filter_of(tmp_path / "m.tsv", f"{'a b c d e f g ' * 2}\n{first}\t{second}").matches(
        SENTENCE
    )


def test_without_files_nothing_matches():
    assert not NgramFilter.from_files([]).matches(SENTENCE)


def test_files_that_cannot_serve_are_errors(tmp_path):
    with pytest.raises(UserError, match="the 1 files hold no run of 13 words"):
        filter_of(tmp_path / "short.txt", "too short")
    with pytest.raises(UserError, match=r"--decontaminate .*bad\.json cannot be read"):
        filter_of(tmp_path / "bad.json", "{")
