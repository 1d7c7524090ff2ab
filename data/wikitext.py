"""Wikitext turned into the text a reader sees: running prose only.

As in BERT, tables, lists without sentences and headings are left out
(https://arxiv.org/abs/1810.04805, section 3.1). Three steps: a scan of the characters removes what
is no prose whole (footnotes, tables, sections of references), which costs little and leaves less to
parse; mwparserfromhell parses the rest section by section; and the lines of the rendered text are
joined, judged and mended.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

import mwparserfromhell
from mwparserfromhell import nodes
from mwparserfromhell.wikicode import Wikicode

from data import latex, wiki_templates
from data.documents import normalise

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
# Elements whose content is not prose. They are cut out before parsing, up to the first closing tag.
_DROPPED_TAGS = (
    "ref|references|templatestyles|gallery|imagemap|timeline|graph|mapframe|maplink|inputbox|chem|ce"
    "|score|hiero|source|syntaxhighlight|pre|categorytree|indicator|section"
)
_OPENING = re.compile(
    rf"(?P<comment><!--)|<(?P<dropped>{_DROPPED_TAGS})(?=[\s/>])[^<>]*>|<(?P<kept>nowiki|math|code)(?=[\s>])[^<>]*>"
    r"|^(?P<heading>=.*=.*)$",
    re.IGNORECASE | re.MULTILINE,
)
_LONGEST_HEADING = 1000
# The scan has found the headings; the parser would take other lines for some, and overlong ones
# would take it quadratic time. (The mark in front is invisible and goes with all such characters.)
_NO_HEADING = re.compile(r"^(?==)", re.MULTILINE)
_NESTING = re.compile(
    r"(?P<opening>\{\{|\[\[|\[(?=\w+:|//)|<(?=[A-Za-z])(?!(?:br|hr|li|td|tr|th|dd|dt|p)\b))"
    r"|\}\}|\]\]|\]|</|/>"
)
_OPENING_OF = {"}}": "{{", "]]": "[[", "]": "[", "</": "<", "/>": "<"}
_MAX_PARSING_COST = 20_000_000  # unclosed marks times characters: seconds
_TABLE_EDGE = re.compile(
    r"^[ \t:*#]*(?P<start>\{\|)|^[ \t:]*\|\}(?!\}(?!\}))|(?P<heading>\x02)", re.MULTILINE
)
_LINE_TAGS = frozenset(("br", "p", "div", "blockquote", "hr", "center", "poem", "ul", "ol", "dl"))
_DROPPED_IN_PARSING = frozenset(("table", *_DROPPED_TAGS.split("|")))
# Links to other languages, which a page shows beside its text, have no text; links elsewhere do.
_PREFIX = re.compile(r"\s*(:?)\s*([A-Za-z][\w -]*?)\s*:")
_PROJECTS = frozenset(
    {
        *("b", "c", "commons", "d", "m", "meta", "n", "q", "s", "species", "v", "voy", "w", "wikt"),
        *("wikibooks", "wikipedia", "wikiquote", "wikisource", "wikispecies", "wiktionary", "wp"),
        *("doi", "hdl", "mw"),
    }
)
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-z]+)*")
_HIDDEN_NAMESPACES = frozenset(("file", "image", "category", "media"))
_QUOTES = re.compile("'{2,}")
# A line that begins with a blank is shown as code is: every line for itself.
_INDENTED = re.compile(r"\n[ \t]+(?=\S)")
_MAGIC_WORD = re.compile(r"__[A-Z]+__")
_STRAY_TAG = re.compile(r"</?[A-Za-z]+(?:\s[^<>]*)?/?>")
_TABLE_DEBRIS = ("|", "!", "{|")
_SENTENCE_END = re.compile(r"[.!?…][\"'”’)\]]*$")
# Of a list that is one sentence; lists of names end so as well, but are shorter.
_ITEM_END = re.compile(r";( and| or)?$")
_MIN_CLAUSE_WORDS = 8
_CLAUSE_END = re.compile(r"[.!?…:;,][\"'”’)\]]*$")
_MIN_OPEN_WORDS = 10  # of a paragraph that does not end as a clause does
_REPAIRS = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\{\{|\}\}|\[\[|\]\]", ""),  # of unclosed nodes
        (r"[$£€¥](?=\s|\)|$)", ""),  # of amounts that a template would have computed
        (r"\(\s*[;,:.\s]*\)|\[\s*\]", ""),
        (r"\((?:\s|[;,:](?=[\s)]))+", "("),
        (r"(?<![;,:\s])\s*+(?:[;,:]\s*+)++\)", ")"),
        (r"([;,])(?:\s*[;,])+", r"\1"),
        (r"\s+([,;:!?](?=[\s\"'”’)]|$)|\)|\.(?!\w|\.))", r"\1"),
        (r"[,;:]\.(?=\s|$)", "."),
    )
]
# Marks of our own, which XML 1.0 does not allow in text.
_LIST_ITEM = "\x01"
_HEADING = "\x02"
_MARKS = str.maketrans("", "", _LIST_ITEM + _HEADING)


def to_paragraphs(wikitext: str) -> tuple[list[str], int]:
    """The prose of an article.

    Returns:
      Its paragraphs, and how many UTF-8 bytes of the wikitext were in sections dropped whole.

    Raises:
      ValueError: so much markup is not closed that parsing would take minutes.
    """
    text, section_bytes = _drop_sections(wikitext.translate(_MARKS))
    sections = _NO_HEADING.sub("\x03", _drop_tables(text)).split(_HEADING)
    paragraphs = [
        paragraph for section in sections for paragraph in _to_lines(_render(_parse(section)))
    ]
    return paragraphs, section_bytes


def _parse(section: str) -> Wikicode:
    """Parses a section, unless that takes quadratic time.

    For each mark without an end the parser reads the rest of the section again: a few are usual, and
    in a short section even many cost little.
    """
    unclosed = dict.fromkeys(("{{", "[[", "[", "<"), 0)
    for match in _NESTING.finditer(section):
        if mark := match["opening"]:
            unclosed[mark] += 1
        else:
            mark = _OPENING_OF[match[0]]
            unclosed[mark] -= unclosed[mark] > 0
    if sum(unclosed.values()) * len(section) > _MAX_PARSING_COST:
        marks = ", ".join(f"{number} {mark!r}" for mark, number in unclosed.items() if number)
        raise ValueError(f"too much markup in one section is not closed: {marks}")
    return mwparserfromhell.parse(f"\n{section}\n", skip_style_tags=True)


def _drop_sections(wikitext: str) -> tuple[str, int]:
    """Cuts out comments, elements without prose, and sections; headings become marks."""
    kept: list[str] = []
    section_bytes = 0
    dropped_level = 0  # of the section being dropped, 0 for none
    section_start = start = 0
    for match, stop in _openings(wikitext):
        if match["heading"]:
            level, title = _parse_heading(match["heading"])
            if dropped_level and level > dropped_level:
                continue
            if dropped_level:
                section_bytes += len(wikitext[section_start : match.start()].encode())
            else:
                kept.append(wikitext[start : match.start()])
            kept.append(f"\n{_HEADING}\n")
            dropped_level = level if title in _DROPPED_SECTIONS else 0
            section_start, start = match.start(), match.end()
        elif not match["kept"] and not dropped_level:
            kept.append(wikitext[start : match.start()])
            start = stop
    if dropped_level:
        section_bytes += len(wikitext[section_start:].encode())
    else:
        kept.append(wikitext[start:])
    return "".join(kept), section_bytes


def _openings(wikitext: str) -> Iterator[tuple[re.Match[str], int]]:
    """Comments, elements and headings that are in no other one, each with where it ends."""
    position = 0
    without_end: set[str] = set()  # searching for them again and again would take quadratic time
    while match := _OPENING.search(wikitext, position):
        if match["heading"] and not _parse_heading(match["heading"])[0]:
            position = match.start() + 1  # a line like any other
            continue
        position = match.end()
        name = (match["dropped"] or match["kept"] or match["comment"] or "").lower()
        if name and not match[0].endswith("/>") and name not in without_end:
            if end := _closing(name).search(wikitext, position):
                position = end.end()
            else:
                without_end.add(name)
        yield match, position


@functools.cache
def _closing(name: str) -> re.Pattern[str]:
    return re.compile("-->" if name == "<!--" else rf"</{name}\s*>", re.IGNORECASE)


def _parse_heading(line: str) -> tuple[int, str]:
    """Level and folded title of a line like "== See also ==", or (0, "")."""
    if len(line) > _LONGEST_HEADING:
        return 0, ""
    match = re.fullmatch(r"(=+)(.+?)(=+)\s*", re.sub(r"<!--.*?-->", "", line))
    if match is None:
        return 0, ""
    title = re.sub(r"\{\{.*?\}\}|<[^>]*>|''+|[\[\]=:]", "", match[2])
    return min(len(match[1]), len(match[3]), 6), normalise(title).casefold()


def _drop_tables(text: str) -> str:
    """Cuts out tables, with the tables in them; one without an end goes up to the next heading."""
    kept: list[str] = []
    depth = start = 0
    for edge in _TABLE_EDGE.finditer(text):
        if edge["start"]:
            if not depth:
                kept.append(text[start : edge.start()])
            depth += 1
        elif depth:
            depth = 0 if edge["heading"] else depth - 1
            start = edge.start() if edge["heading"] else edge.end()
    if not depth:
        kept.append(text[start:])
    return "".join(kept)


def _render(code: Wikicode | None) -> str:
    return "" if code is None else "".join(map(_render_node, code.nodes))


def _render_node(node: nodes.Node) -> str:
    match node:
        case nodes.Text():
            text = _STRAY_TAG.sub("", _QUOTES.sub(_drop_style, node.value))
            return _INDENTED.sub(f"\n{_LIST_ITEM}", text)
        case nodes.Wikilink():
            return _render_link(node)
        case nodes.ExternalLink():
            return _render(node.title)
        case nodes.HTMLEntity():
            return node.normalize()
        case nodes.Tag():
            return _render_tag(node)
        case nodes.Template():
            return _render_template(node)
        case _:  # comments, arguments, headings inside other nodes
            return ""


def _drop_style(quotes: re.Match[str]) -> str:
    """Two quotes are italics, three are bold, five are both; any more are characters."""
    number = len(quotes[0])
    return "" if number in (2, 3, 5) else "'" * (number - (3 if number == 4 else 5))


def _render_link(link: nodes.Wikilink) -> str:
    """The label of a link, or the page it leads to; nothing for files, categories, languages."""
    target = _render(link.title)
    if match := _PREFIX.match(target):
        prefix = match[2].lower()
        # "[[Category:Cats]]" is a mark on the page, "[[:Category:Cats]]" a link in its text.
        is_language = _LANGUAGE.fullmatch(prefix) and not target[match.end() :].startswith(" ")
        is_hidden = prefix in _HIDDEN_NAMESPACES or (is_language and prefix not in _PROJECTS)
        if is_hidden and not match[1]:
            return ""
        if is_hidden or prefix in _PROJECTS:
            target = target[match.end() :]
    if link.text is not None:
        return _render(link.text)
    page, _, section = target.strip(": ").partition("#")
    return (page or section).replace("_", " ")


def _render_tag(tag: nodes.Tag) -> str:
    name = str(tag.tag).strip().lower()
    if name == "math":
        return latex.to_text(str(tag.contents))
    if name in _DROPPED_IN_PARSING:
        return ""
    content = _render(tag.contents)
    if name in ("li", "dt", "dd"):
        return f"\n{_LIST_ITEM}{content}"
    if name in _LINE_TAGS:
        return f"\n\n{content}\n\n"
    if name == "sup":
        return latex.superscript(content)
    return content


def _render_template(template: nodes.Template) -> str:
    expand = wiki_templates.find(str(template.name))
    if expand is None:
        return ""
    return expand({str(p.name).strip(): _render(p.value).strip() for p in template.params})


def _to_lines(text: str) -> Iterator[str]:
    """Paragraphs of rendered text: lines up to an empty one, or one item of a list."""
    lines: list[str] = []
    for line in [*text.split("\n"), ""]:
        is_item = line.startswith(_LIST_ITEM)
        if is_item or not line.strip() or line.startswith(_TABLE_DEBRIS):
            if lines and _is_prose(paragraph := _tidy(" ".join(lines))):
                yield paragraph
            lines = []
            if is_item and _is_sentence(paragraph := _tidy(line)):
                yield paragraph
        else:
            lines.append(line)


def _is_sentence(text: str) -> bool:
    """Whether an item is more than a name, a title or a number among others."""
    is_clause = _ITEM_END.search(text) is not None and len(text.split()) >= _MIN_CLAUSE_WORDS
    return is_clause or _SENTENCE_END.search(text) is not None


def _is_prose(text: str) -> bool:
    """Whether a paragraph is more than a heading in disguise, a caption, or a place of a template."""
    return re.search(r"\w", text) is not None and (
        _CLAUSE_END.search(text) is not None or len(text.split()) >= _MIN_OPEN_WORDS
    )


def _tidy(text: str) -> str:
    """Mends what removed nodes leave behind: empty brackets, blanks before punctuation."""
    text = normalise(_MAGIC_WORD.sub("", text.translate(_MARKS)))
    for pattern, replacement in _REPAIRS:
        text = pattern.sub(replacement, text)
    return normalise(text)
