"""Split paragraphs into sentences with a segmenter that knows abbreviations."""

from __future__ import annotations

import sentencex


def split_sentences(paragraph: str, *, language: str = "en") -> list[str]:
    """Split a clean paragraph into sentences; only white space is lost.

    The segmenter is sentencex (Wikimedia), which has rules and abbreviations for each language. For
    a language without rules it uses those of a related language, or else punctuation, including that
    of scripts other than Latin ("。", "।").

    Args:
      paragraph: normalised text.
      language: ISO 639 code.
    """
    return list(filter(None, map(str.strip, sentencex.segment(language, paragraph))))
