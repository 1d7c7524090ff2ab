import bz2
import gzip
import io

import pytest

from data import wiki
from data.documents import InputFile
from data.errors import UserError


def dump_of(*pages: str) -> bytes:
    return (
        '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/">' + "".join(pages)
    ).encode() + b"</mediawiki>"


def page(title: str, text: str, *, ns: int = 0, page_id: int = 1, extra: str = "") -> str:
    return (
        f"<page><title>{title}</title><ns>{ns}</ns><id>{page_id}</id>{extra}"
        f"<revision><id>99</id><text>{text}</text></revision></page>"
    )


def read(content: bytes) -> list[wiki.Page]:
    return list(wiki.read_pages(io.BytesIO(content), name="dump.xml"))


@pytest.fixture(scope="module")
def pages(golden):
    with bz2.open(golden / "wiki.xml.bz2") as stream:
        return {page.title: page for page in wiki.read_pages(stream, name="wiki.xml.bz2")}


def test_real_dump_yields_articles_and_no_redirect(pages):
    # AccessibleComputing (id 10) is a redirect.
    assert {page.id: page.title for page in pages.values()} == {
        "332": "Animalia (book)",
        "580": "Astronomer",
        "612": "Arithmetic mean",
        "642": "Answer",
        "675": "Affirming the consequent",
        "683": "Adventure",
        "728": "List of anthropologists",
        "772": "Ampere",
    }


@pytest.mark.parametrize("title", ["Astronomer", "Affirming the consequent"])
def test_prose_of_real_pages(pages, golden, title):
    expected = (golden / f"{title.lower().replace(' ', '_')}.txt").read_text(encoding="utf-8")
    assert list(wiki.to_paragraphs(pages[title].wikitext)) == expected.splitlines()


def test_no_markup_is_left_in_real_pages(pages):
    for page_ in pages.values():
        text = "\n".join(wiki.to_paragraphs(page_.wikitext))
        for debris in ("{{", "}}", "[[", "]]", "<ref", "</", "''", "thumb|", "Category:", "()"):
            assert debris not in text, (page_.title, debris)


def test_a_list_of_names_is_no_prose(pages):
    assert list(wiki.to_paragraphs(pages["List of anthropologists"].wikitext)) == []


@pytest.mark.parametrize(
    ("wikitext", "expected"),
    [
        ("'''Bold''' and ''italic''.", ["Bold and italic."]),
        ("A [[cat|feline]] and a [[dog]]s life.", ["A feline and a dogs life."]),
        ("Text.<ref>A {{cite|x}} note.</ref> More.<ref name=a /> End.", ["Text. More. End."]),
        ("[[File:A.jpg|thumb|A [[cat]] sits.]]After the picture.", ["After the picture."]),
        ("{| class=x\n|-\n| cell || other\n|}\nAfter the table.", ["After the table."]),
        ("{{Infobox|a=1}}The ''x'' (symbol: {{lang|la|X}}) is.", ["The x (symbol: X) is."]),
        ("Born ({{IPA|xyz}}; 1900) here.", ["Born (1900) here."]),
        ("Nothing ({{IPA|xyz}}) left.", ["Nothing left."]),
        ("It is {{convert|5|km|mi}} long.", ["It is 5 km long."]),
        ("From {{convert|5|to|10|km}} away.", ["From 5 to 10 km away."]),
        ("A {{convert|5|-|10|km|mi|abbr=on}} walk.", ["A 5–10 km walk."]),
        ("A {{convert|3|x|4|m}} room.", ["A 3 × 4 m room."]),
        ("Some {{convert|{{val|3}}|km}} away.", ["Some away."]),
        ("Broken &#xD83D;&#xDE00; emoji.", ["Broken emoji."]),
        ("One.\n\n== See also ==\n* [[Two]]\n\n== Next ==\nThree.", ["One.", "Three."]),
        ("One.\n== Notes ==\nx\n=== Sub ===\ny\n== Next ==\nTwo.", ["One.", "Two."]),
        ("* A name\n* This item is a sentence.", ["This item is a sentence."]),
        ("A&nbsp;b &mdash; c &lt;d&gt;.", ["A b — c <d>."]),
        ("See [http://x.org the page] now.<!-- hidden -->", ["See the page now."]),
        ("Half [[fr:Demi]] [[Category:Halves]] done.", ["Half done."]),
        ("First line.<br/>Second line.", ["First line.", "Second line."]),
        ("__NOTOC__Text.", ["Text."]),
        ("Sum: <math>\\sum x</math> is.", ["Sum: is."]),
        ("{{unclosed [[link '''and text", ["{{unclosed [[link and text"]),
    ],
)
def test_markup(wikitext, expected):
    assert list(wiki.to_paragraphs(wikitext)) == expected


def test_other_namespaces_and_redirects_are_skipped():
    content = dump_of(
        page("Talk:A", "Talk.", ns=1, page_id=1),
        page("B", "Text of B.", page_id=2),
        page("C", "#REDIRECT [[B]]", page_id=3),
        page("D", "x", page_id=4, extra='<redirect title="B" />'),
        page("Empty", "", page_id=5),
    )
    assert read(content) == [wiki.Page(id="2", title="B", wikitext="Text of B.")]


def test_a_truncated_dump_is_an_error(golden, tmp_path):
    content = (golden / "wiki.xml.bz2").read_bytes()
    path = tmp_path / "cut.xml.bz2"
    path.write_bytes(content[: len(content) // 2])
    file = InputFile(kind="wiki", path=str(path), name=path.name, num_bytes=1)
    with pytest.raises(UserError, match=r"cut\.xml\.bz2: truncated or damaged"):
        list(wiki.read_documents(file))


def test_a_damaged_gz_is_an_error(tmp_path):
    content = bytearray(gzip.compress(dump_of(page("A", "x" * 5000))))
    content[len(content) // 2] ^= 0xFF
    path = tmp_path / "bad.xml.gz"
    path.write_bytes(content)
    file = InputFile(kind="wiki", path=str(path), name=path.name, num_bytes=1)
    with pytest.raises(UserError, match=r"bad\.xml\.gz: truncated or damaged"):
        list(wiki.read_documents(file))


def test_a_page_that_cannot_be_cleaned_is_rejected(tmp_path, monkeypatch):
    def fail(wikitext):
        raise RecursionError("too deep")

    path = tmp_path / "d.xml"
    path.write_bytes(dump_of(page("A", "x", page_id=7)))
    monkeypatch.setattr(wiki, "to_paragraphs", fail)
    file = InputFile(kind="wiki", path=str(path), name=path.name, num_bytes=1)
    (reject,) = wiki.read_documents(file)
    assert (reject.source, reject.offset) == ("d.xml", "page 7")
    assert reject.reason == "cannot be cleaned: RecursionError: too deep"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html></html>", "not a MediaWiki dump: its first element is <html>"),
        (b"no xml at all", r"not a MediaWiki dump \(.*\); plain text goes to --books"),
        (dump_of(page("A", "x"))[:-20], "truncated or damaged"),
        (
            b'<!DOCTYPE m [<!ENTITY a "aaaa">]><mediawiki></mediawiki>',
            "declares a document type",
        ),
    ],
)
def test_what_is_no_dump_is_an_error(content, message):
    with pytest.raises(UserError, match=f"dump.xml: {message}"):
        read(content)
