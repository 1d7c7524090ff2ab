import numpy as np

from data import schema
from data.text.wordpiece import WordPieceTokenizer
from data.vocab import Vocab


def test_sentences_are_tokenized_in_one_call(vocab):
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


def test_tokens_of_real_text_equal_those_of_berttokenizer(golden, vocab, paragraphs):
    import tensorflow as tf
    import tensorflow_text as tf_text

    slow = tf_text.BertTokenizer(
        str(golden / "vocab.txt"), token_out_type=tf.int32, lower_case=True
    )
    expected = slow.tokenize(paragraphs).merge_dims(1, 2)
    ids, lengths = WordPieceTokenizer(vocab, lower_case=True).encode(paragraphs)
    np.testing.assert_array_equal(ids, expected.values)
    np.testing.assert_array_equal(lengths, expected.row_lengths())


def test_words_of_100_characters_are_cut_into_pieces_in_any_script():
    pieces = (*schema.SPECIAL_TOKENS, "ก", "##ก", "a", "##a")
    tokenizer = WordPieceTokenizer(Vocab(pieces), lower_case=True)
    assert tokenizer.encode(["ก" * 100, "a" * 100])[1].tolist() == [100, 100]
    assert tokenizer.encode(["a" * 401])[0].tolist() == [1]  # [UNK]


def test_cased_text_is_composed_and_loses_format_characters():
    pieces = (*schema.SPECIAL_TOKENS, "café", "x", "##y", "한국")
    tokenizer = WordPieceTokenizer(Vocab(pieces), lower_case=False)
    text = "cafe\u0301 ca\u00adf\u200dé x\u200by\u2028x \u1112\u1161\u11ab국"
    expected = ["café", "café", "x", "##y", "x", "한국"]
    ids, _ = tokenizer.encode([text])
    assert [pieces[i] for i in ids] == expected
    ids, _, begins, ends = tokenizer.encode_with_offsets([text])
    assert [pieces[i] for i in ids] == expected
    assert [text[b:e] for b, e in zip(begins, ends, strict=True)] == [
        *("cafe\u0301", "ca\u00adf\u200dé", "x", "y", "x", "\u1112\u1161\u11ab국")
    ]
