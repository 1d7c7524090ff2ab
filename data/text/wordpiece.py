"""Text to token ids, many sentences in one call."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data import schema
from data.vocab import Vocab


class WordPieceTokenizer:
    """BERT's tokenization by tensorflow-text's `FastBertTokenizer`.

    Its ids equal those of the slower `BertTokenizer` in the exported preprocessor (tested).
    """

    def __init__(self, vocab: Vocab, *, lower_case: bool):
        import tensorflow as tf
        import tensorflow_text as tf_text

        self._dtype = vocab.token_dtype
        self._to_tensor = tf.constant
        tokenizer = tf_text.FastBertTokenizer(
            list(vocab.pieces),
            token_out_type=tf.int32,
            unknown_token=schema.UNK,
            lower_case_nfd_strip_accents=lower_case,
        )

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def tokenize(texts):
            ragged = tokenizer.tokenize(texts)
            return ragged.values, ragged.row_lengths()

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def tokenize_with_offsets(texts):
            ids, begins, ends = tokenizer.tokenize_with_offsets(texts)
            return ids.values, ids.row_lengths(), begins.values, ends.values

        self._tokenize = tokenize
        self._tokenize_with_offsets = tokenize_with_offsets

    def encode(self, sentences: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Token ids of sentences, without special tokens.

        Args:
          sentences: UTF-8 text, K of them.

        Returns:
          (ids, lengths): the ids of all sentences one after the other, uint16 (uint32 for
          vocabularies above 65,536 pieces), and how many each sentence has, uint32 [K].
        """
        if not sentences:
            return np.zeros(0, self._dtype), np.zeros(0, np.uint32)
        # As one tensor: a list would be looked through as a structure of thousands of inputs.
        ids, lengths = self._tokenize(self._to_tensor(sentences))
        return ids.numpy().astype(self._dtype), lengths.numpy().astype(np.uint32)

    def encode_with_offsets(
        self, texts: Sequence[str]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Token ids as of `encode`, and where in its text each token stands.

        Args:
          texts: K of them.

        Returns:
          (ids, lengths, begins, ends): the first two as of `encode`; then, int64 and as many as ids,
          the range of characters of each token in its own text. No range is empty: the pieces of
          one character, as "f" and "##i" of a ligature, all have its range.
        """
        if not texts:
            ids, lengths = self.encode(texts)
            return ids, lengths, np.zeros(0, np.int64), np.zeros(0, np.int64)
        encoded = [text.encode() for text in texts]
        ids, lengths, begins, ends = (
            tensor.numpy() for tensor in self._tokenize_with_offsets(self._to_tensor(encoded))
        )
        # TensorFlow counts bytes. All texts in a row: characters before each byte.
        is_first_byte = (np.frombuffer(b"".join(encoded), np.uint8) & 0xC0) != 0x80
        characters_before = np.append(0, np.cumsum(is_first_byte))
        text_bytes = np.array(list(map(len, encoded)))
        text_start = np.repeat(np.cumsum(text_bytes) - text_bytes, lengths)
        begins, ends, starts = (
            characters_before[offsets]
            for offsets in (text_start + begins, text_start + ends, text_start)
        )
        ends = np.maximum(ends, begins + 1)
        return (
            ids.astype(self._dtype),
            lengths.astype(np.uint32),
            begins - starts,
            ends - starts,
        )
