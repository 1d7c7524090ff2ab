import numpy as np

from data.text.wordpiece import WordPieceTokenizer


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
