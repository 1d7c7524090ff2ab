import numpy as np
import pytest

from data import schema
from data.errors import UserError
from data.vocab import Vocab
from data.vocab.__main__ import describe, main, warning_about
from data.vocab.learn import learn, measure_coverage


def write_lines(path, *lines: str):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_learning_reproduces_the_golden_vocabulary(golden, tmp_path):
    output = tmp_path / "vocab.txt"
    arguments = ["--input", f"{golden}/*.bz2", "--input", f"{golden}/books/*.txt"]
    main([*arguments, "--vocab_size", "1500", "--output_file", str(output)])
    assert output.read_text("utf-8") == (golden / "vocab_learned.txt").read_text("utf-8")


def test_a_vocab_size_below_the_alphabet_is_an_error():
    with pytest.raises(UserError, match="--vocab_size 8 is too small"):
        learn(["some words with letters"], vocab_size=8)
    with pytest.raises(UserError, match="no text to learn"):
        learn([], vocab_size=8)


def test_a_vocab_size_above_what_the_text_supports_is_an_error():
    with pytest.raises(UserError, match=r"--vocab_size 5000: the text has only \d+ pieces"):
        learn(["some words with letters, some words"], vocab_size=5000)


def test_an_existing_file_is_kept_and_one_of_another_size_is_an_error(golden):
    arguments = ["--input", "x", "--output_file", f"{golden}/vocab.txt"]
    main([*arguments, "--vocab_size", "1500"])  # exists already
    with pytest.raises(UserError, match="exists and has 1500 pieces, not --vocab_size 1600"):
        main([*arguments, "--vocab_size", "1600"])


def test_rare_characters_get_no_piece():
    texts = ["aa bb cc aa bb cc", "z aa"]
    pieces = learn(texts, vocab_size=13, max_characters=4, min_frequency=1).pieces
    assert {"a", "b", "c"} <= set(pieces)
    assert not any("z" in piece for piece in pieces)


def test_a_cased_vocabulary_keeps_accents_whole():
    texts = ["Cafe\u0301 Café", "x y z"]  # decomposed and composed
    pieces = learn(texts, vocab_size=14, max_characters=5, min_frequency=1, lower_case=False).pieces
    assert "##é" in pieces
    assert not any("\u0301" in piece for piece in pieces)


GREEK_AND_GERMAN = ["Ο Ὀδυσσεύς και ο Αχιλλεύς.", "Die große Straße, die Grüße, der Fußweg."] * 3


def test_pieces_are_of_text_as_the_tokenizer_normalises_it():
    """The tokenizer folds "ς" to "σ" and "ß" to "ss": pieces with the former would never be used."""
    vocab = learn(GREEK_AND_GERMAN, vocab_size=70)
    assert not [piece for piece in vocab.pieces if "ς" in piece or "ß" in piece]
    coverage = measure_coverage(vocab, GREEK_AND_GERMAN, lower_case=True)
    assert (coverage.unknown_tokens, coverage.unknown_words) == (0, ())
    cased = learn(GREEK_AND_GERMAN, vocab_size=90, lower_case=False)
    assert [piece for piece in cased.pieces if "ß" in piece]
    assert measure_coverage(cased, GREEK_AND_GERMAN, lower_case=False).unknown_tokens == 0


def test_words_that_are_longer_than_a_piece_may_be_are_left_out():
    """One of a megabyte would take minutes. Limits are in bytes, and Chinese is no single word."""
    texts = [f"{text} {'ab' * 500_000}, {'ж' * 129} end" for text in GREEK_AND_GERMAN]
    assert learn(texts, vocab_size=70) == learn(
        [f"{text} , end" for text in GREEK_AND_GERMAN], vocab_size=70
    )
    kept = ["abcd" * 64, "ж" * 128, "我" * 500, "ab-" * 300]
    vocab = learn(kept * 3, vocab_size=40)
    assert max(len(piece.encode()) for piece in vocab.pieces) > 100  # of the long words
    assert measure_coverage(vocab, kept, lower_case=True).unknown_tokens == 0


def test_unknown_words_and_unused_pieces_are_counted():
    vocab = Vocab((*schema.SPECIAL_TOKENS, "the", "fox", "fo", "##x"))
    coverage = measure_coverage(vocab, ["The fox", "the dog, dog"], lower_case=True)
    assert (coverage.tokens, coverage.unknown_tokens) == (6, 3)
    assert coverage.unused_pieces == 2  # "fo" and "##x"
    assert coverage.unknown_words == (("dog", 2), (",", 1))
    assert "50.000% of the tokens are [UNK]; 2 pieces are" in describe(coverage)
    assert "'dog' (2), ',' (1)" in warning_about(coverage)


def test_chinese_characters_get_pieces_while_the_text_needs_them():
    """An alphabet of 1,000 characters, enough for English, would lose half of these."""
    characters = [chr(0x4E00 + i) for i in range(2000)]
    vocab = learn(["".join(characters)] * 3, vocab_size=1405)
    assert set(vocab.pieces) == {*schema.SPECIAL_TOKENS, *characters[:1400]}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"], r"vocab\.txt \(5 pieces\) has no \[MASK\]"),
        ([*schema.SPECIAL_TOKENS, "a", "b", "a"], "'a' is on lines 6 and 8"),
        ([*schema.SPECIAL_TOKENS, "a", "", "b"], "line 7 is empty"),
        (
            [*schema.SPECIAL_TOKENS, "##" + "ж" * 129],
            "'##жж.*'... on line 6 has more than 256 bytes",
        ),
    ],
)
def test_an_invalid_vocabulary_file_is_an_error(tmp_path, lines, message):
    with pytest.raises(UserError, match=message):
        Vocab.load(write_lines(tmp_path / "vocab.txt", *lines))


def test_a_missing_vocabulary_file_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"none\.txt does not exist; learn one"):
        Vocab.load(tmp_path / "none.txt")


def test_windows_line_ends_are_accepted_and_unused_pieces_are_special(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_bytes(b"[PAD]\r\n[unused0]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\n[MASK]\r\n[x]\r\n")
    vocab = Vocab.load(path)
    assert vocab.pieces[-1] == "[x]"
    assert vocab.special_ids.tolist() == [0, 1, 2, 3, 4, 5]


def test_byte_order_mark_is_no_part_of_the_first_piece(golden, tmp_path):
    content = (golden / "vocab.txt").read_bytes()
    (tmp_path / "vocab.txt").write_bytes(b"\xef\xbb\xbf" + content)
    assert Vocab.load(tmp_path / "vocab.txt").text.encode() == content


def test_token_dtype_depends_on_the_number_of_pieces():
    assert Vocab(tuple(map(str, range(2**16)))).token_dtype == np.uint16
    assert Vocab(tuple(map(str, range(2**16 + 1)))).token_dtype == np.uint32
