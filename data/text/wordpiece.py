"""Tokenize batches of sentences into WordPiece ids."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data.vocab import Vocab
from data.vocab.graph_tokenizer import GraphTokenizer


class WordPieceTokenizer:
    """BERT's tokenization with tensorflow-text's `FastBertTokenizer`.

    The ids equal those of the slower `BertTokenizer` of the exported preprocessor.
    """

    def __init__(self, vocab: Vocab, *, lower_case: bool):
        import tensorflow as tf

        self._dtype = vocab.token_dtype
        self._to_tensor = tf.constant
        tokenizer = GraphTokenizer(vocab.pieces, lower_case=lower_case)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def tokenize(texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            ragged = tokenizer.tokenize(texts)
            return ragged.values, ragged.row_lengths()

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def tokenize_with_offsets(
            texts: tf.Tensor,
        ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
            ids, begins, ends = tokenizer.tokenize_with_offsets(texts)
            return ids.values, ids.row_lengths(), begins.values, ends.values

        self._tokenize = tokenize
        self._tokenize_with_offsets = tokenize_with_offsets

    def encode(self, sentences: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return the token ids of sentences, without special tokens.

        Args:
          sentences: K sentences.

        Returns:
          (ids, lengths): the concatenated ids of all sentences, uint16 (uint32 for vocabularies
          above 65,536 pieces), and the number of tokens of each sentence, uint32 [K].
        """
        if not sentences:
            return np.zeros(0, self._dtype), np.zeros(0, np.uint32)
        # Converted here: tf.function would treat a list as a structure of thousands of inputs.
        ids, lengths = self._tokenize(self._to_tensor(sentences))
        return ids.numpy().astype(self._dtype), lengths.numpy().astype(np.uint32)

    def encode_with_offsets(
        self, texts: Sequence[str]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return token ids as `encode` does, and the characters of the text that each token covers.

        Args:
          texts: K texts.

        Returns:
          (ids, lengths, begins, ends): `ids` and `lengths` as for `encode`; `begins` and `ends`,
          int64 of the shape of `ids`, the range [begin, end) of each token in characters of its
          text. No range is empty: pieces of a single character, such as "f" and "##i" of a ligature,
          all have the range of that character.
        """
        if not texts:
            ids, lengths = self.encode(texts)
            return ids, lengths, np.zeros(0, np.int64), np.zeros(0, np.int64)
        encoded = [text.encode() for text in texts]
        ids, lengths, begins, ends = (
            tensor.numpy() for tensor in self._tokenize_with_offsets(self._to_tensor(encoded))
        )
        # TensorFlow's offsets are bytes. Count the characters before each byte of the joined texts.
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
