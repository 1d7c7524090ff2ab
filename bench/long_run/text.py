"""English text from Debian's documentation packages: manuals in HTML, and dictionaries.

Nothing is installed: packages are downloaded with apt-get and unpacked below a directory. Paragraphs that
are no prose, and those that an earlier page or package has had, are left out.
"""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from lxml import html
from tqdm import tqdm

PACKAGES = (
    "apache2-doc",
    "axiom-doc",
    "cppreference-doc-en-html",
    "debian-handbook",
    "debian-policy",
    "debian-reference-en",
    "derby-doc",
    "developers-reference",
    "dict-foldoc",
    "dict-gcide",
    "dict-jargon",
    "dpdk-doc",
    "erlang-doc",
    "fop-doc",
    "ghc-doc",
    "gimp-help-en",
    "git-doc",
    "gnucash-docs",
    "gnuradio-doc",
    "groovy-doc",
    "imagemagick-6-doc",
    "libboost1.81-doc",
    "libreoffice-help-en-us",
    "libstdc++-12-doc",
    "lilypond-doc-html",
    "linux-doc-6.1",
    "llvm-19-doc",
    "maxima-doc",
    "nodejs-doc",
    "octave-doc",
    "openjdk-17-doc",
    "pacemaker-doc",
    "petsc3.18-doc",
    "postgresql-doc-15",
    "python-astropy-doc",
    "python-django-doc",
    "python-pandas-doc",
    "python-scipy-doc",
    "python-sklearn-doc",
    "python-statsmodels-doc",
    "python-sympy-doc",
    "python3.11-doc",
    "qtbase5-doc-html",
    "r-doc-html",
    "racket-doc",
    "rust-doc",
    "sagemath-doc",
    "scala-doc",
    "sqlite3-doc",
    "twisted-doc",
    "wesnoth-1.16-data",
)
_BLOCKS = ("p", "li", "dd", "td", "div")
_NESTED = {*_BLOCKS, "ul", "ol", "dl", "table", "pre"}
_MIN_WORDS, _MAX_WORDS = 8, 400
_MIN_LETTERS = 0.75  # fraction of the characters that are letters or blanks
_MAX_PAGE_BYTES = 8 * 2**20
_ENTRIES_PER_DOCUMENT = 50  # neighbours in a dictionary are one document
_WORD = re.compile(r"[A-Za-z]+")
_SENTENCE_END = re.compile(r"""[.!?]["')\]]*$""")
_PAGE = re.compile(r"\.x?html?(\.gz)?$")
_OTHER_LANGUAGE = re.compile(r"/(?!en\b)[a-z]{2}(-[A-Z]{2})?/|\.(?!en\.)[a-z]{2}\.html")
# Of an entry: pronunciation, source, braces of references.
_APPARATUS = re.compile(r"\\[^\\\n]*\\|\[1913 Webster\]|\[PJC\]|[{}]")


def gather(directory: Path, packages: Iterable[str] = PACKAGES) -> list[Path]:
    """Write the text of each package as JSON lines with "id" and "text", and return the files.

    Args:
      directory: gets `packages/` and `text/`; finished files there are kept.
      packages: names of Debian packages.
    """
    seen: set[int] = set()
    written = []
    for package in tqdm(list(packages), desc="text", unit="package"):
        file = directory / "text" / f"{package}.jsonl"
        if file.exists():
            seen.update(hash(paragraph) for paragraph in _paragraphs(file))
        else:
            root = _unpack(package, directory / "packages")
            _write_lines(file, _documents(root, package, seen))
        written.append(file)
    return written


def paragraphs_of_page(page: bytes) -> Iterator[str]:
    """Yield the innermost blocks of an HTML page that are prose."""
    for block in html.document_fromstring(page).iter(*_BLOCKS):
        if block.tag != "p" and any(child.tag in _NESTED for child in block):
            continue
        text = " ".join(block.text_content().split())
        if is_prose(text):
            yield text


def entries_of_dictionary(text: str) -> Iterator[str]:
    """Yield the entries of a dictd database as one line each: they start in the first column."""
    for entry in re.split(r"\n(?=\S)", text):
        line = " ".join(_APPARATUS.sub(" ", entry).split())
        if is_prose(line):
            yield line


def is_prose(text: str) -> bool:
    """Return whether text is of moderate length, ends as a sentence does, and consists of words."""
    if not _SENTENCE_END.search(text):
        return False
    letters = sum(c.isalpha() or c == " " for c in text)
    return (
        letters >= _MIN_LETTERS * len(text) and _MIN_WORDS <= len(_WORD.findall(text)) <= _MAX_WORDS
    )


def _unpack(package: str, directory: Path) -> Path:
    """Download and unpack a package; return its root."""
    root = directory / package
    if root.exists():
        return root
    directory.mkdir(parents=True, exist_ok=True)
    _run(["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", package], directory)
    (archive,) = directory.glob(f"{package}_*.deb")
    half = directory / f"{package}.part"
    _run(["dpkg-deb", "-x", str(archive.resolve()), str(half.resolve())], directory)
    archive.unlink()
    half.rename(root)
    return root


def _run(command: list[str], directory: Path) -> None:
    try:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True)
    except FileNotFoundError:
        sys.exit(f"bench: {command[0]} is missing: the text comes from packages of Debian 12")
    if done.returncode:
        sys.exit(f"bench: {' '.join(command)} failed (apt-get update?): {done.stderr.strip()}")


def _documents(root: Path, package: str, seen: set[int]) -> Iterator[tuple[str, list[str]]]:
    """Yield the names and the new paragraphs of all documents of a package, in order of names."""
    for file in sorted(root.rglob("*")):
        name = f"{package}/{file.relative_to(root)}"
        if file.is_symlink() or not file.is_file():
            continue
        if file.name.endswith(".dict.dz"):
            entries = list(entries_of_dictionary(_read(file).decode(errors="replace")))
            for start in range(0, len(entries), _ENTRIES_PER_DOCUMENT):
                chunk = entries[start : start + _ENTRIES_PER_DOCUMENT]
                yield f"{name}:{start}", _new(chunk, seen)
        elif _PAGE.search(file.name) and not _OTHER_LANGUAGE.search(name):
            page = _read(file)
            if page.strip() and len(page) <= _MAX_PAGE_BYTES:
                yield name, _new(paragraphs_of_page(page), seen)


def _read(file: Path) -> bytes:
    """Return the content of a file, decompressed if its name says so."""
    content = file.read_bytes()
    return gzip.decompress(content) if file.suffix in (".gz", ".dz") else content


def _new(paragraphs: Iterable[str], seen: set[int]) -> list[str]:
    """Return the paragraphs whose hash was not seen before, and note it."""
    new = []
    for paragraph in paragraphs:
        if hash(paragraph) not in seen:
            seen.add(hash(paragraph))
            new.append(paragraph)
    return new


def _paragraphs(file: Path) -> Iterator[str]:
    """Yield the paragraphs of a finished file."""
    with file.open() as lines:
        for line in lines:
            yield from json.loads(line)["text"].split("\n\n")


def _write_lines(file: Path, documents: Iterable[tuple[str, list[str]]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    half = file.with_suffix(".part")
    with half.open("w") as lines:
        for name, paragraphs in documents:
            if paragraphs:
                lines.write(json.dumps({"id": name, "text": "\n\n".join(paragraphs)}) + "\n")
    half.rename(file)
