"""Split text into words for comparisons: duplicates and contamination."""

from __future__ import annotations

import re

# Kana and Chinese characters, which are written without spaces between words. Each is a word.
_UNSPACED = (
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f"
    "\U0001b000-\U0001b16f\U00020000-\U000323af"
)
_WORD = re.compile(rf"[^\W{_UNSPACED}]+|[{_UNSPACED}]")


def words(text: str) -> list[str]:
    """Return lower-case words without punctuation: "Don't 停止!" gives "don", "t", "停", "止"."""
    return _WORD.findall(text.lower())
