"""Sphinx settings of `make docs`: the README first, then the pages in the order of its table."""

import re
import shutil
from pathlib import Path

from pygments.lexers import PythonLexer

project = "Lambert"
author = "the Lambert authors"
extensions = ["myst_parser"]
include_patterns = ["README.md", "CONTRIBUTING.md", "docs/*.md"]
root_doc = "README"
myst_heading_anchors = 3  # `page.md#a-heading`, as on GitHub
highlight_language = "none"  # for commands and output; Python blocks name their language

html_theme = "furo"  # system fonts, nothing from other hosts
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_title = "Lambert"
html_copy_source = False
html_use_index = False
html_show_copyright = False
html_show_sphinx = False


def _add_navigation(app, docname, source):
    """Take the list of pages from the table in the README."""
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
