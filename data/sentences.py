"""Paragraphs into sentences, by a segmenter that knows abbreviations."""

from __future__ import annotations

from collections.abc import Iterable

import sentencex


def split_sentences(paragraphs: Iterable[str], *, language: str = "en") -> list[str]:
    """Splits clean paragraphs into sentences; no character but white space is lost.

    Segmenter: sentencex (Wikimedia), whose rules know the abbreviations of each language.
    """
    sentences = []
    for paragraph in paragraphs:
        stripped = (sentence.strip() for sentence in sentencex.segment(language, paragraph))
        sentences.extend(sentence for sentence in stripped if sentence)
    return sentences
