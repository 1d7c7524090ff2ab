"""Sentence splitting loses no character, and its accuracy does not fall below what was measured."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.data import segmenters
from data.text.sentences import split_sentences


def without_blanks(text: str) -> str:
    return "".join(text.split())


def test_abbreviations_do_not_end_a_sentence():
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
def test_sentences_of_other_languages_are_split(language, sentences):
    blank = "" if language in ("zh", "ja") else " "
    assert split_sentences(blank.join(sentences), language=language) == sentences


@pytest.mark.parametrize("group", ["ordinary", "hard"])
def test_splitting_real_text_loses_only_white_space(golden, group):
    for expected in segmenters.read_reference(golden / f"sentences/{group}.txt"):
        paragraph = segmenters.join(expected)
        assert without_blanks("".join(split_sentences(paragraph))) == without_blanks(paragraph)


# Arbitrary text, and text made of the characters that segmenters look at.
TEXTS = st.text() | st.lists(
    st.sampled_from([*".?!…。।;:-\"'”“()[] \n\u00a0aAé3一", "U.S.", "No. 5", "Mr. ", "e.g. "])
).map("".join)


@given(TEXTS, st.sampled_from(["en", "de", "zh", "hi", "xx"]))
def test_splitting_arbitrary_text_loses_only_white_space(text, language):
    sentences = split_sentences(text, language=language)
    assert without_blanks("".join(sentences)) == without_blanks(text)
    assert all(sentence == sentence.strip() != "" for sentence in sentences)


# Slightly below the measured values, so that a worse version of the segmenter is noticed.
@pytest.mark.parametrize(("group", "least_f1"), [("ordinary", 0.95), ("hard", 0.815)])
def test_accuracy_of_the_boundaries(golden, group, least_f1):
    reference = segmenters.read_reference(golden / f"sentences/{group}.txt")
    assert segmenters.errors(split_sentences, reference)["f1"] >= least_f1


def test_errors_of_a_segmenter_are_counted():
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
