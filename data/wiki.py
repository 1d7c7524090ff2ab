"""MediaWiki dumps: a stream of pages, and wikitext turned into the text a reader sees.

`read_pages` streams `pages-articles` XML (plain, .bz2 or .gz). `to_paragraphs` walks the tree that
mwparserfromhell parses and keeps running prose only: as in BERT, tables, lists without sentences
and headings are left out (https://arxiv.org/abs/1810.04805, section 3.1).
"""

from __future__ import annotations

import dataclasses
import re
import zlib
from collections.abc import Iterator
from typing import BinaryIO
from xml.etree.ElementTree import ParseError

import mwparserfromhell
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse
from mwparserfromhell import nodes
from mwparserfromhell.wikicode import Wikicode

from data.documents import Document, InputFile, Reject, normalise, open_compressed
from data.errors import UserError

# Sections of references and link lists; everything up to the next heading of the same level goes.
_DROPPED_SECTIONS = frozenset(
    {
        "bibliography",
        "citations",
        "external links",
        "footnotes",
        "further reading",
        "gallery",
        "notes",
        "notes and references",
        "references",
        "see also",
        "sources",
        "works cited",
    }
)
# Elements whose content is not prose.
_DROPPED_TAGS = frozenset(
    {
        *("ref", "references", "templatestyles"),
        *("table", "gallery", "imagemap", "timeline", "graph", "mapframe", "inputbox"),
        *("math", "chem", "score", "hiero"),
        *("source", "syntaxhighlight", "pre", "code"),
    }
)
_LINE_TAGS = frozenset(("br", "p", "div", "blockquote", "hr", "center"))
# Links into other namespaces: captions, categories, other languages.
_NAMESPACED_LINK = re.compile(r"^\s*:?\s*[A-Za-z][\w -]*:(?!\s)")
_KEPT_NAMESPACES = re.compile(r"^\s*(wikt|wiktionary|s|wikisource)\s*:", re.I)
# Templates that stand for text of their own, and the parameter that holds it.
_TEXT_TEMPLATES = {
    "lang": "2",
    "nowrap": "1",
    "nobr": "1",
    "small": "1",
    "transl": "2",
    "quote": "1",
    "cquote": "1",
    "blockquote": "1",
}
_SPACED_TEMPLATES = {"spaced ndash": " – ", "snd": " – ", "ndash": "–", "mdash": "—", "'": "'"}
_RANGE_WORDS = {
    "-": "–",
    "–": "–",
    "x": " × ",
    "×": " × ",
    "by": " by ",
    "+/-": " ± ",
    "±": " ± ",
} | {word: f" {word} " for word in ("to", "and", "or")}
_MAGIC_WORD = re.compile(r"__[A-Z]+__")
_EMPTY_BRACKETS = re.compile(r"\(\s*[;,:.\s]*\)|\[\s*\]")
_BRACKET_DEBRIS = re.compile(r"\(\s*[;,:]+\s*")
_SPACE_BEFORE_PUNCTUATION = re.compile(r"\s+([,.;:!?)])")
_SENTENCE_END = re.compile(r"[.!?][\"'”’)\]]*$")
_LIST_ITEM = "\x01"  # marks the start of a list item; never part of text (XML 1.0 forbids it)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Page:
    """One article of a dump, as written by its editors."""

    id: str
    title: str
    wikitext: str


def read_documents(file: InputFile) -> Iterator[Document | Reject]:
    """Streams the articles of one dump as clean documents.

    Redirects, pages outside namespace 0 and articles without prose yield nothing.

    Raises:
      UserError: the dump is truncated, damaged, or not a MediaWiki dump.
    """
    with open_compressed(file.path) as stream:
        for page in read_pages(stream, name=file.path):
            try:
                paragraphs = tuple(to_paragraphs(page.wikitext))
            except Exception as error:  # one page in millions must not stop a build of days
                yield Reject(
                    source=file.name,
                    offset=f"page {page.id}",
                    reason=f"cannot be cleaned: {type(error).__name__}: {error}",
                )
                continue
            if paragraphs:
                yield Document(id=f"wiki/{page.id}", paragraphs=paragraphs)


def read_pages(stream: BinaryIO, *, name: str) -> Iterator[Page]:
    """Streams the articles (namespace 0, no redirects) of a MediaWiki XML dump.

    Args:
      stream: the XML as bytes.
      name: how errors name the file.

    Raises:
      UserError: the stream ends early, is not XML, or declares a document type (no real dump does;
        it is how XML bombs start).
    """
    root = None
    try:
        for event, element in iterparse(stream, events=("start", "end"), forbid_dtd=True):
            if root is None:
                root = element
                if _local_name(root.tag) != "mediawiki":
                    raise UserError(
                        f"{name}: not a MediaWiki dump: its first element is"
                        f" <{_local_name(root.tag)}>, expected <mediawiki>"
                    )
            if event == "end" and _local_name(element.tag) == "page":
                page = _article(element)
                root.clear()  # a dump does not fit into memory; drop what has been read
                if page is not None:
                    yield page
    except (EOFError, OSError, zlib.error, ParseError) as error:
        if root is None and isinstance(error, ParseError):
            raise UserError(
                f"{name}: not a MediaWiki dump ({error}); plain text goes to --books"
            ) from error
        raise UserError(
            f"{name}: truncated or damaged: {error}; download it again and compare its checksum"
        ) from error
    except DefusedXmlException as error:
        raise UserError(
            f"{name}: declares a document type, which no MediaWiki dump does"
        ) from error


def to_paragraphs(wikitext: str) -> Iterator[str]:
    """The prose of an article, one paragraph at a time."""
    text = "".join(_render_sections(mwparserfromhell.parse(wikitext, skip_style_tags=True)))
    for line in _MAGIC_WORD.sub("", text.replace("'''", "").replace("''", "")).split("\n"):
        is_list_item = _LIST_ITEM in line
        paragraph = _tidy(line.replace(_LIST_ITEM, ""))
        if not re.search(r"\w", paragraph):
            continue
        if is_list_item and not _SENTENCE_END.search(paragraph):
            continue  # names, titles and numbers in a row are no sentences
        yield paragraph


def _local_name(tag: str) -> str:
    return tag.rpartition("}")[2]


def _article(page) -> Page | None:
    """The page's id, title and text; None for redirects and other namespaces."""
    fields: dict[str, str] = {}
    for element in page.iter():
        # The first <id> is the page's; those of the revision and its contributor follow.
        fields.setdefault(_local_name(element.tag), element.text or "")
    wikitext = fields.get("text", "")
    is_redirect = "redirect" in fields or wikitext.lstrip()[:9].upper() == "#REDIRECT"
    if fields.get("ns", "0") != "0" or is_redirect or not wikitext.strip():
        return None
    return Page(id=fields.get("id", ""), title=fields.get("title", ""), wikitext=wikitext)


def _render_sections(code: Wikicode) -> Iterator[str]:
    """Renders the top level of an article without its headings and dropped sections."""
    dropped_level = None  # of the section being dropped
    for node in code.nodes:
        if isinstance(node, nodes.Heading):
            yield "\n"
            if dropped_level is None or node.level <= dropped_level:
                title = node.title.strip_code().strip().lower()
                dropped_level = node.level if title in _DROPPED_SECTIONS else None
        elif dropped_level is None:
            yield _render_node(node)


def _render(code: Wikicode | None) -> str:
    return "" if code is None else "".join(map(_render_node, code.nodes))


def _render_node(node: nodes.Node) -> str:
    match node:
        case nodes.Text():
            return node.value
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


def _render_link(link: nodes.Wikilink) -> str:
    target = str(link.title)
    if _NAMESPACED_LINK.match(target) and not _KEPT_NAMESPACES.match(target):
        namespace = target.strip().lstrip(":").partition(":")[0].strip().lower()
        is_language = re.fullmatch(r"[a-z]{2,3}(-[a-z]+)*", namespace)
        if is_language or namespace in ("file", "image", "category", "media"):
            return ""
    return _render(link.text) if link.text is not None else target.partition("#")[0].lstrip(":")


def _render_tag(tag: nodes.Tag) -> str:
    name = str(tag.tag).strip().lower()
    if name in _DROPPED_TAGS:
        return ""
    if name in ("li", "dt"):
        return f"\n{_LIST_ITEM}{_render(tag.contents)}"
    if name in _LINE_TAGS:
        return f"\n{_render(tag.contents)}\n"
    return _render(tag.contents)


def _render_template(template: nodes.Template) -> str:
    name = str(template.name).strip().lower()
    if name in _SPACED_TEMPLATES:
        return _SPACED_TEMPLATES[name]
    if name in ("convert", "cvt"):
        return _render_convert(template)
    parameter = _TEXT_TEMPLATES.get(name)
    if parameter is None and name.startswith("lang-"):
        parameter = "1"
    if parameter is None or not template.has(parameter):
        return ""
    return _render(template.get(parameter).value)


def _render_convert(template: nodes.Template) -> str:
    """{{convert|5|km|mi}} is "5 km", {{convert|5|to|10|km}} "5 to 10 km"; "" if in doubt."""
    values = [_render(p.value).strip() for p in template.params if not p.showkey]
    text = ""
    while values and re.fullmatch(r"[-+−]?[\d.,/ ]*\d", values[0]):
        text += values.pop(0)
        if values and values[0] in _RANGE_WORDS:
            text += _RANGE_WORDS[values.pop(0)]
        elif values:
            return f"{text} {values[0]}"
    return ""


def _tidy(line: str) -> str:
    """Repairs what removed nodes leave behind: empty brackets, blanks before punctuation."""
    line = normalise(line)
    line = _BRACKET_DEBRIS.sub("(", _EMPTY_BRACKETS.sub("", line))
    return normalise(_SPACE_BEFORE_PUNCTUATION.sub(r"\1", line))
