"""Quality of extracted Wikipedia text: markup left over, numbers kept, words of checked pages."""

from __future__ import annotations

import collections
import re
from collections.abc import Iterable
from pathlib import Path

from bench.data.workspace import Workspace, read_articles, read_texts

# Leftover markup by name.
_DEBRIS = {
    name: re.compile(re.escape(name))
    for name in ("|", "[[", "]]", "{{", "}}", "<", "''", "http", "Category:", "File:", "()", " ,")
} | {
    "thumb": re.compile(r"\bthumb\b"),
    "px": re.compile(r"\d ?px\b"),
    # Headings, list items, cells of tables.
    "line without sentence end": re.compile(r"^(?=.*\w).*[^\s.!?:;\"'”’)\]]\s*$", re.M),
}
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_WORD = re.compile(r"\w+")
# Pages of the sample whose prose was checked by hand against the wikitext.
_GOLDEN = Path("tests/golden")
_REFERENCES = {
    "Astronomer": "astronomer.txt",
    "Affirming the consequent": "affirming_the_consequent.txt",
}
_EXAMPLES = 3
_CONTEXT = 45


def compare(workspace: Workspace, implementations: Iterable[str]) -> list[dict]:
    """Return a row for each extractor.

    Returns:
      Rows with "kept_bytes"; "debris_per_100_kilobytes" by kind; "numbers_kept", relative to the
      most that any extractor keeps of each page (some keep tables and footnotes);
      "reference_recall" and "reference_precision" of the words of hand-checked pages; "examples".
    """
    pages = {name: read_texts(workspace.cleaned(name)) for name in implementations}
    articles = {page_id: title for page_id, title, _ in read_articles(workspace.dump)}
    most: collections.Counter[str] = collections.Counter()
    for texts in pages.values():
        most |= {page_id: len(_NUMBER.findall(texts.get(page_id, ""))) for page_id in articles}
    rows = []
    for name, texts in pages.items():
        text = "\n".join(texts.get(page_id, "") for page_id in articles)
        found = {kind: len(pattern.findall(text)) for kind, pattern in _DEBRIS.items()}
        kept = len(text.encode())
        recall, precision = _against_reference(texts, articles)
        rows.append(
            {
                "implementation": name,
                "stage": "extraction",
                "what": "quality",
                "setting": f"{len(articles)} articles of the sample",
                "articles_with_text": sum(bool(texts.get(page_id)) for page_id in articles),
                "kept_bytes": kept,
                "debris_per_100_kilobytes": {
                    kind: round(count * 1e5 / max(1, kept), 2) for kind, count in found.items()
                },
                "numbers_kept": len(_NUMBER.findall(text)) / max(1, most.total()),
                "reference_recall": recall,
                "reference_precision": precision,
                "examples": _examples(text),
            }
        )
    return rows


def lost_lines(workspace: Workspace, ours: str, peer: str) -> list[str]:
    """Return the first lines of prose that a peer keeps and ours does not."""
    kept = "\n".join(read_texts(workspace.cleaned(ours)).values())
    our_words = " ".join(_WORD.findall(kept))
    lost = []
    for text in read_texts(workspace.cleaned(peer)).values():
        for line in text.splitlines():
            is_clean = not any(pattern.search(line) for pattern in _DEBRIS.values())
            words = _WORD.findall(line)
            if is_clean and len(words) > 12 and " ".join(words[:12]) not in our_words:
                lost.append(line.strip()[:160])
    return lost[:_EXAMPLES]


def _against_reference(
    texts: dict[str, str], articles: dict[str, str]
) -> tuple[float | None, float | None]:
    """Return recall and precision of words as multisets; None without the checked pages."""
    ids = {title: page_id for page_id, title in articles.items()}
    common = expected = kept = 0
    for title, name in _REFERENCES.items():
        if title in ids:
            reference = collections.Counter(_WORD.findall((_GOLDEN / name).read_text()))
            words = collections.Counter(_WORD.findall(texts.get(ids[title], "")))
            common += (reference & words).total()
            expected += reference.total()
            kept += words.total()
    return (common / expected, common / max(1, kept)) if expected else (None, None)


def _examples(text: str) -> dict[str, list[str]]:
    """Return a few examples of each kind of debris, with their surroundings."""
    examples = {}
    for kind, pattern in _DEBRIS.items():
        ends = [match.end() for match in pattern.finditer(text)]
        step = max(1, len(ends) // _EXAMPLES)
        examples[kind] = [
            text[max(0, end - _CONTEXT) : end + _CONTEXT].replace("\n", "⏎")
            for end in ends[::step][:_EXAMPLES]
        ]
    return {kind: found for kind, found in examples.items() if found}
