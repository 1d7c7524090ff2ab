"""Sentences: nothing is lost, and the boundaries stay as good as they were measured."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.data import segmenters
from data.text.sentences import split_sentences


def without_blanks(text: str) -> str:
    return "".join(text.split())


def test_sentences_know_abbreviations():
    paragraph = (
        "Dr. Smith met Mr. J. R. Jones at 5 p.m. in Washington. He paid $3.50, i.e. too much! Was"
        ' it? "No," said Prof. Brown.'
    )
    assert split_sentences(paragraph) == [
        "Dr. Smith met Mr. J. R. Jones at 5 p.m. in Washington.",
        "He paid $3.50, i.e. too much!",
        "Was it?",
        '"No," said Prof. Brown.',
    ]


@pytest.mark.parametrize(
    ("language", "sentences"),
    [
        ("zh", ["今天天气很好。", "我们去公园吧！", "你来吗？"]),
        ("ja", ["今日は晴れです。", "公園へ行きましょう。"]),
        ("hi", ["यह एक वाक्य है।", "यह दूसरा वाक्य है।"]),
        ("de", ["Das ist z. B. Dr. Müller aus St. Gallen.", "Er kam am 3. Mai an."]),
    ],
)
def test_other_languages_end_their_sentences_in_their_own_way(language, sentences):
    blank = "" if language in ("zh", "ja") else " "
    assert split_sentences(blank.join(sentences), language=language) == sentences


@pytest.mark.parametrize("group", ["ordinary", "hard"])
def test_no_character_of_real_text_is_lost_by_splitting(golden, group):
    for expected in segmenters.read_reference(golden / f"sentences/{group}.txt"):
        paragraph = segmenters.join(expected)
        assert without_blanks("".join(split_sentences(paragraph))) == without_blanks(paragraph)


# Text of any kind, and text made of what segmenters look at.
TEXTS = st.text() | st.lists(
    st.sampled_from([*".?!…。।;:-\"'”“()[] \n\u00a0aAé3一", "U.S.", "No. 5", "Mr. ", "e.g. "])
).map("".join)


@given(TEXTS, st.sampled_from(["en", "de", "zh", "hi", "xx"]))
def test_no_character_of_any_text_is_lost_by_splitting(text, language):
    sentences = split_sentences(text, language=language)
    assert without_blanks("".join(sentences)) == without_blanks(text)
    assert all(sentence == sentence.strip() != "" for sentence in sentences)


# Just under what was measured: a new version of the segmenter may not do worse unnoticed.
@pytest.mark.parametrize(("group", "least_f1"), [("ordinary", 0.95), ("hard", 0.815)])
def test_boundaries_are_as_good_as_they_were(golden, group, least_f1):
    reference = segmenters.read_reference(golden / f"sentences/{group}.txt")
    assert segmenters.errors(split_sentences, reference)["f1"] >= least_f1


def test_errors_of_a_segmenter():
    reference = [["A b.", "C d.", "E?", "--F."], ["G."]]
    assert segmenters.join(reference[0]) == "A b. C d. E?--F."

    def segment(text: str) -> list[str]:
        return ["A", "b.", "C d. E?--"] if text.startswith("A") else [text]

    assert segmenters.errors(segment, reference) == {
        "precision": 1 / 2,
        "recall": 1 / 3,
        "f1": 2 / 5,
        "expected": 3,
        "changed_paragraphs": 1,
    }
