import numpy as np
import pytest

from data import schema
from data.errors import UserError
from data.vocab import Vocab
from data.vocab.__main__ import main
from data.vocab.learn import learn


def write_lines(path, *lines: str):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_learning_reproduces_the_golden_vocabulary(golden, vocab, tmp_path):
    output = tmp_path / "vocab.txt"
    arguments = ["--input", f"{golden}/*.bz2", "--input", f"{golden}/books/*.txt"]
    main([*arguments, "--vocab_size", "1500", "--output_file", str(output)])
    assert output.read_text(encoding="utf-8") == vocab.text
    assert vocab.pieces[:5] == schema.SPECIAL_TOKENS
    assert len(vocab) == 1500


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


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"], r"vocab\.txt \(5 pieces\) has no \[MASK\]"),
        ([*schema.SPECIAL_TOKENS, "a", "b", "a"], "'a' is on lines 6 and 8"),
        ([*schema.SPECIAL_TOKENS, "a", "", "b"], "line 7 is empty"),
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


def test_token_dtype_depends_on_the_number_of_pieces():
    assert Vocab(tuple(map(str, range(2**16)))).token_dtype == np.uint16
    assert Vocab(tuple(map(str, range(2**16 + 1)))).token_dtype == np.uint32
