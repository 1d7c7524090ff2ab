"""Preprocess wikitext before parsing: split it into sections and drop what is not prose.

Regular expressions remove footnotes, tables and reference sections as a whole, which is cheap and
leaves less to parse. Elements whose content is not wikitext (formulas, <nowiki>) become plain text;
characters of it that are markup in wikitext are escaped until the page has been parsed.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator

from data.sources.documents import normalise
from data.sources.wiki import latex
from data.sources.wiki.site import Site

# Elements whose content is not prose.
DROPPED_TAGS = (
    "ref|references|templatestyles|gallery|imagemap|timeline|graph|mapframe|maplink|inputbox"
    "|score|hiero|source|syntaxhighlight|pre|categorytree|indicator|section"
)
# Elements whose content is not wikitext, with the functions that convert it to text.
_CONVERTERS: dict[str, Callable[[str], str]] = {
    "nowiki": str,
    "math": latex.to_text,
    "chem": latex.chemistry,
    "ce": latex.chemistry,
}
_OPENING = re.compile(
    rf"<(?:(?P<comment>!--)|(?P<dropped>{DROPPED_TAGS})(?=[\s/>])[^<>]*>"
    rf"|(?P<converted>{'|'.join(_CONVERTERS)})(?=[\s>])[^<>]*>)|^(?P<heading>=.*=.*)$",
    re.IGNORECASE | re.MULTILINE,
)
_LONGEST_HEADING = 1000
# The headings have been cut out. The parser would take other lines that begin with "=" for headings,
# in quadratic time if they are long, so they get a marker in front, which `normalise` removes.
_LIKE_HEADING = re.compile(r"^(?==)", re.MULTILINE)
# The parser makes an object of every list marker. Those beyond the deepest sensible list add nothing.
_LONG_INDENT = re.compile(r"^([*#:;]{30})[*#:;]+", re.MULTILINE)
_TABLE_EDGE = re.compile(
    r"^[ \t:*#]*(?P<start>\{\|)|^[ \t:]*\|\}(?!\}(?!\}))"
    r"|\{\{ *(?:end|end table|table end|!\)) *\}\}",
    re.MULTILINE | re.IGNORECASE,
)
# An indented formula on a line of its own belongs to the sentence around it.
_INDENT = re.compile(r"(?:^|\n):+[ \t]*$")
_LONGEST_INDENT = 20
_LINE_END = re.compile(r"[ \t.,;]*$", re.MULTILINE)

# Markers for later steps. XML 1.0 does not allow these characters, and `normalise` removes them.
LIST_ITEM = "\x01"
OPEN_TABLE = "\x02"
_PLAIN_LINE = "\x03"
# Unicode reserves U+FDD0 to U+FDEF for internal use by programs.
_MARKUP = "[]{}|<>'=*#:;!&_-"
_ESCAPES = "".join(chr(0xFDD0 + i) for i in range(len(_MARKUP)))
_ESCAPE = str.maketrans(_MARKUP, _ESCAPES)
_UNESCAPE = str.maketrans(_ESCAPES, _MARKUP)
_RESERVED = str.maketrans("", "", LIST_ITEM + OPEN_TABLE + _PLAIN_LINE + _ESCAPES)


def remove_reserved(text: str) -> str:
    """Remove the characters that serve as markers and escapes."""
    return text.translate(_RESERVED)


def unescape(text: str) -> str:
    """Restore escaped characters."""
    return text if text.isascii() else text.translate(_UNESCAPE)


def split_sections(wikitext: str, site: Site) -> tuple[list[str], int]:
    """Split wikitext at its headings; drop comments, tables, and elements and sections without prose.

    A section of references or links is dropped up to the next heading of the same or a higher level.

    Args:
      wikitext: text of a page.
      site: wiki, which names those sections.

    Returns:
      The remaining sections without their headings, and the UTF-8 bytes of the dropped sections.
    """
    wikitext = remove_reserved(wikitext)
    sections: list[str] = []
    fragments: list[str] = []  # of the current section
    section_bytes = 0
    dropped_level = 0  # heading level of the section being dropped, 0 if none is
    section_start = start = 0
    for opening, closing in _elements(wikitext):
        if opening["heading"]:
            level, title = _parse_heading(opening["heading"])
            if dropped_level and level > dropped_level:
                continue
            if dropped_level:
                section_bytes += len(wikitext[section_start : opening.start()].encode())
            else:
                fragments.append(wikitext[start : opening.start()])
                sections.append("".join(fragments))
                fragments.clear()
            dropped_level = level if title in site.dropped_sections else 0
            section_start, start = opening.start(), opening.end()
        elif not dropped_level and (closing or not opening["converted"]):
            fragments.append(wikitext[start : opening.start()])
            start = (closing or opening).end()
            if closing and opening["converted"]:
                if _is_alone(wikitext, opening.start(), start):
                    fragments[-1] = fragments[-1].rstrip(" \t:")
                fragments.append(_convert(wikitext, opening, closing))
    if dropped_level:
        section_bytes += len(wikitext[section_start:].encode())
    else:
        sections.append("".join([*fragments, wikitext[start:]]))
    sections = [_tame_lines(_drop_tables(section)) for section in sections]
    return sections, section_bytes


def _tame_lines(section: str) -> str:
    """Change the starts of lines on which the parser would waste time and memory."""
    return _LONG_INDENT.sub(r"\1", _LIKE_HEADING.sub(_PLAIN_LINE, section))


def _is_alone(wikitext: str, start: int, stop: int) -> bool:
    """Return whether an element is the only content of an indented line."""
    before = wikitext[max(start - _LONGEST_INDENT, 0) : start]
    return bool(_INDENT.search(before) and _LINE_END.match(wikitext, stop))


def _convert(wikitext: str, opening: re.Match[str], closing: re.Match[str]) -> str:
    """Return the content of an element as plain text with its markup characters escaped."""
    name = opening["converted"].lower()
    return _CONVERTERS[name](wikitext[opening.end() : closing.start()]).translate(_ESCAPE)


def _elements(wikitext: str) -> Iterator[tuple[re.Match[str], re.Match[str] | None]]:
    """Yield (opening, closing) of the outermost comments and elements, and of headings (closing None)."""
    position = 0
    unclosed: set[str] = set()  # names without a closing tag: repeated searches take quadratic time
    while opening := _OPENING.search(wikitext, position):
        if opening["heading"] and not _parse_heading(opening["heading"])[0]:
            position = opening.start() + 1  # not a heading
            continue
        closing = None
        name = (opening["dropped"] or opening["converted"] or opening["comment"] or "").lower()
        if name and not opening[0].endswith("/>") and name not in unclosed:
            closing = _closing(name).search(wikitext, opening.end())
            if closing is None:
                unclosed.add(name)
            elif closing.groupdict().get("reopened"):
                closing = None
        position = (closing or opening).end()
        yield opening, closing


@functools.cache
def _closing(name: str) -> re.Pattern[str]:
    """Return a pattern for the closing tag, or for an opening tag showing that the first is unclosed."""
    if name == "!--":
        return re.compile("-->")
    # In an element that is converted to text, an opening tag is part of the content.
    reopened = "" if name in _CONVERTERS else rf"|(?P<reopened>{name}(?=[\s>])(?:[^<>]*[^<>/])?>)"
    return re.compile(rf"<(?:/{name}\s*>{reopened})", re.IGNORECASE)


def _parse_heading(line: str) -> tuple[int, str]:
    """Return level and case-folded title of "== See also ==", or (0, "") if it is not a heading."""
    if len(line) > _LONGEST_HEADING:
        return 0, ""
    line = re.sub(r"<!--.*?-->", "", line).rstrip()
    left, right = (len(line) - len(rest) for rest in (line.lstrip("="), line.rstrip("=")))
    if not left or not right or left + right >= len(line):
        return 0, ""
    title = re.sub(r"\{\{.*?\}\}|<[^>]*>|''+|[\[\]=:]", "", line[left:-right])
    return min(left, right, 6), normalise(title).casefold()


def _drop_tables(section: str) -> str:
    """Drop tables, nested ones included; replace the start of an unclosed table by OPEN_TABLE."""
    if "{|" not in section:
        return section
    open_edges: list[re.Match[str]] = []
    cuts: list[tuple[int, int, str]] = []  # start, stop, replacement
    for edge in _TABLE_EDGE.finditer(section):
        if edge["start"]:
            open_edges.append(edge)
        elif open_edges:
            start = open_edges.pop().start()
            while cuts and cuts[-1][0] > start:
                cuts.pop()
            cuts.append((start, edge.end(), ""))
    cuts += [(edge.start(), edge.end(), OPEN_TABLE) for edge in open_edges]
    fragments: list[str] = []
    position = 0
    for start, stop, replacement in sorted(cuts):
        fragments += section[position:start], replacement
        position = stop
    return "".join([*fragments, section[position:]])
