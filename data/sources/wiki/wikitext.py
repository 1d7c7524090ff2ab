"""Convert wikitext to the running prose that a reader of the page sees.

As in BERT, headings, tables and lists without sentences are left out
(https://arxiv.org/abs/1810.04805, section 3.1). There are three steps: `scan` drops most of what is
not prose; mwparserfromhell parses each section, which is rendered as text; and the lines are joined
into paragraphs, which are filtered and cleaned up.
"""

from __future__ import annotations

import collections
import dataclasses
import html
import re
from collections.abc import Iterator

import mwparserfromhell
import regex
from mwparserfromhell import nodes
from mwparserfromhell.wikicode import Wikicode

from data.sources.documents import normalise
from data.sources.wiki import latex, scan, templates
from data.sources.wiki.scan import LIST_ITEM, OPEN_TABLE
from data.sources.wiki.site import ENGLISH, Site
from data.sources.wiki.variants import resolve_variants

_NESTING = re.compile(
    r"(?P<opening>\{\{|\[\[|\[(?=\w+:|//))|(?P<closing>\}\}|\]\]|\])"
    r"|<(?P<tag>[A-Za-z]\w*)(?:[^<>]*?(?P<self_closing>/?)>)?|</(?P<end>[A-Za-z]\w*)"
)
_OPENING_OF = {"}}": "{{", "]]": "[[", "]": "["}
# Void elements: the parser expects no closing tag.
_VOID_TAGS = frozenset(("br", "wbr", "hr", "meta", "link", "img"))
_MAX_PARSING_COST = 20_000_000  # unclosed tokens times characters; takes a few seconds
# The parser takes about a kilobyte per object of markup, so long sections are parsed in blocks.
_BLOCK = 2**16  # characters; ordinary sections are shorter
_MAX_MARKUP = 50_000  # opening tokens and list markers in a block
_LIST_MARKERS = re.compile(r"^[*#:;]+", re.MULTILINE)
_LINE_TAGS = frozenset(("br", "p", "div", "blockquote", "hr", "center", "poem", "ul", "ol", "dl"))
_DROPPED_IN_PARSING = frozenset(("table", "rp", *scan.DROPPED_TAGS.split("|")))
# The prefix of a link may be in any script, and in some a letter is followed by marks.
_PREFIX = re.compile(r"\s*(:?)\s*([^\W\d_][^:|#<>{}\[\]\n]{0,60}?)\s*:")
_PROJECTS = frozenset(
    {
        *("b", "c", "commons", "d", "m", "meta", "n", "q", "s", "species", "v", "voy", "w", "wikt"),
        *("wikibooks", "wikipedia", "wikiquote", "wikisource", "wikispecies", "wiktionary", "wp"),
        *("doi", "hdl", "mw"),
    }
)
# Interlanguage links are shown next to the page, not in its text. Only the codes of Wikipedias count:
# titles may begin with other words of two or three letters ("CSI: NY").
_LANGUAGES = frozenset(
    re.findall(
        r"\S+",
        "aa ab ace ady af ak als alt am ami an ang ann anp ar arc ary arz as ast atj av avk awa ay az"
        " azb ba ban bar bat-smg bbc bcl bdr be be-tarask be-x-old bew bg bh bi bjn blk bm bn bo bpy br"
        " bs btm bug bxr ca cbk-zam cdo ce ceb ch cho chr chy ckb co cr crh cs csb cu cv cy da dag de"
        " dga din diq dsb dtp dty dv dz ee el eml en eo es et eu ext fa fat ff fi fiu-vro fj fo fon fr"
        " frp frr fur fy ga gag gan gcr gd gl glk gn gom gor got gpe gsw gu guc gur guw gv ha hak haw"
        " he hi hif ho hr hsb ht hu hy hyw hz ia iba id ie ig igl ii ik ilo inh io is it iu ja jam jbo"
        " jv ka kaa kab kaj kbd kbp kcg kg kge ki kj kk kl km kn knc ko koi kr krc ks ksh ku kus kv kw"
        " ky la lad lb lbe lez lfn lg li lij lld lmo ln lo lrc lt ltg lv lzh mad mai map-bms mdf mg mh"
        " mhr mi min mk ml mn mni mnw mo mos mr mrj ms mt mus mwl my myv mzn na nah nan nap nds nds-nl"
        " ne new ng nia nl nn no nov nqo nr nrm nso nup nv ny oc olo om or os pa pag pam pap pcd pcm"
        " pdc pfl pi pih pl pms pnb pnt ps pt pwn qu rm rmy rn ro roa-rup roa-tara rsk ru rue rup rw sa"
        " sah sat sc scn sco sd se sg sgs sh shi shn shy si simple sk skr sl sm smn sn so sq sr srn ss"
        " st stq su sv sw syl szl szy ta tay tcy tdd te tet tg th ti tig tk tl tly tn to tpi tr trv ts"
        " tt tum tw ty tyv udm ug uk ur uz ve vec vep vi vls vo vro wa war wo wuu xal xh xmf yi yo yue"
        " za zea zgh zh zh-classical zh-min-nan zh-yue zu",
    )
)
_QUOTES = re.compile("'{2,}")
# Lines that begin with a space are preformatted: they are not joined with the lines around them.
_INDENTED = re.compile(r"\n[ \t]+(?=\S)")
# The parser returns unclosed nodes as text.
_STRAY_MARKUP = re.compile(r"</?[A-Za-z]+(?:\s[^<>]*)?/?>|\{\{|\}\}|\[\[|\]\]")
_ENTITY = re.compile(r"&[A-Za-z][A-Za-z0-9]{1,31};")  # HTML 5; the parser knows only HTML 4
_AMOUNT = re.compile(r"(?:\b[A-Z]{1,3})?[$£€¥]\s*$")
_LONGEST_AMOUNT = 8
_FRACTION = re.compile(r"\d+/\d")
_MAGIC_WORD = re.compile(
    r"__(?:(?:NO|FORCE)?TOC|NO(?:EDITSECTION|GALLERY|(?:TITLE|CONTENT)CONVERT|TC|CC|GLOBAL"
    r"|EXTERNALLANGLINKS|TALK)|(?:NO)?(?:NEWSECTIONLINK|INDEX)|HIDDENCAT|ARCHIVEDTALK|DISAMBIG"
    r"|STATICREDIRECT|EXPECTUNUSED(?:CATEGORY|TEMPLATE)|START|END)__"
)
# Ends of sentences and clauses in any script, before closing quotes and brackets.
_CLOSING = r"(?:\s?[\"'\p{Pe}\p{Pf}\p{Pi}])*$"
_SENTENCE_END = regex.compile(rf"[.!?…༎\p{{Sentence_Terminal}}]{_CLOSING}")
# End of a list item that is a clause of a sentence. Items of lists of names may end so too, but are
# shorter.
_ITEM_END = re.compile(r";( and| or)?$")
_MIN_CLAUSE_WORDS = 8
_CLAUSE_END = regex.compile(
    rf"[.!?…:;,༎\p{{Sentence_Terminal}}\p{{Terminal_Punctuation}}]{_CLOSING}"
)
_LONGEST_END = 12
# Characters of scripts without spaces between words that make about a word.
_UNSPACED_WORD = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}]{2}|[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]{5}"
)
_MIN_OPEN_WORDS = 10  # of a paragraph without punctuation at its end
_REPAIRS = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\(\s*[;,:.\s]*\)|\[\s*\]", ""),
        (r"\((?:\s|[;,:](?=[\s)]))+", "("),
        (r"(?<![;,:\s])\s*+(?:[;,:]\s*+)++\)", ")"),
        (r"([;,])(?:\s*[;,])+", r"\1"),
        # A ratio, "4 : 3", keeps its spaces.
        (r"\s+(?!(?<=\d ):\s\d)([,;:!?](?=[\s\"'”’)]|$)|\)|\.(?!\w|\.))", r"\1"),
        (r"[,;:]\.(?=\s|$)", "."),
    )
]


@dataclasses.dataclass
class Article:
    """Text of an article.

    Attributes:
      paragraphs: paragraphs of prose.
      section_bytes: UTF-8 bytes of the sections that were dropped as a whole.
      other_bytes: UTF-8 bytes of the paragraphs that are no prose, as a reader sees them; tables and
        lists do not count.
    """

    paragraphs: list[str] = dataclasses.field(default_factory=list)
    section_bytes: int = 0
    other_bytes: int = 0


def to_article(wikitext: str, site: Site = ENGLISH) -> Article:
    """Convert the wikitext of an article.

    Args:
      wikitext: text of the page.
      site: wiki of the page.

    Raises:
      ValueError: a section has too much unclosed or wrongly nested markup to be parsed in seconds.
    """
    sections, section_bytes = scan.split_sections(wikitext, site)
    article = Article(section_bytes=section_bytes)
    for section in sections:
        for paragraph, is_prose in _split_paragraphs(_render_section(section, site)):
            if is_prose:
                article.paragraphs.append(paragraph)
            else:
                article.other_bytes += len(paragraph.encode())
    return article


def _render_section(section: str, site: Site) -> str:
    """Parse and render a section; raise a ValueError if that would take too much time or memory.

    For each unclosed token the parser reads the rest of the section again. A few are common, and in
    a short section even many cost little.
    """
    nesting = _find_nesting(section)
    if nesting.unclosed.total() * len(section) > _MAX_PARSING_COST:
        counts = ", ".join(f"{n} {token!r}" for token, n in nesting.unclosed.most_common(5))
        raise ValueError(f"too much markup in one section is not closed: {counts}")
    texts: list[str] = []
    for block in _cut(section, nesting.outside):
        text = _render(_parse(block), site)
        # The line break after a block is both the last of its text and the first of the next one's.
        texts.append(text.removeprefix("\n") if texts else text)
    text = "".join(texts)
    return resolve_variants(text) if site.has_variants and "-{" in text else text


def _parse(block: str) -> Wikicode:
    num_markers = sum(len(match[0]) for match in _LIST_MARKERS.finditer(block))
    num_objects = num_markers + sum(1 for _ in _NESTING.finditer(block)) // 2
    if num_objects > _MAX_MARKUP:
        raise ValueError(f"too much markup in one place: {num_objects} elements and list markers")
    return mwparserfromhell.parse(f"\n{block}\n", skip_style_tags=True)


def _cut(section: str, outside: list[tuple[int, int]]) -> Iterator[str]:
    """Yield a section in blocks that begin and end at line breaks outside of all markup.

    Args:
      section: section to cut.
      outside: ascending ranges [start, stop) of text outside of all markup.
    """
    start = 0
    for first, stop in outside if len(section) > _BLOCK else ():
        while (end := section.find("\n", max(first, start + _BLOCK), stop)) >= 0:
            yield section[start:end]
            start = end + 1
    yield section[start:]


@dataclasses.dataclass
class _Nesting:
    """How the markup of a section is nested.

    Attributes:
      unclosed: opening tokens that are unclosed, or closed only after an enclosing token is.
      outside: ascending ranges [start, stop) of the text outside of all markup.
    """

    unclosed: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    outside: list[tuple[int, int]] = dataclasses.field(default_factory=list)


def _find_nesting(section: str) -> _Nesting:
    stack: list[str] = []
    depth: collections.Counter[str] = collections.Counter()  # open tokens of each kind
    nesting, position = _Nesting(), 0
    for match in _NESTING.finditer(section):
        if not stack:
            nesting.outside.append((position, match.start()))
        position = match.end()
        if match["tag"]:
            token = f"<{match['tag'].lower()}"
            if match["self_closing"] == "/" or token[1:] in _VOID_TAGS:
                continue
        elif match["end"]:
            token = f"<{match['end'].lower()}"
        else:
            token = match["opening"] or _OPENING_OF[match["closing"]]
        if match["tag"] or match["opening"]:
            stack.append(token)
            depth[token] += 1
        elif depth[token]:
            while (last := stack.pop()) != token:
                nesting.unclosed[last] += 1
                depth[last] -= 1
            depth[token] -= 1
    if not stack:
        nesting.outside.append((position, len(section)))
    nesting.unclosed.update(stack)
    return nesting


def _render(code: Wikicode | None, site: Site) -> str:
    parts = [""]
    for node in code.nodes if code is not None else ():
        text = _render_node(node, site)
        if isinstance(node, nodes.Template):
            parts[-1] = _before_template(parts[-1], text)
        parts.append(text)
    return "".join(parts)


def _before_template(before: str, text: str) -> str:
    """Return the text before a template, adapted to the text of the template.

    "5" before "1/2" is followed by a space; a currency sign is dropped if no amount follows.
    """
    if not text:
        tail = before[-_LONGEST_AMOUNT:]
        return before[: len(before) - len(tail)] + _AMOUNT.sub("", tail)
    return f"{before} " if before[-1:].isdigit() and _FRACTION.match(text) else before


def _render_node(node: nodes.Node, site: Site) -> str:
    match node:
        case nodes.Text():
            return _render_text(node.value)
        case nodes.Wikilink():
            return _render_link(node, site)
        case nodes.ExternalLink():
            return _render(node.title, site)
        case nodes.HTMLEntity():
            return scan.remove_reserved(node.normalize())
        case nodes.Tag():
            return _render_tag(node, site)
        case nodes.Template():
            return _render_template(node, site)
        case _:  # comments, arguments, headings inside other nodes
            return ""


def _render_text(text: str) -> str:
    text = _STRAY_MARKUP.sub("", _QUOTES.sub(_drop_style, text))
    if "&" in text:
        text = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
    return _INDENTED.sub(f"\n{LIST_ITEM}", text)


def _drop_style(quotes: re.Match[str]) -> str:
    """Remove italics (2 quotes), bold (3) and both (5); further quotes are characters."""
    number = len(quotes[0])
    return "" if number in (2, 3, 5) else "'" * (number - (3 if number == 4 else 5))


def _render_link(link: nodes.Wikilink, site: Site) -> str:
    """Return the label of a link or else its target; "" for files, categories and other languages."""
    target, _, label = _render(link.title, site).partition("|")  # a bar from {{!}}
    if match := _PREFIX.match(target):
        prefix = " ".join(match[2].replace("_", " ").lower().split())
        # "[[Category:Cats]]" classifies the page; "[[:Category:Cats]]" is a link in its text.
        is_language = prefix in _LANGUAGES and prefix not in _PROJECTS
        is_hidden = prefix in site.hidden_prefixes or is_language
        if is_hidden and not match[1]:
            return ""
        if is_hidden or prefix in _PROJECTS:
            target = target[match.end() :]
    if link.text is not None:
        return _render(link.text, site)
    page, _, section = target.strip(": ").partition("#")
    return label or (page or section).replace("_", " ")


def _render_tag(tag: nodes.Tag, site: Site) -> str:
    name = str(tag.tag).strip().lower()
    if name in _DROPPED_IN_PARSING:
        return ""
    content = _render(tag.contents, site)
    if name in ("li", "dt", "dd"):
        return f"\n{LIST_ITEM}{content}"
    if name in _LINE_TAGS:
        return f"\n\n{content}\n\n"
    if name == "sup":
        return latex.superscript(content)
    return f" ({content})" if name == "rt" else content


def _render_template(template: nodes.Template, site: Site) -> str:
    expand = templates.find_expander(str(template.name), site.language)
    if expand is None:
        return ""
    return expand({str(p.name).strip(): _render(p.value, site).strip() for p in template.params})


def _split_paragraphs(text: str) -> Iterator[tuple[str, bool]]:
    """Yield paragraphs of rendered text, and whether they are prose.

    A paragraph is the lines up to a blank one, or a list item that is a sentence; other items are left
    out.
    """
    lines: list[str] = []
    in_table = False
    for line in [*text.split("\n"), ""]:
        in_table |= line.startswith(OPEN_TABLE)
        is_item = line.startswith(LIST_ITEM)
        is_row = in_table and line.startswith((OPEN_TABLE, "|", "!"))
        if is_item or is_row or not line.strip():
            if lines:
                paragraph = _clean_up(" ".join(lines))
                yield paragraph, _is_prose(paragraph)
            lines = []
            if is_item and _is_sentence(paragraph := _clean_up(line)):
                yield paragraph, True
        else:
            lines.append(line)


def _is_sentence(text: str) -> bool:
    """Return whether a list item is a sentence or clause, not a name, a title or a number."""
    is_clause = _ITEM_END.search(text) is not None and len(text.split()) >= _MIN_CLAUSE_WORDS
    return is_clause or _SENTENCE_END.search(text[-_LONGEST_END:]) is not None


def _is_prose(text: str) -> bool:
    """Return whether a paragraph is more than a caption, bold text as a heading, or an empty template."""
    return re.search(r"\w", text) is not None and (
        _CLAUSE_END.search(text[-_LONGEST_END:]) is not None
        or _count_words(text) >= _MIN_OPEN_WORDS
    )


def _count_words(text: str) -> int:
    """Return about the number of words, also of text without spaces between them."""
    num_words = len(text.split())
    return num_words if text.isascii() else num_words + len(_UNSPACED_WORD.findall(text))


def _clean_up(text: str) -> str:
    """Repair what removed nodes leave behind: empty brackets, spaces before punctuation."""
    text = normalise(_MAGIC_WORD.sub("", text))
    for pattern, replacement in _REPAIRS:
        text = pattern.sub(replacement, text)
    return normalise(scan.unescape(text))
