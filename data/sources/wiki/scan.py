"""The scan of the characters of a page: cuts it into sections that hold hardly more than prose.

Footnotes, tables and sections of references go whole, which costs little and leaves less to parse.
What is not wikitext (formulas, <nowiki>) becomes text, in which the characters that mean something
in wikitext are masked until the page has been parsed.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

from data.sources.documents import normalise
from data.sources.wiki import latex

# Sections of references and link lists; everything up to the next heading of the same level goes.
_DROPPED_SECTIONS = frozenset(
    {
        *("bibliography", "citations", "cited works", "explanatory notes", "external links"),
        *("external sources", "footnotes", "further reading", "gallery", "general references"),
        *("image gallery", "notes", "notes and citations", "notes and references"),
        *("primary sources", "references", "references and notes", "secondary sources", "see also"),
        *("selected bibliography", "sources", "sources and references", "works cited"),
    }
)
# Elements whose content is not prose.
DROPPED_TAGS = (
    "ref|references|templatestyles|gallery|imagemap|timeline|graph|mapframe|maplink|inputbox"
    "|score|hiero|source|syntaxhighlight|pre|categorytree|indicator|section"
)
# Elements whose content is not wikitext, and what it reads like.
_SHOWN = {
    "nowiki": str,
    "math": latex.to_text,
    "chem": latex.chemistry,
    "ce": latex.chemistry,
}
_OPENING = re.compile(
    rf"<(?:(?P<comment>!--)|(?P<dropped>{DROPPED_TAGS})(?=[\s/>])[^<>]*>"
    rf"|(?P<shown>{'|'.join(_SHOWN)})(?=[\s>])[^<>]*>)|^(?P<heading>=.*=.*)$",
    re.IGNORECASE | re.MULTILINE,
)
_LONGEST_HEADING = 1000
# The scan has found the headings; the parser would take other lines for some, and overlong ones
# would take it quadratic time. (The mark in front is invisible and goes with all such characters.)
_NO_HEADING = re.compile(r"^(?==)", re.MULTILINE)
_TABLE_EDGE = re.compile(
    r"^[ \t:*#]*(?P<start>\{\|)|^[ \t:]*\|\}(?!\}(?!\}))"
    r"|\{\{ *(?:end|end table|table end|!\)) *\}\}",
    re.MULTILINE | re.IGNORECASE,
)
# A formula on a line of its own belongs to the sentence around it.
_INDENT = re.compile(r"(?:^|\n):+[ \t]*$")
_LONGEST_INDENT = 20
_LINE_END = re.compile(r"[ \t.,;]*$", re.MULTILINE)

# Marks of our own. XML 1.0 does not allow these in text, and `normalise` removes them.
LIST_ITEM = "\x01"
OPEN_TABLE = "\x02"
_PLAIN_LINE = "\x03"
# Unicode keeps U+FDD0 to U+FDEF for the inner use of programs.
_MARKUP = "[]{}|<>'=*#:;!&_-"
_MASKS = "".join(chr(0xFDD0 + i) for i in range(len(_MARKUP)))
_MASK = str.maketrans(_MARKUP, _MASKS)
_UNMASK = str.maketrans(_MASKS, _MARKUP)
_FORGED = str.maketrans("", "", LIST_ITEM + OPEN_TABLE + _PLAIN_LINE + _MASKS)


def drop_marks(text: str) -> str:
    """Removes what only this program may write."""
    return text.translate(_FORGED)


def unmask(text: str) -> str:
    """Gives masked characters back."""
    return text if text.isascii() else text.translate(_UNMASK)


def split_sections(wikitext: str) -> tuple[list[str], int]:
    """Cuts out comments, elements without prose, tables and sections; headings go too.

    Returns:
      The sections that are left, and how many UTF-8 bytes were in the sections dropped.
    """
    wikitext = drop_marks(wikitext)
    sections: list[str] = []
    kept: list[str] = []
    section_bytes = 0
    dropped_level = 0  # of the section being dropped, 0 for none
    section_start = start = 0
    for opening, closing in _elements(wikitext):
        if opening["heading"]:
            level, title = _parse_heading(opening["heading"])
            if dropped_level and level > dropped_level:
                continue
            if dropped_level:
                section_bytes += len(wikitext[section_start : opening.start()].encode())
            else:
                kept.append(wikitext[start : opening.start()])
                sections.append("".join(kept))
                kept.clear()
            dropped_level = level if title in _DROPPED_SECTIONS else 0
            section_start, start = opening.start(), opening.end()
        elif not dropped_level and (closing or not opening["shown"]):
            kept.append(wikitext[start : opening.start()])
            start = (closing or opening).end()
            if opening["shown"]:
                if _stands_alone(wikitext, opening.start(), start):
                    kept[-1] = kept[-1].rstrip(" \t:")
                kept.append(_show(wikitext, opening, closing))
    if dropped_level:
        section_bytes += len(wikitext[section_start:].encode())
    else:
        sections.append("".join([*kept, wikitext[start:]]))
    return [_NO_HEADING.sub(_PLAIN_LINE, _drop_tables(text)) for text in sections], section_bytes


def _stands_alone(wikitext: str, start: int, stop: int) -> bool:
    """Whether an element is all there is in an indented line."""
    before = wikitext[max(start - _LONGEST_INDENT, 0) : start]
    return bool(_INDENT.search(before) and _LINE_END.match(wikitext, stop))


def _show(wikitext: str, opening: re.Match[str], closing: re.Match[str]) -> str:
    """An element whose content is no wikitext, as masked text."""
    name = opening["shown"].lower()
    return _SHOWN[name](wikitext[opening.end() : closing.start()]).translate(_MASK)


def _elements(wikitext: str) -> Iterator[tuple[re.Match[str], re.Match[str] | None]]:
    """Comments, elements and headings that are in no other one: how each begins and ends."""
    position = 0
    without_end: set[str] = set()  # searching for them again and again would take quadratic time
    while opening := _OPENING.search(wikitext, position):
        if opening["heading"] and not _parse_heading(opening["heading"])[0]:
            position = opening.start() + 1  # a line like any other
            continue
        closing = None
        name = (opening["dropped"] or opening["shown"] or opening["comment"] or "").lower()
        if name and not opening[0].endswith("/>") and name not in without_end:
            closing = _closing(name).search(wikitext, opening.end())
            if closing is None:
                without_end.add(name)
            elif closing.groupdict().get("again"):
                closing = None
        position = (closing or opening).end()
        yield opening, closing


@functools.cache
def _closing(name: str) -> re.Pattern[str]:
    """What ends an element; or shows, by opening another of its kind, that nothing does."""
    if name == "!--":
        return re.compile("-->")
    # Of an element whose content is shown, another opening tag is a part.
    again = "" if name in _SHOWN else rf"|(?P<again>{name}(?=[\s>])(?:[^<>]*[^<>/])?>)"
    return re.compile(rf"<(?:/{name}\s*>{again})", re.IGNORECASE)


def _parse_heading(line: str) -> tuple[int, str]:
    """Level and folded title of a line like "== See also ==", or (0, "")."""
    if len(line) > _LONGEST_HEADING:
        return 0, ""
    line = re.sub(r"<!--.*?-->", "", line).rstrip()
    left, right = (len(line) - len(rest) for rest in (line.lstrip("="), line.rstrip("=")))
    if not left or not right or left + right >= len(line):
        return 0, ""
    title = re.sub(r"\{\{.*?\}\}|<[^>]*>|''+|[\[\]=:]", "", line[left:-right])
    return min(left, right, 6), normalise(title).casefold()


def _drop_tables(section: str) -> str:
    """Cuts out tables, with the tables in them; the start of one without an end becomes a mark."""
    if "{|" not in section:
        return section
    open_edges: list[re.Match[str]] = []
    cuts: list[tuple[int, int, str]] = []  # from, to, and what stands there instead
    for edge in _TABLE_EDGE.finditer(section):
        if edge["start"]:
            open_edges.append(edge)
        elif open_edges:
            start = open_edges.pop().start()
            while cuts and cuts[-1][0] > start:
                cuts.pop()
            cuts.append((start, edge.end(), ""))
    cuts += [(edge.start(), edge.end(), OPEN_TABLE) for edge in open_edges]
    kept, position = [], 0
    for start, stop, mark in sorted(cuts):
        kept += section[position:start], mark
        position = stop
    return "".join([*kept, section[position:]])
