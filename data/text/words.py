"""Split text into words for comparisons: duplicates and contamination."""

from __future__ import annotations

import unicodedata

import regex

# Kana and Chinese characters, which are written without spaces between words. Each is a word.
_UNSPACED = (
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f"
    "\U0001b000-\U0001b16f\U00020000-\U000323af"
)
# Marks belong to the letter before them: vowel signs of Hindi or Thai do not end a word.
_WORD = regex.compile(rf"(?V1)[[\w\p{{M}}]--[{_UNSPACED}]]+|[{_UNSPACED}]")


def words(text: str) -> list[str]:
    """Return lower-case words without punctuation: "Don't 停止!" gives "don", "t", "停", "止"."""
    return _WORD.findall(unicodedata.normalize("NFC", text).lower())
