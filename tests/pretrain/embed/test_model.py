"""From text to vectors: pooling, padding, truncation."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from data.errors import UserError
from pretrain.embed.model import Embedder, pool
from pretrain.embed.source import EmbeddingSettings

HIDDEN = tf.constant([[[3.0, 0.0], [1.0, 8.0], [9.0, 9.0]], [[0.0, 2.0], [4.0, 4.0], [5.0, 0.0]]])
MASK = tf.constant([[1, 1, 0], [1, 1, 1]])


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [[2.0, 4.0], [3.0, 2.0]]),
        ({"pooling": "cls"}, [[3.0, 0.0], [0.0, 2.0]]),
        ({"pooling": "cls", "normalize": True}, [[1.0, 0.0], [0.0, 1.0]]),
        ({"normalize": True}, [[0.4472136, 0.8944272], [0.8320503, 0.5547002]]),
    ],
)
def test_pooling(settings, expected):
    vectors = pool(HIDDEN, MASK, EmbeddingSettings(**settings))
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-6)


def test_vectors_are_means_over_the_tokens_of_each_text(imported_export, loaded_export, paragraphs):
    texts = ["", paragraphs[0], "the bird"]
    embedder = Embedder(imported_export, EmbeddingSettings(max_length=12))
    outputs = embedder.embed(texts)
    pieces = loaded_export.preprocessor.tokenize(tf.constant(texts)).merge_dims(1, 2)
    assert outputs["tokens"].numpy().tolist() == (pieces.row_lengths() + 2).numpy().tolist()
    features = loaded_export.preprocessor.bert_pack_inputs([pieces], seq_length=tf.constant(12))
    hidden = loaded_export.encoder(features)["sequence_output"].numpy()
    for vector, outputs_SH, mask in zip(
        outputs["embedding"], hidden, features["input_mask"].numpy(), strict=True
    ):
        np.testing.assert_allclose(vector, outputs_SH[mask > 0].mean(0), rtol=0, atol=1e-5)
    assert np.std(outputs["embedding"]) > 0.1


def test_no_texts(imported_export):
    embedder = Embedder(imported_export, EmbeddingSettings())
    outputs = embedder.embed(tf.zeros([0], tf.string))
    assert outputs["embedding"].shape == (0, 16)


@pytest.mark.parametrize("max_length", [2, 65])
def test_lengths_that_the_encoder_does_not_take_are_errors(imported_export, max_length):
    with pytest.raises(UserError, match=f"--max_length {max_length}: must be between 3 and 64"):
        Embedder(imported_export, dataclasses.replace(EmbeddingSettings(), max_length=max_length))
