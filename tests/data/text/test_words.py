import sys

from data.sources.recursion import retry_on_empty_stack
from data.text.words import words


def test_words():
    assert words("Don't STOP, café_1!") == ["don", "t", "stop", "café_1"]
    assert words("") == words(" .,-") == []


def test_characters_of_languages_without_blanks_are_words():
    assert words("BERT模型很好。") == ["bert", "模", "型", "很", "好"]
    assert words("カタカナとひらがな") == list("カタカナとひらがな")
    assert words("한국어 문장") == ["한국어", "문장"]


def test_the_depth_of_the_caller_does_not_matter():
    def depth(levels: int) -> int:
        return 1 + depth(levels - 1) if levels else 0

    def call_below(levels: int) -> int:
        return call_below(levels - 1) if levels else retry_on_empty_stack(depth, limit * 4 // 5)

    limit = sys.getrecursionlimit()
    assert call_below(0) == call_below(limit // 2) == limit * 4 // 5
