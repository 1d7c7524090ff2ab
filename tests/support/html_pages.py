"""Checks of HTML pages: well-formed and self-contained, and their visible text."""

import html.parser
import re


def visible_text(page: str) -> str:
    """Return the text of a page as one line, without style sheet and title."""
    page = re.sub(r"<style>.*?</style>|<title>.*?</title>", "", page, flags=re.DOTALL)
    page = page.replace("<wbr>", "")
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))


def check_page(page: str) -> None:
    """Assert that tags are closed in order, nothing is fetched, and no value is NaN."""
    checker = _TagChecker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    assert "url(" not in page
    assert "://" not in page
    assert not re.search(
        r"nan(?![a-z])", page.lower()
    )  # numbers, also in paths of SVG: "Mnan 400.0"


class _TagChecker(html.parser.HTMLParser):
    VOID = ("meta", "path", "wbr")

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            assert name not in ("src", "href"), f"{tag} {name}={value}"
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
