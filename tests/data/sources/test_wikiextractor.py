"""Output of WikiExtractor 3.0."""

import json

import pytest

from data.errors import UserError
from data.sources import lines
from data.sources.documents import Document, Reject, Skipped, find_inputs
from data.sources.formats import FORMATS, read_part, split_file
from data.sources.streams import ByteCounter

ELEMENTS = """\
<doc id="12" url="https://en.wikipedia.org/wiki?curid=12" title="Anarchism">
Anarchism

Anarchism is a "political" philosophy; 1 &lt; 2 &amp; 3 &gt; 2.
It is old.

</doc>
<doc id="13" url="https://en.wikipedia.org/wiki?curid=13" title="A "quoted" &amp; title">
A "quoted" & title

</doc>

<doc id="39" url="https://en.wikipedia.org/wiki?curid=39" title="Albedo">
Albedo

{| Albedo is a fraction.

</doc>
"""


def read(path, limit=10**6):
    (file,) = find_inputs(
        "wikiextractor", str(path), check_head=FORMATS["wikiextractor"].check_head
    )
    items = []
    for part in split_file(file):
        counter = ByteCounter()
        found = list(read_part(part, max_document_bytes=limit, counter=counter))
        assert sum(item.num_bytes for item in found) == counter.num_bytes
        items += found
    return items


@pytest.mark.parametrize("part_bytes", [50, 10**6])
def test_elements_are_documents_without_titles_and_entities(tmp_path, monkeypatch, part_bytes):
    monkeypatch.setattr(lines.split_file, "__kwdefaults__", {"part_bytes": part_bytes})
    path = tmp_path / "wiki_00"
    path.write_text(ELEMENTS)
    first, empty, blank, last = read(path)
    assert first == Document(
        id="wikiextractor/wiki_00#12",
        paragraphs=('Anarchism is a "political" philosophy; 1 < 2 & 3 > 2.', "It is old."),
        num_bytes=171,
    )
    assert (empty.reason, blank) == ("no prose", Skipped(reason="blank lines", num_bytes=1))
    assert (last.id, last.paragraphs) == (
        "wikiextractor/wiki_00#39",
        ("{| Albedo is a fraction.",),
    )


def test_json_lines_are_the_same_documents(tmp_path):
    rows = [
        {"id": "12", "revid": "1", "url": "u", "title": "A", "text": "1 &lt; 2.\nIt is old."},
        {"id": "13", "revid": "1", "url": "u", "title": "B", "text": ""},
    ]
    path = tmp_path / "wiki_00"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    document, empty = read(path)
    assert (document.id, document.paragraphs) == (
        "wikiextractor/wiki_00#12",
        ("1 < 2.", "It is old."),
    )
    assert (type(empty), empty.reason) == (Skipped, "no prose")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('<doc id="1" url="u" title="T">\nT\n\nText.\n', "has no </doc>"),
        ('<doc id="1">\nText.\n</doc>\n', """not a <doc> with id and title: '<doc id="1">'"""),
        (f'<doc id="1" url="u" title="T">\n{"x" * 99}\n</doc>\n', "an article larger than"),
        ('<doc id="1" url="u" title="T">\n</doc>\nText.\n', "outside of any <doc>"),
        ("", "no text"),
    ],
)
def test_a_damaged_element_is_rejected(tmp_path, content, reason):
    path = tmp_path / "wiki_00"
    path.write_text(content)
    item = read(path, limit=90)[-1]
    assert isinstance(item, Reject)
    assert item.reason.startswith(reason)


def test_text_that_is_not_utf8_is_rejected(tmp_path):
    path = tmp_path / "wiki_00"
    path.write_bytes(b'<doc id="1" url="u" title="T">\ncaf\xe9\n</doc>\n')
    (item,) = read(path)
    assert item.reason.startswith("not UTF-8: ")


def test_another_file_is_an_error_before_it_is_read(tmp_path):
    path = tmp_path / "wiki_00"
    path.write_text("Text.\n")
    with pytest.raises(UserError, match=r"wiki_00 is not output of WikiExtractor.*--wiki"):
        read(path)
