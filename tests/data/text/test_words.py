from data.text.words import words


def test_words_are_lower_case_without_punctuation():
    assert words("Don't STOP, café_1!") == ["don", "t", "stop", "café_1"]
    assert words("") == words(" .,-") == []


def test_each_kana_or_chinese_character_is_a_word():
    assert words("BERT模型很好。") == ["bert", "模", "型", "很", "好"]
    assert words("カタカナとひらがな") == list("カタカナとひらがな")
    assert words("한국어 문장") == ["한국어", "문장"]


def test_combining_marks_belong_to_their_word():
    assert words("हिन्दी में लिखा") == ["हिन्दी", "में", "लिखा"]
    assert words("ภาษาไทย ที่นี่") == ["ภาษาไทย", "ที่นี่"]
    assert words("cafe\u0301 café") == ["café", "café"]
