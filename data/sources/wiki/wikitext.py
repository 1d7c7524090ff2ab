"""Wikitext turned into the text a reader sees: running prose only.

As in BERT, tables, lists without sentences and headings are left out
(https://arxiv.org/abs/1810.04805, section 3.1). Three steps: a scan of the characters leaves little
more than prose; mwparserfromhell parses that section by section; and the lines of the rendered text
are joined, judged and mended.
"""

from __future__ import annotations

import collections
import html
import re
from collections.abc import Iterator

import mwparserfromhell
from mwparserfromhell import nodes
from mwparserfromhell.wikicode import Wikicode

from data.sources.documents import normalise
from data.sources.wiki import latex, scan, templates
from data.sources.wiki.scan import LIST_ITEM, OPEN_TABLE

_NESTING = re.compile(
    r"(?P<opening>\{\{|\[\[|\[(?=\w+:|//))|(?P<closing>\}\}|\]\]|\])"
    r"|<(?P<tag>[A-Za-z]\w*)(?:[^<>]*?(?P<alone>/?)>)?|</(?P<end>[A-Za-z]\w*)"
)
_OPENING_OF = {"}}": "{{", "]]": "[[", "]": "["}
# The parser does not wait for the end of these.
_SINGLE_TAGS = frozenset(("br", "wbr", "hr", "meta", "link", "img"))
_MAX_PARSING_COST = 20_000_000  # unclosed marks times characters: seconds
_LINE_TAGS = frozenset(("br", "p", "div", "blockquote", "hr", "center", "poem", "ul", "ol", "dl"))
_DROPPED_IN_PARSING = frozenset(("table", "rp", *scan.DROPPED_TAGS.split("|")))
_PREFIX = re.compile(r"\s*(:?)\s*([A-Za-z][\w -]*?)\s*:")
_PROJECTS = frozenset(
    {
        *("b", "c", "commons", "d", "m", "meta", "n", "q", "s", "species", "v", "voy", "w", "wikt"),
        *("wikibooks", "wikipedia", "wikiquote", "wikisource", "wikispecies", "wiktionary", "wp"),
        *("doi", "hdl", "mw"),
    }
)
# Links to other languages, which a page shows beside its text, have no text. Titles begin with
# other words of two or three letters ("CSI: NY"), so that only the codes of Wikipedias count.
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
_HIDDEN_NAMESPACES = frozenset(("file", "image", "category", "media"))
_QUOTES = re.compile("'{2,}")
# A line that begins with a blank is shown as code is: every line for itself.
_INDENTED = re.compile(r"\n[ \t]+(?=\S)")
# Of nodes without an end, the parser makes text.
_STRAY_MARKUP = re.compile(r"</?[A-Za-z]+(?:\s[^<>]*)?/?>|\{\{|\}\}|\[\[|\]\]")
_ENTITY = re.compile(r"&[A-Za-z][A-Za-z0-9]{1,31};")  # of HTML 5: the parser knows those of HTML 4
_AMOUNT = re.compile(r"(?:\b[A-Z]{1,3})?[$£€¥]\s*$")
_LONGEST_AMOUNT = 8
_FRACTION = re.compile(r"\d+/\d")
_MAGIC_WORD = re.compile(
    r"__(?:(?:NO|FORCE)?TOC|NO(?:EDITSECTION|GALLERY|(?:TITLE|CONTENT)CONVERT|TC|CC|GLOBAL"
    r"|EXTERNALLANGLINKS|TALK)|(?:NO)?(?:NEWSECTIONLINK|INDEX)|HIDDENCAT|ARCHIVEDTALK|DISAMBIG"
    r"|STATICREDIRECT|EXPECTUNUSED(?:CATEGORY|TEMPLATE)|START|END)__"
)
_SENTENCE_END = re.compile(r"[.!?…][\"'”’)\]]*$")
# Of a list that is one sentence; lists of names end so as well, but are shorter.
_ITEM_END = re.compile(r";( and| or)?$")
_MIN_CLAUSE_WORDS = 8
_CLAUSE_END = re.compile(r"[.!?…:;,][\"'”’)\]]*$")
_MIN_OPEN_WORDS = 10  # of a paragraph that does not end as a clause does
_REPAIRS = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\(\s*[;,:.\s]*\)|\[\s*\]", ""),
        (r"\((?:\s|[;,:](?=[\s)]))+", "("),
        (r"(?<![;,:\s])\s*+(?:[;,:]\s*+)++\)", ")"),
        (r"([;,])(?:\s*[;,])+", r"\1"),
        # A ratio, "4 : 3", keeps its blanks.
        (r"\s+(?!(?<=\d ):\s\d)([,;:!?](?=[\s\"'”’)]|$)|\)|\.(?!\w|\.))", r"\1"),
        (r"[,;:]\.(?=\s|$)", "."),
    )
]


def to_paragraphs(wikitext: str) -> tuple[list[str], int]:
    """The prose of an article.

    Returns:
      Its paragraphs, and how many UTF-8 bytes of the wikitext were in sections dropped whole.

    Raises:
      ValueError: more markup of one section is without an end, or ends in the wrong order, than can
        be parsed in seconds.
    """
    sections, section_bytes = scan.split_sections(wikitext)
    paragraphs = [
        paragraph for section in sections for paragraph in _to_lines(_render(_parse(section)))
    ]
    return paragraphs, section_bytes


def _parse(section: str) -> Wikicode:
    """Parses a section, unless that takes quadratic time.

    For each mark without an end the parser reads the rest of the section again: a few are usual, and
    in a short section even many cost little.
    """
    unclosed = _count_unclosed(section)
    if unclosed.total() * len(section) > _MAX_PARSING_COST:
        marks = ", ".join(f"{number} {mark!r}" for mark, number in unclosed.most_common(5))
        raise ValueError(f"too much markup in one section is not closed: {marks}")
    return mwparserfromhell.parse(f"\n{section}\n", skip_style_tags=True)


def _count_unclosed(section: str) -> collections.Counter[str]:
    """How many marks have no end, or one that comes after the end of what they stand in."""
    open_marks: list[str] = []
    depth: collections.Counter[str] = collections.Counter()  # open marks of each kind
    unclosed: collections.Counter[str] = collections.Counter()
    for match in _NESTING.finditer(section):
        if match["tag"]:
            mark = f"<{match['tag'].lower()}"
            if match["alone"] == "/" or mark[1:] in _SINGLE_TAGS:
                continue
        elif match["end"]:
            mark = f"<{match['end'].lower()}"
        else:
            mark = match["opening"] or _OPENING_OF[match["closing"]]
        if match["tag"] or match["opening"]:
            open_marks.append(mark)
            depth[mark] += 1
        elif depth[mark]:
            while (last := open_marks.pop()) != mark:
                unclosed[last] += 1
                depth[last] -= 1
            depth[mark] -= 1
    unclosed.update(open_marks)
    return unclosed


def _render(code: Wikicode | None) -> str:
    parts = [""]
    for node in code.nodes if code is not None else ():
        text = _render_node(node)
        if isinstance(node, nodes.Template):
            parts[-1] = _before_template(parts[-1], text)
        parts.append(text)
    return "".join(parts)


def _before_template(before: str, text: str) -> str:
    """The text before a template: "5" and "1/2" are "5 1/2"; "$" without an amount is nothing."""
    if not text:
        tail = before[-_LONGEST_AMOUNT:]
        return before[: len(before) - len(tail)] + _AMOUNT.sub("", tail)
    return f"{before} " if before[-1:].isdigit() and _FRACTION.match(text) else before


def _render_node(node: nodes.Node) -> str:
    match node:
        case nodes.Text():
            return _render_text(node.value)
        case nodes.Wikilink():
            return _render_link(node)
        case nodes.ExternalLink():
            return _render(node.title)
        case nodes.HTMLEntity():
            return scan.drop_marks(node.normalize())
        case nodes.Tag():
            return _render_tag(node)
        case nodes.Template():
            return _render_template(node)
        case _:  # comments, arguments, headings inside other nodes
            return ""


def _render_text(text: str) -> str:
    text = _STRAY_MARKUP.sub("", _QUOTES.sub(_drop_style, text))
    if "&" in text:
        text = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
    return _INDENTED.sub(f"\n{LIST_ITEM}", text)


def _drop_style(quotes: re.Match[str]) -> str:
    """Two quotes are italics, three are bold, five are both; any more are characters."""
    number = len(quotes[0])
    return "" if number in (2, 3, 5) else "'" * (number - (3 if number == 4 else 5))


def _render_link(link: nodes.Wikilink) -> str:
    """The label of a link, or the page it leads to; nothing for files, categories, languages."""
    target, _, label = _render(link.title).partition("|")  # a bar that a template made
    if match := _PREFIX.match(target):
        prefix = match[2].lower()
        # "[[Category:Cats]]" is a mark on the page, "[[:Category:Cats]]" a link in its text.
        is_language = prefix in _LANGUAGES and prefix not in _PROJECTS
        is_hidden = prefix in _HIDDEN_NAMESPACES or is_language
        if is_hidden and not match[1]:
            return ""
        if is_hidden or prefix in _PROJECTS:
            target = target[match.end() :]
    if link.text is not None:
        return _render(link.text)
    page, _, section = target.strip(": ").partition("#")
    return label or (page or section).replace("_", " ")


def _render_tag(tag: nodes.Tag) -> str:
    name = str(tag.tag).strip().lower()
    if name in _DROPPED_IN_PARSING:
        return ""
    content = _render(tag.contents)
    if name in ("li", "dt", "dd"):
        return f"\n{LIST_ITEM}{content}"
    if name in _LINE_TAGS:
        return f"\n\n{content}\n\n"
    if name == "sup":
        return latex.superscript(content)
    return f" ({content})" if name == "rt" else content


def _render_template(template: nodes.Template) -> str:
    expand = templates.find(str(template.name))
    if expand is None:
        return ""
    return expand({str(p.name).strip(): _render(p.value).strip() for p in template.params})


def _to_lines(text: str) -> Iterator[str]:
    """Paragraphs of rendered text: lines up to an empty one, or one item of a list."""
    lines: list[str] = []
    in_table = False
    for line in [*text.split("\n"), ""]:
        in_table |= line.startswith(OPEN_TABLE)
        is_item = line.startswith(LIST_ITEM)
        is_row = in_table and line.startswith((OPEN_TABLE, "|", "!"))
        if is_item or is_row or not line.strip():
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
    text = normalise(_MAGIC_WORD.sub("", text))
    for pattern, replacement in _REPAIRS:
        text = pattern.sub(replacement, text)
    return normalise(scan.unmask(text))
