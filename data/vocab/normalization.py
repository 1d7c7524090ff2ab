"""Normalise text for the tokenizer: one definition for vocabularies, builds, tasks and exports.

Legend: B texts, N characters of all texts, C clusters of characters, T tokens of a text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

    _ToSource = Callable[
        [tf.RaggedTensor, tf.RaggedTensor], tuple[tf.RaggedTensor, tf.RaggedTensor]
    ]

_FORMAT_CHARACTERS = r"\p{Cf}+"
# Combining marks, and vowels and final consonants of Hangul.
_COMPOSED_WITH_PREVIOUS = r"[\p{M}\x{1160}-\x{11ff}\x{d7b0}-\x{d7fb}]"
_BATCH_CHARACTERS = 10**6


def compose_cased(texts: tf.Tensor) -> tf.Tensor:
    """Return cased text without format characters and with accents composed.

    "é" is the same token whether it is one code point or two, and a soft hyphen or a zero-width
    joiner does not split a word: TensorFlow's tokenizer keeps the first apart and takes the second
    for a space. (Uncased text needs no such step: its own normalisation does both.)

    Args:
      texts: strings [B].
    """
    import tensorflow as tf
    import tensorflow_text as tf_text

    return tf_text.normalize_utf8(tf.strings.regex_replace(texts, _FORMAT_CHARACTERS, ""), "NFC")


def compose_cased_with_sources(
    texts: tf.Tensor,
) -> tuple[tf.Tensor, _ToSource]:
    """Return text as `compose_cased` does, and where its bytes come from.

    Args:
      texts: strings [B].

    Returns:
      (composed, to_source): `to_source(begins, ends)` turns ranges [begin, end) of bytes of the
      composed texts, int64 [B, T] each, into ranges of bytes of `texts`.
    """
    import tensorflow as tf
    import tensorflow_text as tf_text

    characters_BN, starts_BN = tf.strings.unicode_split_with_offsets(texts, "UTF-8")
    kept_BN = characters_BN.with_values(
        ~tf.strings.regex_full_match(characters_BN.values, _FORMAT_CHARACTERS)
    )
    characters_BN = tf.ragged.boolean_mask(characters_BN, kept_BN)
    starts_N = tf.ragged.boolean_mask(starts_BN, kept_BN).values
    text_N = characters_BN.value_rowids()
    # A cluster is a character with what can be composed with it.
    is_first_N = ~tf.strings.regex_full_match(characters_BN.values, _COMPOSED_WITH_PREVIOUS)
    is_first_N |= text_N != tf.concat([[-1], text_N[:-1]], axis=0)
    cluster_N = tf.cumsum(tf.cast(is_first_N, tf.int32)) - 1
    num_clusters = tf.math.count_nonzero(is_first_N, dtype=tf.int32)
    clusters_C = tf_text.normalize_utf8(
        tf.strings.unsorted_segment_join(characters_BN.values, cluster_N, num_clusters), "NFC"
    )
    starts_C = starts_N[is_first_N]
    sizes_N = tf.cast(tf.strings.length(characters_BN.values), tf.int64)
    ends_C = tf.math.segment_max(starts_N + sizes_N, cluster_N)
    clusters_BC = tf.RaggedTensor.from_value_rowids(
        clusters_C, text_N[is_first_N], characters_BN.nrows()
    )
    # Composed bytes before each cluster, counted through all texts.
    sizes_C = tf.cast(tf.strings.length(clusters_C), tf.int64)
    bytes_before = tf.cumsum(tf.concat([[0], sizes_C], axis=0))
    text_start_B = tf.gather(bytes_before, clusters_BC.row_starts())

    def cluster_at(bytes_BT: tf.RaggedTensor) -> tf.Tensor:
        positions = bytes_BT.values + tf.gather(text_start_B, bytes_BT.value_rowids())
        return tf.searchsorted(bytes_before, positions, side="right") - 1

    def to_source(
        begins_BT: tf.RaggedTensor, ends_BT: tf.RaggedTensor
    ) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        begins = tf.gather(starts_C, cluster_at(begins_BT))
        ends = tf.gather(ends_C, cluster_at(ends_BT - 1))
        return begins_BT.with_values(begins), ends_BT.with_values(ends)

    return tf.strings.reduce_join(clusters_BC, axis=-1), to_source


def normalize_for_learning(texts: Iterable[str], *, lower_case: bool) -> Iterator[str]:
    """Yield texts as the tokenizer sees them before it splits words.

    A vocabulary learned from anything else has pieces that no text can produce: the tokenizer folds
    "ß" to "ss" and "ς" to "σ", which lower-casing does not.

    Args:
      texts: paragraphs.
      lower_case: whether to fold case and to strip accents ("uncased").
    """
    import tensorflow as tf
    import tensorflow_text as tf_text

    normalizer = tf_text.FastBertNormalizer(lower_case_nfd_strip_accents=lower_case)

    def normalize(batch: list[str]) -> Iterator[str]:
        strings = tf.constant(batch)
        normalized = normalizer.normalize(strings if lower_case else compose_cased(strings))
        return (text.decode() for text in normalized.numpy())

    batch: list[str] = []
    num_characters = 0
    for text in texts:
        batch.append(text)
        num_characters += len(text)
        if num_characters >= _BATCH_CHARACTERS:
            yield from normalize(batch)
            batch, num_characters = [], 0
    if batch:
        yield from normalize(batch)
