"""Token ids with the characters of the original text that each token covers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.config import BuildConfig
from data.sources.documents import Document
from data.stages.extract import tokenize
from data.text.wordpiece import WordPieceTokenizer


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
