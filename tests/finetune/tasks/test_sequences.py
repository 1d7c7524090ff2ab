"""Token ids assembled into inputs of the encoder."""

import numpy as np
import tensorflow as tf
import tensorflow_text as tf_text
from hypothesis import given
from hypothesis import strategies as st

from data import schema
from data.text.wordpiece import WordPieceTokenizer
from finetune.tasks.sequences import Segment, assemble, truncate_pairs


@given(st.integers(0, 30), st.integers(0, 30), st.integers(2, 40))
def test_longer_text_of_a_pair_is_truncated_first(first, second, max_tokens):
    a, b = first, second
    while a + b > max_tokens:  # as BERT's run_classifier.py
        a, b = (a - 1, b) if a > b else (a, b - 1)
    lengths = truncate_pairs(np.array([first]), np.array([second]), max_tokens=max_tokens)
    assert (lengths[0][0], lengths[1][0]) == (a, b)


def test_pairs_are_assembled_as_by_tensorflow_text(vocab, paragraphs):
    """Compare with the operations in `bert_pack_inputs` of the exported preprocessor."""
    length = 12
    tokenizer = WordPieceTokenizer(vocab, lower_case=True)
    texts = [tokenizer.encode(paragraphs[start:60:2]) for start in (0, 1)]
    segments = [Segment.from_texts(*text) for text in texts]
    lengths = truncate_pairs(*(segment.lengths for segment in segments), max_tokens=length - 3)
    segments = [segment.truncate(n) for segment, n in zip(segments, lengths, strict=True)]
    features = assemble(*segments, vocab=vocab, max_seq_length=length)

    ragged = [tf.RaggedTensor.from_row_lengths(*(a.astype(np.int32) for a in t)) for t in texts]
    parts = tf_text.RoundRobinTrimmer(max_seq_length=length - 3).trim(ragged)
    ids, types = tf_text.combine_segments(parts, vocab.ids[schema.CLS], vocab.ids[schema.SEP])
    word_ids, mask = tf_text.pad_model_inputs(ids, length, pad_value=vocab.ids[schema.PAD])
    type_ids, _ = tf_text.pad_model_inputs(types, length)
    assert len(word_ids) == 30
    np.testing.assert_array_equal(features["input_word_ids"], word_ids)
    np.testing.assert_array_equal(features["input_mask"], mask)
    np.testing.assert_array_equal(features["input_type_ids"], type_ids)
    assert {array.dtype for array in features.values()} == {np.dtype(np.int32)}


def test_single_texts_are_padded(vocab):
    ids = {piece: vocab.ids[piece] for piece in ("the", "king", "[CLS]", "[SEP]", "[PAD]")}
    segment = Segment(
        ids=np.array([ids["king"], ids["the"]]), starts=np.array([1, 0]), lengths=np.array([1, 2])
    )
    features = assemble(segment, vocab=vocab, max_seq_length=5)
    rows = [["[CLS]", "the", "[SEP]", "[PAD]", "[PAD]"], ["[CLS]", "king", "the", "[SEP]", "[PAD]"]]
    assert features["input_word_ids"].tolist() == [[ids[piece] for piece in row] for row in rows]
    assert features["input_mask"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 0]]
    assert features["input_type_ids"].tolist() == [[0] * 5] * 2
