"""Building blocks of self-contained HTML pages, for the reports of builds and runs."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

_STYLE_FILE = Path(__file__).with_name("page.css")


def head(title: str, style_file: Path) -> Iterator[str]:
    """Yield the page up to its content.

    Args:
      title: title of the page.
      style_file: style sheet of this kind of page, after the common one.
    """
    yield '<!DOCTYPE html>\n<html lang="en">'
    yield '<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    yield f"<title>{escape(title)}</title>"
    yield f"<style>\n{_STYLE_FILE.read_text()}{style_file.read_text()}</style></head>\n<body>"


def escape(text: object) -> str:
    """Return text escaped for HTML content and attributes."""
    return html.escape(str(text))


def short(number: float) -> str:
    """Return a number as text; from a million on with three digits and a letter."""
    for unit, size in (("T", 10**12), ("B", 10**9), ("M", 10**6)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:,.0f}"


def tiles(figures: Mapping[str, str]) -> Iterator[str]:
    """Yield tiles for the key figures, given as text by label."""
    yield '<div class="tiles">'
    for label, figure in figures.items():
        yield f'<div class="tile"><b>{escape(figure)}</b><span>{escape(label)}</span></div>'
    yield "</div>"


def figure(caption: str, content: str) -> str:
    """Return a figure with its caption, which also labels an <svg> in the content."""
    labelled = content.replace("<svg", f'<svg role="img" aria-label="{escape(caption)}"', 1)
    return f"<figure><figcaption>{escape(caption)}</figcaption>{labelled}</figure>"


def plain_table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: int = 0) -> str:
    """Return a table of text; the last `numbers` columns are numbers."""
    classes = [""] * (len(head) - numbers) + [' class="number"'] * numbers
    cells = "".join(
        "<tr>"
        + "".join(f"<td{c}>{escape(v)}</td>" for c, v in zip(classes, row, strict=True))
        + "</tr>"
        for row in rows
    )
    titles = "".join(f"<th{c}>{escape(title)}</th>" for c, title in zip(classes, head, strict=True))
    return f'<table class="text"><thead><tr>{titles}</tr></thead><tbody>{cells}</tbody></table>'
