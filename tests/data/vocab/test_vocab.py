import numpy as np
import pytest

from data import schema
from data.errors import UserError
from data.text.wordpiece import WordPieceTokenizer
from data.vocab import Vocab
from data.vocab.__main__ import main
from data.vocab.learn import learn


def write(path, *lines: str):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_learning_gives_the_golden_vocabulary_every_time(golden, vocab, tmp_path):
    output = tmp_path / "vocab.txt"
    arguments = ["--input", f"{golden}/*.bz2", "--input", f"{golden}/books/*.txt"]
    main([*arguments, "--vocab_size", "1500", "--output_file", str(output)])
    assert output.read_text(encoding="utf-8") == vocab.text
    assert vocab.pieces[:5] == schema.SPECIAL_TOKENS
    assert len(vocab) == 1500


def test_too_small_a_vocabulary_is_an_error():
    with pytest.raises(UserError, match="--vocab_size 8 is too small"):
        learn(["some words with letters"], vocab_size=8)
    with pytest.raises(UserError, match="no text to learn"):
        learn([], vocab_size=8)


def test_more_pieces_than_the_text_has_is_an_error():
    with pytest.raises(UserError, match=r"--vocab_size 5000: the text has only \d+ pieces"):
        learn(["some words with letters, some words"], vocab_size=5000)


def test_an_existing_file_of_another_size_is_an_error(golden):
    arguments = ["--input", "x", "--output_file", f"{golden}/vocab.txt"]
    main([*arguments, "--vocab_size", "1500"])  # is there already
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
def test_a_wrong_vocabulary_file_is_an_error(tmp_path, lines, message):
    with pytest.raises(UserError, match=message):
        Vocab.load(write(tmp_path / "vocab.txt", *lines))


def test_a_missing_vocabulary_file_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"none\.txt does not exist; learn one"):
        Vocab.load(tmp_path / "none.txt")


def test_windows_line_ends_and_unused_pieces(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_bytes(b"[PAD]\r\n[unused0]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\n[MASK]\r\n[x]\r\n")
    vocab = Vocab.load(path)
    assert vocab.pieces[-1] == "[x]"
    assert vocab.special_ids.tolist() == [0, 1, 2, 3, 4, 5]


def test_token_type_follows_the_size():
    assert Vocab(tuple(map(str, range(2**16)))).token_dtype == np.uint16
    assert Vocab(tuple(map(str, range(2**16 + 1)))).token_dtype == np.uint32


def test_tokens_of_a_sentence(vocab):
    tokenizer = WordPieceTokenizer(vocab, lower_case=True)
    sentences = ["The Phoenix, and the Turtle!", "", "[MASK] naïve 愛"]
    ids, lengths = tokenizer.encode(sentences)
    assert ids.dtype == np.uint16
    assert lengths.tolist() == [9, 0, 9]
    assert [vocab.pieces[i] for i in ids] == [
        *("the", "phoenix", ",", "and", "the", "t", "##ur", "##tle", "!"),
        # Text that looks like a special token is text; brackets are rare enough to have no piece.
        *("[UNK]", "ma", "##s", "##k", "[UNK]", "n", "##a", "##ive", "[UNK]"),
    ]
    ids, lengths = tokenizer.encode([])
    assert (len(ids), len(lengths)) == (0, 0)


def test_tokens_of_real_text_equal_the_slower_tokenizer(golden, vocab, paragraphs):
    import tensorflow as tf
    import tensorflow_text as tf_text

    slow = tf_text.BertTokenizer(
        str(golden / "vocab.txt"), token_out_type=tf.int32, lower_case=True
    )
    expected = slow.tokenize(paragraphs).merge_dims(1, 2)
    ids, lengths = WordPieceTokenizer(vocab, lower_case=True).encode(paragraphs)
    np.testing.assert_array_equal(ids, expected.values)
    np.testing.assert_array_equal(lengths, expected.row_lengths())
