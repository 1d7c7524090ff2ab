"""Text of the long run: paragraphs of pages and entries of dictionaries."""

import json

import pytest

from bench.long_run import text

PROSE = "The archive holds manuals that people have written for each other."


def test_innermost_blocks_that_are_prose_are_paragraphs():
    page = f"""<html><head><title>Not this one, although it is a long and fine sentence.</title></head>
    <body><div>Navigation <a href="x">next</a><p>{PROSE}</p></div>
    <ul><li>Too short.</li><li>Every list item with enough <b>words</b>\n in it counts as well.</li></ul>
    <pre>for (int i = 0; i &lt; 10; ++i) printf("a line of code is no prose.");</pre>
    <div>A block without blocks inside it is a paragraph, whatever its tag is.</div></body></html>"""
    assert list(text.paragraphs_of_page(page.encode())) == [
        PROSE,
        "Every list item with enough words in it counts as well.",
        "A block without blocks inside it is a paragraph, whatever its tag is.",
    ]


def test_entries_start_in_the_first_column_and_lose_their_apparatus():
    database = (
        'Abditory \\Ab"di*to*ry\\, n. [L. abditorium.]\n'
        "   A place for hiding or preserving articles of {value}.\n   [1913 Webster]\n\n"
        "Abdomen\n   Short.\n"
    )
    assert list(text.entries_of_dictionary(database)) == [
        "Abditory , n. [L. abditorium.] A place for hiding or preserving articles of value ."
    ]


@pytest.mark.parametrize(
    ("candidate", "is_prose"),
    [
        (PROSE, True),
        (PROSE.rstrip("."), False),
        ("a = f(b); c[3] == d->e && g(h, i, j) != k - l * (m / n) % o.", False),
        (f"{PROSE} " * 40, False),
    ],
    ids=["sentence", "no stop", "code", "too long"],
)
def test_prose(candidate, is_prose):
    assert text.is_prose(candidate.strip()) == is_prose


def test_packages_keep_what_no_earlier_one_has(tmp_path):
    for package, body in (("a-doc", PROSE), ("b-doc", f"{PROSE}</p><p>{PROSE[:-1]} in vain.")):
        page = tmp_path / "packages" / package / "usr" / "index.html"
        page.parent.mkdir(parents=True)
        page.write_text(f"<p>{body}</p>")
    for _ in range(2):  # the second time from the finished file of the first package
        files = text.gather(tmp_path, ["a-doc", "b-doc"])
        lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
        assert lines == [
            {"id": "a-doc/usr/index.html", "text": PROSE},
            {"id": "b-doc/usr/index.html", "text": f"{PROSE[:-1]} in vain."},
        ]
        files[1].unlink()
