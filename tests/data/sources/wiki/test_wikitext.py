import bz2
import contextlib
import html
import re
import time
from types import SimpleNamespace

import mwparserfromhell
import pytest

from data.sources.wiki import wikitext
from data.sources.wiki.wikitext import Article, to_article


def prose(wikitext: str) -> list[str]:
    return to_article(wikitext).paragraphs


@pytest.fixture(scope="module")
def articles(golden) -> dict[str, str]:
    xml = bz2.decompress((golden / "wiki.xml.bz2").read_bytes()).decode()
    found = re.findall(r"<title>(.*?)</title>.*?<text[^>]*>(.*?)</text>", xml, re.DOTALL)
    return {title: html.unescape(text) for title, text in found}


@pytest.mark.parametrize("title", ["Astronomer", "Affirming the consequent", "Ampere"])
def test_prose_of_real_articles(articles, golden, title):
    expected = (golden / f"{title.lower().replace(' ', '_')}.txt").read_text(encoding="utf-8")
    assert prose(articles[title]) == expected.splitlines()


@pytest.mark.parametrize(
    "name",
    [
        *("a_english", "aardvark_head", "afghanistan_etymology", "aikido_attacks"),
        *("albania_highways", "algeria", "algorithm_example", "alkali_metals_group_14", "alkane"),
        *("allah_etymology", "apollo_11_splashdown", "apollo_8_parameters"),
        "arithmetic_mean",
    ],
)
def test_prose_of_real_sections(golden, name):
    folder = golden / "wikitext"
    expected = (folder / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    assert prose((folder / f"{name}.wiki").read_text(encoding="utf-8")) == expected


def test_no_markup_is_left_in_real_articles(articles):
    for title, article in articles.items():
        text = "\n".join(prose(article))
        for debris in ("{{", "}}", "[[", "]]", "<ref", "</", "''", "thumb|", "Category:", "()"):
            assert debris not in text, (title, debris)


def test_a_list_of_names_has_no_prose(articles):
    assert prose(articles["List of anthropologists"]) == []


@pytest.mark.parametrize(
    ("wikitext", "expected"),
    [
        ("'''Bold''' and ''italic''.", ["Bold and italic."]),
        ("A [[cat|feline]] and a [[dog]]s life.", ["A feline and a dogs life."]),
        ("See [[Cats#Food|food]], [[Cats#Kinds]] and [[#Names]].", ["See food, Cats and Names."]),
        (
            "[[:Category:Cats|All cats]], [[wikt:cat]] and [[2001: A Film]].",
            ["All cats, cat and 2001: A Film."],
        ),
        ("Half [[fr:Demi]] [[Category:Halves]] done.", ["Half done."]),
        ("[[File:A.jpg|thumb|A [[cat]] sits.]]After the picture.", ["After the picture."]),
        ("[[Image: A.jpg|thumb|Blank in front.]]\nText.", ["Text."]),
        ("See [http://x.org the page] and [http://y.org] now.", ["See the page and now."]),
        ("Bare http://x.org address.", ["Bare address."]),
        ("Text.<ref>A {{cite|x}} note.</ref> More.<ref name=a /> End.", ["Text. More. End."]),
        ("Text.<REF>{{cite}}</REF >\n<references/>", ["Text."]),
        ("A <ref>never closed. It stays.", ["A never closed. It stays."]),
        ("A<!-- hidden <ref> --> cat<!-- open.", ["A cat open."]),
        ("A <nowiki><ref></nowiki> mark.<ref>Note.</ref>", ["A <ref> mark."]),
        ("{| class=x\n|-\n| cell || other\n|}\nAfter the table.", ["After the table."]),
        ("Text.\n{|\n|a\n:{|\n|b\n|}\n|c\n|}\nText too.", ["Text.", "Text too."]),
        ("Text.\n{|\n| Never closed.\n== Next ==\nText too.", ["Text.", "Text too."]),
        ("{{Infobox|a=1\n|b={{lang|la|x}}\n}}The ''x'' is.", ["The x is."]),
        ("One line\ngoes on.\n\nNext.", ["One line goes on.", "Next."]),
        ("First line.<br/>Second line.", ["First line.", "Second line."]),
        ("* A name\n* This item is a sentence.", ["This item is a sentence."]),
        (
            "It has:\n* parts that go on to the next item;\n* ends.",
            ["It has:", "parts that go on to the next item;", "ends."],
        ),
        ("; A heading\n: A sentence below it.\nText.", ["A sentence below it.", "Text."]),
        ("Text.\n  code = 1\n  a sentence in a box.", ["Text.", "a sentence in a box."]),
        ("'''Births'''\n\nText.", ["Text."]),
        ("One.\n\n== See also ==\n* [[Two]]\n\n== Next ==\nThree.", ["One.", "Three."]),
        ("One.\n== Notes ==\nx.\n=== Sub ===\ny.\n== Next ==\nTwo.", ["One.", "Two."]),
        ("One.\n=== Notes ===\nx.\n== Next ==\nTwo.", ["One.", "Two."]),
        ("One.\n== ''References'' == <!-- x -->\nx.", ["One."]),
        ("One.\n<!--\n== Notes ==\n-->Two.", ["One. Two."]),
        ("=1 <!-- == --> is no heading, nor =2= this.", ["=1 is no heading, nor =2= this."]),
        ("A&nbsp;b &mdash; c &lt;d&gt;.", ["A b — c <d>."]),
        ("Broken &#xD83D;&#xDE00; emoji.", ["Broken emoji."]),
        ("__NOTOC__Text.", ["Text."]),
        ("''Eagle''{{'s}} l'''eau''' ''''quoted''''.", ["Eagle's leau 'quoted'."]),
        (
            "H<sub>2</sub>O, 10<sup>6</sup>, 4<sup>th</sup>, x<sup>T</sup>.",
            ["H2O, 10⁶, 4th, x^T."],
        ),
        (
            "Nothing ({{IPAc-en|x}}) left ({{IPAc-en|x}}; 1900), ( , a; ).",
            ["Nothing left (1900), (a)."],
        ),
        ("It cost ${{inflation|US|5|1929}} then.", ["It cost then."]),
        ("{{unclosed [[link '''and text.", ["unclosed link and text."]),
        ("==One=\nA.\n===\nB.\n= [[Notes]] = \nC.", ["A. === B."]),
        ("US$&nbsp;5 million and € 50 million.", ["US$ 5 million and € 50 million."]),
        ("The euro (€) is. It costs $ 5.", ["The euro (€) is. It costs $ 5."]),
        ("It cost US$ {{inflation|US|5|1929}} then.", ["It cost then."]),
        ("[[Re:Zero − Starting|Re:Zero]] and [[CSI:NY]].", ["Re:Zero and CSI:NY."]),
        (
            "'''!!!''' is a band.\n\n'''!Kung''' is a language.",
            ["!!! is a band.", "!Kung is a language."],
        ),
        (
            "Lead.\n{|\n|a\n{{end}}\nOne.\n\n{|\n|b\n|}\nTwo.\n== Next ==\nThree.",
            ["Lead.", "One.", "Two.", "Three."],
        ),
        ("A.\n{|\n|a.\n!b.\nOne.\n{|\n|b.\n|}\nTwo.", ["A.", "One.", "Two."]),
        ("One.\n\n<math>\n{|x|} \\over 2\n</math>\nTwo.", ["One.", "Two."]),
        ("One.\n<nowiki>{|</nowiki>\nTwo.", ["One. {| Two."]),
        ("A.<ref name=a>Open. One.\n\nTwo.<ref>n</ref> End.", ["A.Open. One.", "Two. End."]),
        ("A.<gallery>One.\n\nTwo.<gallery>\nx.jpg\n</gallery>End.", ["A.One.", "Two.End."]),
        ("A.<!-- one <!-- two --> End.", ["A. End."]),
        (
            "Type <nowiki>[[Foo|bar]]</nowiki> and <nowiki>''x''</nowiki>.",
            ["Type [[Foo|bar]] and ''x''."],
        ),
        ("{{nowrap|<nowiki>a|b={{c}}</nowiki>}} &#91;[.", ["a|b={{c}} [[."]),
        ("The variable __FILE__.__NOINDEX__", ["The variable __FILE__."]),
        (
            "&apos;Tis a &check; test &amp;check; &nonsense; too.",
            ["'Tis a ✓ test &check; &nonsense; too."],
        ),
        ("A ratio of 4 : 3 and words : more.", ["A ratio of 4 : 3 and words: more."]),
        ("<chem>SO4^2-</chem> and <ce>2H2 + O2 -> 2H2O</ce>.", ["SO4²⁻ and 2H2 + O2 → 2H2O."]),
        ("A <ruby>漢<rp>(</rp><rt>kan</rt><rp>)</rp></ruby> is.", ["A 漢 (kan) is."]),
        ("About 10<sup>–6</sup>.", ["About 10⁻⁶."]),
        ("Where\n:<math>E=mc^2,</math>\nis the energy.", ["Where E=mc², is the energy."]),
        ("Here\n: <math>a</math> is the mass.\nEnd.", ["a is the mass.", "End."]),
    ],
)
def test_markup_becomes_prose(wikitext, expected):
    assert prose(wikitext) == expected


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{convert|1300|mi|km}}", "1,300 miles"),
        ("{{convert|1|mi|km}}", "1 mile"),
        ("{{convert|5|km|mi|abbr=on}}", "5 km"),
        ("{{cvt|2|sqft}}", "2 sq ft"),
        ("{{convert|5|to|10|km}}", "5 to 10 kilometres"),
        ("{{convert|5|-|10|km|mi|sp=us}}", "5–10 kilometers"),
        ("{{convert|3|x|4|m}}", "3 × 4 metres"),
        ("{{convert|25|by|36|cm|0|abbr=on}}", "25 by 36 cm"),
        ("{{convert|6|ft|4|in|cm|0}}", "6 feet 4 inches"),
        ("{{convert|5|mi|km|0|adj=on}}", "5-mile"),
        ("{{convert|-27|C|F}}", "−27 °C"),
        ("{{convert|25567|ft/s|m/s}}", "25,567 feet per second"),
        ("{{convert|35505|ft/s|m/s|abbr=on}}", "35,505 ft/s"),
        ("{{convert|2|e6acre|km2}}", "2 million acres"),
        ("{{convert|1+1/2|in|mm}}", "1 1/2 inches"),
        ("{{convert|{{val|3}}|flurbs}}", "3 flurbs"),
        ("{{val|1.5|0.2|e=6|u=kg}}", "1.5 ± 0.2 × 10⁶ kg"),
        ("{{val|1.00794|(7)}}", "1.00794(7)"),
        ("5.98{{e|24}}", "5.98 × 10²⁴"),
        ("{{gaps|1|234|567}}", "1234567"),
        ("{{frac|1|3|2}} {{frac|3|2}} {{sfrac|3}}", "1 3/2 3/2 1/3"),
        ("{{sfrac|3''n'' + 1|2}}", "(3n + 1)/2"),
        ("{{formatnum:3003}} {{nts|1000}}", "3,003 1,000"),
        ("{{chem|S|O|4|2-}} {{chem2|H2O}}", "SO4²⁻ H2O"),
        ("{{su|p=1|b=2}} {{sup|2}} {{sub|2}}", "2¹ ² 2"),
        ("{{US$|2 billion}} {{INR|50000}} {{currency|5|EUR}}", "US$2 billion ₹50,000 €5"),
        ("{{pop density|500|200|km2|sqmi|prec=1}}", "2.5 inhabitants per square kilometre"),
        ("{{pop density|500|0|km2}}x", "x"),
        ("{{as of|2010|5|1}} {{as of|2014|lc=y}}", "As of 1 May 2010 as of 2014"),
        ("{{start date|1969|07|16}}", "July 16, 1969"),
        ("{{OldStyleDate|February 2|1905|January 20}}", "February 2 [O.S. January 20] 1905"),
        ("{{circa|1800}} {{c.|1800|1850}} {{circa}} 5", "c. 1800 c. 1800 – c. 1850 c. 5"),
        ("{{coord|13|19|N|169|9|W|name=x}}", "13°19′N 169°9′W"),
        ("x{{coord|13|19|N|169|9|W|display=title}}", "x"),
        ("{{HMS|Ajax|22|6}} {{USS|Hornet|CV-12}}", "HMS Ajax USS Hornet (CV-12)"),
        ("{{ship|MV|Aurora}} {{HMS|Ajax|22|2}}", "MV Aurora Ajax"),
        ("{{lang|la|X}} {{lang-sq|Y}} {{langx|fr|Z}}", "X Y Z"),
        ("{{transl|ar|al}} {{transl|ar|ALA|''ilāh''}}", "al ilāh"),
        ("{{nihongo|'''Aikido'''|合気道|Aikidō|lead=yes}}", "Aikido (合気道, Aikidō)"),
        ("{{zh|c=中|p=zhōng}}", "中, zhōng"),
        ("{{ill|Max|de|Max (Maler)}} {{ill|de|Titel|Title}}", "Max Title"),
        ("{{nowrap|a {{small|b}}}} {{abbr|USA|America}}", "a b USA"),
        ("{{math|''x''}} {{mvar|y}}", "x y"),
        ("{{IPA|/a/}} {{angbr|a}}", "/a/ ⟨a⟩"),
        ("x{{IPA|fr|a}}{{IPA-fr|a}}{{respell|A}}", "x"),
        ("''A''{{'}}s a{{snd}}b 1{{ndash}}2", "A's a – b 1–2"),
        ("{{not a typo|a|b}} {{linktext|c|d}}", "ab cd"),
        ("was{{sic}} teh {{sic|recieved}}", "was teh recieved"),
        ("x{{citation needed|date=May}}{{age|1969|7|1}}", "x"),
        ("{{quote|Said.|author=me}}", "Said."),
        ("A{{music|flat}} {{bibleref|Mark|3:25|9}}", "A♭ Mark 3:25"),
        ("{{harvtxt|Smith|Jones|2008}}", "Smith & Jones (2008)"),
        ("5{{frac|1|2}} and 5{{½}} inches{{frac|1|2}}", "5 1/2 and 5 1/2 inches1/2"),
        ("{{val|1.5|0.2|0.3|u=kg}}", "1.5 +0.2 −0.3 kg"),
        ("{{val|500|-|600|u=km}} {{val|5|x|6|x|7}}", "500–600 km 5 × 6 × 7"),
        (
            "{{sclass|Nimitz|aircraft carrier}} {{sclass-|Ford}}",
            "Nimitz-class aircraft carrier Ford class",
        ),
        ("{{sclass2|Nimitz|aircraft carrier}}", "Nimitz-class aircraft carrier"),
        ("B{{music|b}} B{{flat}} C{{music|#}} C{{sharp}} D{{natural}}", "B♭ B♭ C♯ C♯ D♮"),
        ("B{{music|doubleflat}} {{music|time|4|4}}", "B𝄫 4/4"),
        ("{{convert|9.8|m/s2}}", "9.8 metres per second squared"),
        ("{{convert|9.8|m/s2|abbr=on}}", "9.8 m/s²"),
        ("{{convert|5|,|6|and|7|km}}", "5, 6 and 7 kilometres"),
        ("x{{convert|5|to|many|km}}{{convert|5}}", "x"),
        ("{{convert|5|km|mi|adj=mid|-long}}", "5-kilometre-long"),
        ("{{convert|5|km|adj=pre|narrow}}", "5 narrow kilometres"),
        ("{{convert|5|lb.ft}} {{convert|30|mpgus}}", "5 pound-feet 30 miles per US gallon"),
        ("{{cvt|2|km}}", "2 km"),
        ("{{as of|2010|5|1|df=US}}", "As of May 1, 2010"),
        ("{{start date|1969|7|16|df=y}} {{start date|1969|7}}", "16 July 1969 July 1969"),
        ("{{birth date and age|1950|7|4}} {{death date|1999|1|1}}", "July 4, 1950 January 1, 1999"),
        ("{{date|16 July 1969|mdy}}", "16 July 1969"),
        ("{{code|a}} {{samp|b}} {{tt|c}} {{char|d}} {{u|e}} {{underline|f}}", "a b c d e f"),
        ("{{keypress|Ctrl|C}} {{key press|A}}", "Ctrl+C A"),
        ("{{IAST|ā}} {{native name|ca|Andorra}} {{translit|ar|al}}", "ā Andorra al"),
        ("{{bq|One.}}", "One."),
        ("{{poem quote|One.}}{{pull quote|Two.}}{{block indent|Three.}}", "One. Two. Three."),
        ("{{verse translation|Arma.|Arms.}}", "Arma. Arms."),
        ("{{IPA link|a}} {{IPAlink|b}} {{IPAblink|c}} {{IPAslink|d}}", "a b [c] /d/"),
        ("{{tmath|x^2}}", "x²"),
        ("{{mlby|1901}} {{baseball year|1902}} {{by|1903}} {{nfly|1904}}", "1901 1902 1903 1904"),
        ("{{stnlnk|Ely}} {{rws|Ely}} {{station link|Tube|Bank}}", "Ely Ely Bank"),
        ("{{bibleverse|1|Corinthians|13:4|KJV}}", "1 Corinthians 13:4"),
        ("{{bibleverse||John|3:16}} {{bibleverse|John|3:16|KJV}}", "John 3:16 John 3:16"),
        ("{{harvs|txt|last=Smith|last2=Jones|year=2008}}", "Smith & Jones (2008)"),
        (
            "{{harvs|last=Smith|year=2008}} {{harvs|nb|last=Smith|year=2008}}",
            "(Smith 2008) Smith 2008",
        ),
        ("{{harvnb|Smith|Jones|2008|p=5}}", "Smith & Jones 2008, p. 5"),
        ("{{nihongo foot|Go|碁|igo}} {{nihongo krt|Go|碁|igo}}", "Go 碁 (igo, Go)"),
        ("{{nihongo3|Go|碁|igo}} {{ruby|漢|kan}}", "igo (碁, Go) 漢 (kan)"),
        ("{{SMS|Emden}} {{ORP|Orzeł}} {{HNLMS|Tromp}}", "SMS Emden ORP Orzeł HNLMS Tromp"),
        ("{{jct|state=CA|I|5|CA|99}} {{ushr|NY|1}}", "I-5 / CA 99 NY-1"),
        ("Hawai{{okina}}i {{nuclide|U|235}} {{abs|x}}", "Hawaiʻi U-235 |x|"),
        ("{{height|ft=5|in=11}} {{ordinal|3}} {{ordinal|112}}", "5 ft 11 in 3rd 112th"),
        ("{{CHF|5000}} {{SEK|50}} {{INRConvert|50|c}}", "CHF 5,000 SEK 50 ₹50 crore"),
        ("{{lit|dog}} {{gloss|dog}} a{{nbhyph}}b {{1/2}}", "lit. 'dog' 'dog' a-b 1/2"),
        ("{{lc:NATO}} {{uc:nato}}", "nato NATO"),
        ("One.{{pb}}Two.{{paragraph break}}Three.", "One. Two. Three."),
        ("{{nowrap|[[A{{!}}B]]}} {{chem2|SO4(2-)}} {{chem2|Na+}}", "B SO4²⁻ Na⁺"),
    ],
)
def test_templates_are_expanded(template, text):
    assert " ".join(prose(f"{template} is.")) == f"{text} is."


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        ("x_1^2", "x1²"),
        (r"\frac{1}{2}", "1/2"),
        (r"(x_i-\bar{x})^2", "(xi-x̄)²"),
        (r"\alpha \leq 10^{-6}", "α ≤ 10⁻⁶"),
        (r"\text{Area} = \pi r^2", "Area = π r²"),
        (r"\sum_{i=1}^n x_i", ""),
        (r"\frac{\sqrt{a}}{2}", ""),
        ("2^{mn} a^{bc} a^e", "2^(mn) a^(bc) a^e"),
        (r"\frac{1}{2}mv^2 + \frac{a}{bc} + x\frac{1}{2}", "(1/2)mv² + a/(bc) + x(1/2)"),
        (r"2\frac{1}{2}", "2 1/2"),
        ("x_{n-1} a_{i,j} 10_2", "x_(n-1) a_(i,j) 10_(2)"),
        (r"k^{th} 90^\circ f\circ g", "kth 90° f∘ g"),
        ("x" * 100, ""),
    ],
)
def test_short_formulas_become_text(latex, text):
    expected = f"Here {text} is." if text else "Here is."
    assert prose(f"Here <math>{latex}</math> is.") == [expected]


def test_bytes_of_dropped_sections_are_counted():
    dropped = "== Notes ==\nä <ref>x</ref>\n=== More ===\n{{x}}\n"
    assert to_article(f"One.\n{dropped}== Next ==\nTwo.") == Article(
        ["One.", "Two."], section_bytes=len(dropped.encode())
    )
    assert to_article(f"One.\n{dropped}") == Article(["One."], len(dropped.encode()))


def test_bytes_of_paragraphs_that_are_no_prose_are_counted():
    """As a reader sees them; lists of names, tables and templates are not expected to be prose."""
    text = "One sentence.\n\nEin '''Größen'''-Begriff\n\n* Item\n{|\n| cell\n|}\n{{x|y}}\n"
    assert to_article(text) == Article(
        ["One sentence."], other_bytes=len("Ein Größen-Begriff".encode())
    )


UNCLOSED = [
    *("{{a|", "[[a|", "<b>", "[http://a ", "<ref name=a", "<b><br/>", "<p>", "<i></b>"),
    *("<b><i></b></i>", "[[a|{{b ]] }}"),
]


@pytest.mark.parametrize("token", UNCLOSED)
def test_markup_that_would_take_minutes_to_parse_is_an_error(token):
    with pytest.raises(ValueError, match="too much markup in one section is not closed"):
        to_article(token * 20_000)


def test_a_closing_tag_closes_tags_of_its_own_name_only():
    with pytest.raises(ValueError, match=r"is not closed: 20000 '<b'$"):
        to_article("<b>" * 20_000 + "</i>" * 20_000)


@pytest.mark.parametrize("block", [1, 100, 5000])
def test_blocks_of_a_section_give_the_text_of_the_whole(articles, monkeypatch, block):
    whole = [to_article(text) for text in articles.values()]
    monkeypatch.setattr(wikitext, "_BLOCK", block)
    assert [to_article(text) for text in articles.values()] == whole


def test_deep_indentation_is_read():
    assert to_article(f"One.\n{':' * 100_000}Two.\nThree.").paragraphs == ["One.", "Two.", "Three."]


@pytest.mark.parametrize(
    "text",
    [*"#*:;&<>[]{}|=-_~'", ":\n", ";a:b\n", "[[a]]", "{{a|b=c}}", "<b>a</b>", "''a''", "{|\n"],
)
def test_a_megabyte_of_markup_reaches_the_parser_in_small_blocks(text, monkeypatch):
    """The parser takes about a kilobyte for each object, and about 60 microseconds."""
    blocks = []

    def parse(block, **options):
        blocks.append(block)
        return mwparserfromhell.parse("")

    monkeypatch.setattr(wikitext, "mwparserfromhell", SimpleNamespace(parse=parse))
    times = 1_000_000 // len(text)
    with contextlib.suppress(ValueError):
        to_article(text * times)
    largest = max(blocks, key=len, default="")
    if len(largest) > 2**16 + len(text) + 1:  # a single line without objects
        largest = largest[: 2**16]
    assert len(mwparserfromhell.parse(largest, skip_style_tags=True).nodes) <= 100_000


def measure_seconds(text: str) -> float:
    """Return the process time of the fastest of three runs."""
    times = []
    for _ in range(3):
        began = time.process_time()
        with contextlib.suppress(ValueError):
            to_article(text)
        times.append(time.process_time() - began)
    return min(times)


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        *("<ref>", "<ref>a</ref>", "<ref/>", "<pre>", "<!--", "<nowiki>", "<math>x</math>"),
        *("{|\n", "{|\n|}\n", "== x ==\n", "=" * 900 + "x\n", "== a <!--", ", ", "(;", "'"),
        *("}}", "{{a}}", "${{a}}", "$ ", "[[a]]", "\n* a", "&a", "4 : 3 ", *UNCLOSED),
        "<b>a</b>",
    ],
)
def test_repeated_markup_takes_linear_time(text):
    # Unclosed markup may take quadratic time in a short section.
    times = 20_000 if text in UNCLOSED else 1
    while (once := measure_seconds(text * times)) < 0.02:
        times *= 2
    assert measure_seconds(text * times * 2) < 3 * once
