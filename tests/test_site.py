"""The site of `make docs` builds without warnings, loads nothing remote and fits the screen."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.browser import run_script
from tests.support.markdown import DOCUMENTS, ROOT

SPHINX = ROOT / ".venv-docs/bin/sphinx-build"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SPHINX.exists(), reason="needs .venv-docs: make docs"),
]


def build(source: Path, site: Path) -> subprocess.CompletedProcess:
    """Build a site like the Makefile."""
    flags = [
        "--quiet",
        "--fresh-env",
        "--fail-on-warning",
        "--keep-going",
        "--nitpicky",
        "--conf-dir",
    ]
    assert " ".join(flags) in (ROOT / "Makefile").read_text()
    return subprocess.run(
        [SPHINX, *flags, source / "docs", source, site], capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("site")
    done = build(ROOT, path)
    assert done.returncode == 0, done.stderr
    return path


def test_every_page_is_built(site):
    pages = {path.relative_to(ROOT).with_suffix(".html") for path in DOCUMENTS}
    assert pages <= {path.relative_to(site) for path in site.rglob("*.html")}
    assert (site / "index.html").read_bytes() == (site / "README.html").read_bytes()


def test_pages_load_nothing_from_other_hosts(site):
    for page in site.rglob("*.html"):
        loaded = re.findall(
            r'<(?:script|img|link|iframe)\b[^>]*(?:src|href)="([^"]*)"', page.read_text()
        )
        assert loaded
        assert not [address for address in loaded if "//" in address], page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(?:https?:)?//|@import", sheet.read_text()), sheet


@pytest.mark.parametrize("link", ["[gone](gone.md)", "[gone](data.md#gone)", "[gone](../gone.gin)"])
def test_a_broken_link_is_an_error(tmp_path, link):
    for name in ("README.md", "CONTRIBUTING.md"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("docs", "gin"):
        shutil.copytree(ROOT / name, tmp_path / name)
    with (tmp_path / "docs/training.md").open("a") as page:
        page.write(f"\n{link}\n")
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode != 0
    (line,) = [line for line in done.stderr.splitlines() if "WARNING" in line]
    assert "gone" in line


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 820, 1280])
def test_pages_do_not_scroll_sideways(tmp_path, site, width):
    """Wide tables and code blocks scroll inside the page."""
    pages = sorted(page for page in site.rglob("*.html") if page.name != "search.html")
    frames = "".join(f'<iframe src="{page}" style="width:{width}px"></iframe>' for page in pages)
    script = "Array.from(frames, frame => frame.document.documentElement.scrollWidth)"
    widths = [int(text) for text in run_script(tmp_path, frames, script).split(",")]
    assert len(widths) == len(pages)
    border = 4  # two pixels on each side of a frame
    assert {w for w in widths if w > width + border} == set(), dict(zip(pages, widths, strict=True))
