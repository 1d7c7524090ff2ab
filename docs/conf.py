"""The site of `make docs`: the README as its first page, then the pages that it lists, in that order."""

import re
import shutil
from pathlib import Path

from pygments.lexers import PythonLexer

project = "Lambert"
author = "the Lambert authors"
extensions = ["myst_parser"]
include_patterns = ["README.md", "CONTRIBUTING.md", "docs/*.md"]
root_doc = "README"
myst_heading_anchors = 3  # `page.md#a-heading`, as on a repository's own page
highlight_language = "none"  # commands and what programs print; Python blocks say that they are

html_theme = "furo"  # system fonts, nothing from other machines
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_title = "Lambert"
html_copy_source = False
html_use_index = False
html_show_copyright = False
html_show_sphinx = False


def _add_navigation(app, docname, source):
    """One list of pages is enough: the table in the README, which says what each is for."""
    if docname == root_doc:
        pages = re.findall(r"^\| \[.+?\]\((.+?)\.md\)", source[0], re.MULTILINE)
        source[0] += "\n".join(["\n```{toctree}", ":hidden:", *pages, "```\n"])


def _write_index(app, exception):
    if exception is None:
        shutil.copy(Path(app.outdir, f"{root_doc}.html"), Path(app.outdir, "index.html"))


def setup(app):
    app.add_lexer("gin", PythonLexer)
    app.connect("source-read", _add_navigation)
    app.connect("build-finished", _write_index)
