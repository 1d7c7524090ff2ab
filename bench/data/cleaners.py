"""Other extractors of Wikipedia text, each used as its documentation shows."""

from __future__ import annotations

import bz2
import json
import subprocess
import sys
from collections.abc import Iterator

from bench.data.measure import Stopwatch
from bench.data.workspace import Workspace, read_articles, write_texts


def gensim(workspace: Workspace, stopwatch: Stopwatch) -> list[dict]:
    """Measure gensim, which applies regular expressions to wikitext."""
    from gensim.corpora import wikicorpus

    def clean() -> Iterator[tuple[str, str]]:
        with bz2.open(workspace.dump) as stream:
            for _, text, page_id in wikicorpus.extract_pages(stream, filter_namespaces=("0",)):
                if text.lstrip()[:9].upper() != "#REDIRECT":
                    yield str(page_id), wikicorpus.filter_wiki(text)

    return _measure("gensim", clean, "extract_pages and filter_wiki", workspace, stopwatch)


def mwparserfromhell(workspace: Workspace, stopwatch: Stopwatch) -> list[dict]:
    """Measure mwparserfromhell, a parser; strip_code keeps the displayed text of its nodes."""
    import mwparserfromhell as parser

    def clean() -> Iterator[tuple[str, str]]:
        for page_id, _, wikitext in read_articles(workspace.dump):
            yield page_id, parser.parse(wikitext).strip_code()

    return _measure("mwparserfromhell", clean, "parse and strip_code", workspace, stopwatch)


def wikiextractor(workspace: Workspace, stopwatch: Stopwatch) -> list[dict]:
    """Measure wikiextractor, a program; without templates, as the sample defines none."""
    command = [sys.executable, "-m", "wikiextractor.WikiExtractor", str(workspace.dump)]
    command += ["--json", "--no-templates", "--processes", "1", "--quiet", "--output", "-"]

    def clean() -> Iterator[tuple[str, str]]:
        done = subprocess.run(command, capture_output=True, check=True)
        for page in map(json.loads, done.stdout.splitlines()):
            yield page["id"], page["text"]

    return _measure("wikiextractor", clean, "--json --no-templates", workspace, stopwatch)


def _measure(name, clean, setting: str, workspace: Workspace, stopwatch: Stopwatch) -> list[dict]:
    write_texts(workspace.cleaned(name), clean())
    timing = stopwatch.time(lambda: sum(1 for _ in clean()))
    rates = timing.rates(megabytes=workspace.dump_bytes / 1e6)
    return [{"what": "dump to text", "setting": setting, **rates}]
