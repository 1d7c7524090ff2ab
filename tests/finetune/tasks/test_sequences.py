"""Token ids, where they stand in the text, and the inputs of the encoder."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text as tf_text
from hypothesis import given, settings
from hypothesis import strategies as st

from data import schema
from data.config import BuildConfig
from data.sources.documents import Document
from data.stages.extract import tokenize
from data.text.wordpiece import WordPieceTokenizer
from finetune.tasks.sequences import Segment, assemble, trim_pairs


@pytest.fixture(scope="module")
def tokenizers(vocab):
    return {lower: WordPieceTokenizer(vocab, lower_case=lower) for lower in (True, False)}


def tokens_with_text(tokenizer, vocab, text: str) -> list[tuple[str, str]]:
    ids, lengths, begins, ends = tokenizer.encode_with_offsets([text])
    assert lengths.tolist() == [len(ids)]
    return [(vocab.pieces[i], text[b:e]) for i, b, e in zip(ids, begins, ends, strict=True)]


def test_offsets_are_characters_of_the_original(tokenizers, vocab):
    text = "  “Café”\u200b — ﬁne\tZoe\u0308 x\u00ady 東"
    assert tokens_with_text(tokenizers[True], vocab, text) == [
        ("[UNK]", "“"),
        ("ca", "Ca"),
        ("##fe", "fé"),
        ("[UNK]", "”\u200b"),
        ("—", "—"),
        ("f", "ﬁ"),
        ("##ine", "ﬁne"),
        ("z", "Z"),
        ("##o", "o"),
        ("##e", "e\u0308"),
        ("x", "x\u00ad"),
        ("##y", "y"),
        ("[UNK]", "東"),
    ]


_CHARACTERS = st.one_of(
    st.characters(exclude_categories=("Cs",)),
    st.sampled_from("ab cé ÅİßﬁﬃⅣ½…\u200b\u0301\u00ad東가\u2028\t\0\U0001f600ς"),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(_CHARACTERS, max_size=20), max_size=3), st.booleans())
def test_offsets_of_any_text(tokenizers, texts, lower_case):
    tokenizer = tokenizers[lower_case]
    ids, lengths, begins, ends = tokenizer.encode_with_offsets(texts)
    same_ids, same_lengths = tokenizer.encode(texts)
    assert ids.tolist() == same_ids.tolist()
    assert lengths.tolist() == same_lengths.tolist()
    stops = np.cumsum(lengths).astype(int)[:-1]
    for text, b, e in zip(texts, np.split(begins, stops), np.split(ends, stops), strict=False):
        assert np.all(b >= 0) and np.all(b < e) and np.all(e <= len(text))
        assert np.all(np.diff(b) >= 0) and np.all(np.diff(e) >= 0)


def test_ids_are_those_of_the_data_build(tokenizers, vocab, paragraphs):
    documents = [
        Document(id=f"books/{i}", paragraphs=(text,), num_bytes=len(text.encode()))
        for i, text in enumerate(paragraphs[:200])
    ]
    built = np.concatenate([d.tokens for d in tokenize(documents, vocab, BuildConfig())])
    ids = tokenizers[True].encode_with_offsets(paragraphs[:200])[0]
    assert len(ids) > 5000
    assert ids.tolist() == built.tolist()


@given(st.integers(0, 30), st.integers(0, 30), st.integers(2, 40))
def test_pairs_lose_the_end_of_the_longer_text(first, second, room):
    a, b = first, second
    while a + b > room:  # as BERT's run_classifier.py
        a, b = (a - 1, b) if a > b else (a, b - 1)
    trimmed = trim_pairs(np.array([first]), np.array([second]), room=room)
    assert (trimmed[0][0], trimmed[1][0]) == (a, b)


def test_sequences_are_those_of_tensorflow_text(vocab, paragraphs, tokenizers):
    """The operations that the exported preprocessor's `bert_pack_inputs` is made of."""
    lengths = 12
    texts = [tokenizers[True].encode(paragraphs[start:60:2]) for start in (0, 1)]
    segments = [Segment.of_texts(*text) for text in texts]
    trimmed = trim_pairs(*(segment.lengths for segment in segments), room=lengths - 3)
    cut = [segment.cut(n) for segment, n in zip(segments, trimmed, strict=True)]
    features = assemble(*cut, vocab=vocab, max_seq_length=lengths)

    ragged = [tf.RaggedTensor.from_row_lengths(*(a.astype(np.int32) for a in t)) for t in texts]
    parts = tf_text.RoundRobinTrimmer(max_seq_length=lengths - 3).trim(ragged)
    ids, types = tf_text.combine_segments(parts, vocab.ids[schema.CLS], vocab.ids[schema.SEP])
    word_ids, mask = tf_text.pad_model_inputs(ids, lengths, pad_value=vocab.ids[schema.PAD])
    type_ids, _ = tf_text.pad_model_inputs(types, lengths)
    assert len(word_ids) == 30
    np.testing.assert_array_equal(features["input_word_ids"], word_ids)
    np.testing.assert_array_equal(features["input_mask"], mask)
    np.testing.assert_array_equal(features["input_type_ids"], type_ids)
    assert {array.dtype for array in features.values()} == {np.dtype(np.int32)}


def test_one_text(vocab):
    ids = {piece: vocab.ids[piece] for piece in ("the", "king", "[CLS]", "[SEP]", "[PAD]")}
    segment = Segment(
        ids=np.array([ids["king"], ids["the"]]), starts=np.array([1, 0]), lengths=np.array([1, 2])
    )
    features = assemble(segment, vocab=vocab, max_seq_length=5)
    rows = [["[CLS]", "the", "[SEP]", "[PAD]", "[PAD]"], ["[CLS]", "king", "the", "[SEP]", "[PAD]"]]
    assert features["input_word_ids"].tolist() == [[ids[piece] for piece in row] for row in rows]
    assert features["input_mask"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 0]]
    assert features["input_type_ids"].tolist() == [[0] * 5] * 2
