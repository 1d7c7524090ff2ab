"""Commands, code blocks, links and tables of README.md, CONTRIBUTING.md and docs/."""

from __future__ import annotations

import dataclasses
import itertools
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.support.paths import ROOT

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# First words of command lines; other lines of a block are output of programs.
PROGRAMS = ("cd", "make", "mkdir", "pip", "python", "sha256sum", "source", "tensorboard")
# Placeholder for arguments that were shown before.
LEFT_OUT = "..."


@dataclasses.dataclass(frozen=True)
class Command:
    """A command of a document; `words` excludes comments and variables set before the command."""

    document: Path
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.document.name}: {shlex.join(self.words)}"


@cache
def tokens(document: Path) -> list[Token]:
    """Return the Markdown tokens of a document."""
    return MarkdownIt().enable("table").parse(document.read_text(encoding="utf-8"))


def code_blocks(document: Path) -> Iterator[tuple[str, str]]:
    """Yield language (empty if not given) and content of every code block."""
    for token in tokens(document):
        if token.type in ("fence", "code_block"):
            yield token.info, token.content


def inline(document: Path, kind: str) -> Iterator[Token]:
    """Yield the inline tokens of a kind, such as `code_inline` and `link_open`."""
    for token in tokens(document):
        for child in token.children or ():
            if child.type == kind:
                yield child


def commands(document: Path) -> list[Command]:
    """Return every command in code blocks and in inline code, where its end may be left out."""
    lines = []
    for language, content in code_blocks(document):
        if language in ("", "sh"):
            lines += re.sub(r"\\\n\s*", "", content).splitlines()
    lines += [f"{code.content} {LEFT_OUT}" for code in inline(document, "code_inline")]
    found = []
    for line in lines:
        words = line.strip().removeprefix("$ ").split()
        while words and re.fullmatch(r"[A-Z_]+=\S+", words[0]):
            words.pop(0)
        if words and Path(words[0]).name in (*PROGRAMS, "pre-commit"):
            shown = shlex.split(line[line.index(words[0]) :], comments=True)
            found.append(Command(document, tuple(shown)))
    return found


def internal_links(document: Path) -> list[str]:
    """Return the targets of links into the repository."""
    links = (str(link.attrs["href"]) for link in inline(document, "link_open"))
    return [link for link in links if not re.match(r"[a-z]+:", link)]


def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub and the site form them."""
    found: set[str] = set()
    content = tokens(document)
    for opening, text in itertools.pairwise(content):
        if opening.type == "heading_open":
            words = "".join(child.content for child in text.children or ())
            found.add(re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-"))
    return found


def table_rows(document: Path) -> list[list[str]]:
    """Return the cells of every row of every table, as written."""
    rows: list[list[str]] = []
    for token in tokens(document):
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and rows and token.level >= 4:
            rows[-1].append(token.content)
    return rows
