"""Choose one of the variants of a text that a wiki writes in several scripts: `-{...}-`."""

from __future__ import annotations

import re

# Innermost first: a rule may hold another one.
_RULE = re.compile(r"-\{((?:(?!-\{)[^{}])*)\}-")
_FLAGS = re.compile(r"\s*([A-Za-z;+-]*)\s*\|(.*)", re.DOTALL)
_CHOICE = re.compile(r"\s*[a-z]{2,3}(?:-[a-z]+)*\s*:\s*(.*)", re.DOTALL)
_HIDDEN = frozenset("HT-")  # a rule for the rest of the page, its title, or the end of a rule
_DEEPEST = 4


def resolve_variants(text: str) -> str:
    """Return the text with its first variant: "-{zh-cn:程序;zh-tw:程式}-" is "程序".

    Text that is marked only to be left alone, "-{HTML}-", loses its marks.
    """
    for _ in range(_DEEPEST):
        text, number = _RULE.subn(_resolve, text)
        if not number:
            break
    return text


def _resolve(rule: re.Match[str]) -> str:
    content = rule[1]
    if match := _FLAGS.fullmatch(content):
        flags, content = set(match[1]), match[2]
        if flags & _HIDDEN:
            return ""
    choices = [_CHOICE.fullmatch(part) for part in content.split(";") if part.strip()]
    texts = [choice[1].strip() for choice in choices if choice]
    return next(filter(None, texts), "") if texts and all(choices) else content
