"""BERT's tokenization as operations of a graph, for builds, tasks and exported models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from data import schema
from data.vocab.normalization import compose_cased, compose_cased_with_sources

if TYPE_CHECKING:
    import tensorflow as tf

# A longer word is [UNK]: 100 characters of up to four bytes. TensorFlow's own limit of 100 bytes
# holds 33 characters of Thai, which is written without spaces between words.
MAX_WORD_BYTES = 400


class GraphTokenizer:
    """Token ids of strings, with tensorflow-text's `FastBertTokenizer`."""

    def __init__(self, pieces: Sequence[str], *, lower_case: bool):
        """Build the tokenizer.

        Args:
          pieces: vocabulary, in the order of ids.
          lower_case: whether to lower-case text and strip accents ("uncased").
        """
        import tensorflow as tf
        import tensorflow_text as tf_text

        self._lower_case = lower_case
        self._tokenizer = tf_text.FastBertTokenizer(
            list(pieces),
            token_out_type=tf.int32,
            unknown_token=schema.UNK,
            lower_case_nfd_strip_accents=lower_case,
            max_bytes_per_word=MAX_WORD_BYTES,
        )

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Return token ids, int32 [B, T], of strings [B], without special tokens."""
        return self._tokenizer.tokenize(texts if self._lower_case else compose_cased(texts))

    def tokenize_with_offsets(
        self, texts: tf.Tensor
    ) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
        """Return token ids of strings [B] and the bytes of the strings that each token covers.

        Returns:
          (ids, begins, ends): int32 [B, T], and the range [begin, end) of each token in bytes of its
          string, int64 [B, T] each.
        """
        if self._lower_case:
            ids, begins, ends = self._tokenizer.tokenize_with_offsets(texts)
        else:
            composed, to_source = compose_cased_with_sources(texts)
            ids, begins, ends = self._tokenizer.tokenize_with_offsets(composed)
            begins, ends = to_source(begins, ends)
        return ids, begins, ends
