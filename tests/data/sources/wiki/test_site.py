"""Dumps of other languages than English: what their headers say, and prose of any script."""

import pytest

from data.sources.documents import Document
from data.sources.wiki.localised import find_expander
from data.sources.wiki.site import ENGLISH, Site
from data.sources.wiki.variants import resolve_variants
from data.sources.wiki.wikitext import to_article
from tests.support.wiki_dumps import FOOTER, read_whole


def header(language: str, namespaces: dict[int, str]) -> str:
    names = "".join(
        f'<namespace key="{key}" case="first-letter">{name}</namespace>'
        for key, name in namespaces.items()
    )
    return (
        f'<mediawiki version="0.11" xml:lang="{language}"><siteinfo><dbname>{language}wiki</dbname>'
        f'<namespaces><namespace key="0" />{names}</namespaces></siteinfo>'
    )


def read_pages(tmp_path, start: str, *pages: str) -> list[tuple[str, ...] | str]:
    """Return the paragraphs of documents, and the reasons why other pages are skipped."""
    items = read_whole(tmp_path, (start + "".join(pages) + FOOTER).encode())
    found = [
        item.paragraphs if isinstance(item, Document) else getattr(item, "reason", "")
        for item in items
    ]
    return [item for item in found if item != "around pages"]


def page(title: str, *revisions: str, extra: str = "") -> str:
    return f"<page><title>{title}</title><id>1</id>{extra}{''.join(revisions)}</page>"


def revision(text: str, *, number: int = 1, time: str = "", extra: str = "") -> str:
    stamp = f"<timestamp>{time}</timestamp>" if time else ""
    return f"<revision><id>{number}</id>{stamp}{extra}<text>{text}</text></revision>"


PROSE = {
    "Chinese": "上海是中国最大的城市之一，位于长江口南岸。",
    "Chinese without a full stop": "上海是中国最大的城市之一位于长江口南岸的平原",
    "Japanese": "富士山は日本で最も高い山である。",
    "Korean": "한강은 서울을 가로질러 흐르는 강이다.",
    "Thai": "แม่น้ำเจ้าพระยาไหลผ่านกรุงเทพมหานครลงสู่อ่าวไทยทางทิศใต้",
    "Khmer": "ទន្លេមេគង្គហូរកាត់ប្រទេសកម្ពុជា។",
    "Burmese": "ဧရာဝတီမြစ်သည် မြန်မာနိုင်ငံ၏ အရှည်ဆုံးမြစ် ဖြစ်သည်။",
    "Tibetan": "ལྷ་ས་ནི་བོད་ཀྱི་རྒྱལ་ས་ཡིན།",
    "Hindi": "गंगा भारत की सबसे लंबी नदी है।",
    "Bengali": "পদ্মা বাংলাদেশের একটি বড় নদী।",
    "Urdu": "دریائے سندھ پاکستان کا سب سے بڑا دریا ہے۔",
    "Arabic": "هل النيل أطول أنهار العالم؟",
    "Armenian": "Սևանը Հայաստանի ամենամեծ լիճն է։",
    "Amharic": "አዲስ አበባ የኢትዮጵያ ዋና ከተማ ነው።",
    "Greek": "Είναι ο Όλυμπος το ψηλότερο βουνό;",
    "German with quotes": "Er nannte den Fluss „die Mutter der Stadt.“",
}


@pytest.mark.parametrize("text", PROSE.values(), ids=PROSE)
def test_sentences_of_any_script_are_prose(text):
    assert to_article(f"{text}\n* {text}").paragraphs[0] == text


@pytest.mark.parametrize("text", ["上海", "กรุงเทพ", "सूची", "قائمة", "Liste der Flüsse"])
def test_names_and_headings_of_any_script_are_not(text):
    assert to_article(f"{text}\n\n* {text}").paragraphs == []


def test_files_and_categories_go_by_the_namespaces_of_the_header(tmp_path):
    start = header("hi", {6: "चित्र", 14: "श्रेणी"})
    text = (
        "[[चित्र:नदी.jpg|अंगूठाकार|नदी का एक चित्र, जो सुबह लिया गया था।]]\n"
        "यह एक नदी है। [[File:A.jpg|thumb|A river.]] देखें [[:श्रेणी:नदियाँ|नदियाँ]]।\n[[श्रेणी:नदियाँ]]"
    )
    assert read_pages(tmp_path, start, page("नदी", revision(text))) == [("यह एक नदी है। देखें नदियाँ।",)]


def test_former_names_of_files_are_known(tmp_path):
    start = header("de", {6: "Datei", 14: "Kategorie"})
    text = "[[Bild:Fluss.png|miniatur|Ein Fluss.]] Ein Fluss ist ein Gewässer. [[Kategorie:Fluss]]"
    assert read_pages(tmp_path, start, page("Fluss", revision(text))) == [
        ("Ein Fluss ist ein Gewässer.",)
    ]


@pytest.mark.parametrize(
    ("language", "titles"),
    [
        ("de", ("Literatur", "Weblinks", "Einzelnachweise", "Quellen")),
        ("fr", ("Notes et références", "Liens externes", "Voir aussi", "Bibliographie")),
        ("es", ("Referencias", "Enlaces externos", "Bibliografía")),
        ("ru", ("Примечания", "Литература", "Ссылки")),
        ("ja", ("脚注", "参考文献", "外部リンク")),
        ("zh", ("参考文献", "外部連結", "參見")),
        ("xx", ("References", "External links")),
    ],
)
def test_sections_of_references_are_dropped_in_the_language_of_the_wiki(language, titles):
    site = Site(language=language)
    for title in titles:
        text = f"One sentence.\n== {title} ==\n* A title. A publisher, 1999.\n"
        assert to_article(text, site).paragraphs == ["One sentence."], title
    kept = f"One sentence.\n== {'Geschichte'} ==\nTwo sentences.\n"
    assert to_article(kept, site).paragraphs == ["One sentence.", "Two sentences."]


def test_pages_without_a_namespace_go_by_their_titles(tmp_path):
    start = header("en", {4: "Wikipedia", 100: "Portal"})
    pages = [
        page(title, revision("This is a sentence of prose."))
        for title in (
            "River",
            "2001: A Space Odyssey",
            "Talk:River",
            "Wikipedia:River",
            "Portal: R",
        )
    ]
    prose = ("This is a sentence of prose.",)
    skipped = "other namespace"
    assert read_pages(tmp_path, start, *pages) == [prose, prose, skipped, skipped, skipped]


def test_the_newest_revision_with_a_text_counts(tmp_path):
    deleted = (
        "<revision><id>9</id><timestamp>2024-01-01T00:00:00Z</timestamp>"
        '<text deleted="deleted" /></revision>'
    )
    old, new = (
        revision(f"This is of {year}.", number=number, time=f"{year}-01-01T00:00:00Z")
        for number, year in ((1, 2001), (2, 2020))
    )
    pages = [
        page("A", old, new),
        page("B", new, old),
        page("C", old, deleted),
        page("D", revision("Number one."), revision("Number two.", number=2)),
        page("E", old, revision("#REDIRECT [[A]]", number=3, time="2021-01-01T00:00:00Z")),
    ]
    assert read_pages(tmp_path, header("en", {}), *pages) == [
        ("This is of 2020.",),
        ("This is of 2020.",),
        ("This is of 2001.",),
        ("Number two.",),
        "redirect",
    ]


@pytest.mark.parametrize("model", ["json", "css", "javascript", "Scribunto"])
def test_pages_of_code_and_data_are_no_prose(tmp_path, model):
    code = revision("/* A comment. */ body { }", extra=f"<model>{model}</model>")
    text = revision("A sentence.", extra="<model>wikitext</model>")
    pages = [page("A.css", code), page("A", text)]
    assert read_pages(tmp_path, header("en", {}), *pages) == ["not wikitext", ("A sentence.",)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-{zh-cn:程序;zh-tw:程式}-", "程序"),
        ("-{zh-cn:程序; zh-tw:程式;}-", "程序"),
        ("-{HTML}- и -{CERN}--у", "HTML и CERN-у"),
        ("-{A|zh-hans:单词;zh-hant:單詞}-", "单词"),
        ("-{H|zh-cn:A;zh-tw:B}--{T|title}-x", "x"),
        ("-{R|原文}-", "原文"),
        ("-{a -{zh-cn:b;zh-tw:c}- d}-", "a b d"),
        ("-{12:30}-", "12:30"),
        ("a - {b} -", "a - {b} -"),
        ("-{unclosed", "-{unclosed"),
    ],
)
def test_variants(text, expected):
    assert resolve_variants(text) == expected


def test_variants_are_resolved_where_the_wiki_has_them():
    text = "Протокол -{HTTP}- је стар."
    assert to_article(text, Site(language="sr")).paragraphs == ["Протокол HTTP је стар."]
    assert to_article(text, ENGLISH).paragraphs == [text]


@pytest.mark.parametrize(
    ("language", "wikitext", "expected"),
    [
        ("fr", "Il mesure {{unité|25000.5|km}}.", "Il mesure 25 000,5 km."),
        ("fr", "Il compte {{formatnum:6000}} habitants.", "Il compte 6 000 habitants."),
        ("fr", "Né le {{date|14|juillet|1789}} au {{s|XVIII}}.", "Né le 14 juillet 1789 au XVIIIe siècle."),
        ("fr", "Le {{1er|janvier}} du {{Ier siècle}}.", "Le 1er janvier du Ier siècle."),
        ("fr", "Le XIX{{e}} siècle, dit {{lang|en|railway}}.", "Le XIXe siècle, dit railway."),
        ("de", "Er ist {{Zahl|12345,6|m}} lang.", "Er ist 12.345,6 m lang."),
        ("de", "Seit {{formatnum:1234567}} Jahren.", "Seit 1.234.567 Jahren."),
        ("es", "Mide {{unidad|2000|m}} en el {{siglo|XX}}.", "Mide 2000 m en el siglo XX."),
        ("es", "Murió el {{fecha|2|5|1808}}.", "Murió el 2 de mayo de 1808."),
        ("it", "È lungo {{M|652|u=km}} dal {{data|1|6|1901}}.", "È lungo 652 km dal 1 giugno 1901."),
        ("pt", "Tem {{fmtn|12345|km}} desde o {{séc|XV}}.", "Tem 12 345 km desde o século XV."),
        ("ru", "Длина {{число|3530}} км, {{дата|1|5|1900}}.", "Длина 3530 км, 1 мая 1900."),
        ("pl", "Ma {{liczba|1047}} km.", "Ma 1047 km."),
        ("ja", "{{仮リンク|セーヌ川|fr|Seine}}は川である。", "セーヌ川は川である。"),
        ("zh", "{{tsl|en|Seine|塞纳河}}是一条河流。", "塞纳河是一条河流。"),
    ],
)  # fmt: skip
def test_templates_of_other_languages(language, wikitext, expected):
    assert to_article(wikitext, Site(language=language)).paragraphs == [expected]


def test_templates_of_one_language_are_unknown_to_another():
    assert find_expander("unité", "de") is None
    assert find_expander("unité", "en") is None


def test_a_header_without_facts_is_that_of_an_english_wiki():
    assert Site.from_header(b"<mediawiki>") == ENGLISH
    site = Site.from_header(header("pt-BR", {6: "Ficheiro", 14: "A &amp; B"}).encode())
    assert (site.language, site.database) == ("pt", "pt-BRwiki")
    assert site.hidden_prefixes >= {"ficheiro", "a & b", "file", "category", "media", "imagem"}
