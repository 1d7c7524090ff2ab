"""Paragraphs into sentences, by a segmenter that knows abbreviations."""

from __future__ import annotations

import sentencex


def split_sentences(paragraph: str, *, language: str = "en") -> list[str]:
    """Splits a clean paragraph into sentences; no character but white space is lost.

    Segmenter: sentencex (Wikimedia), whose rules know the abbreviations of each language. A language
    without rules of its own is split by those of its nearest relative, or else by punctuation,
    that of languages without blanks between words ("。", "।") included.
    """
    return list(filter(None, map(str.strip, sentencex.segment(language, paragraph))))
