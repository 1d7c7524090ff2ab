"""Recognise files that are not text, or text of another tool, by their names and first bytes."""

from __future__ import annotations

import contextlib
import os
import re
import shlex

from absl import logging

from data.errors import UserError
from data.sources.compressed.codecs import CODECS, plain_name
from data.sources.streams import DamagedError, open_chunks

_REMOVE = "remove it from the inputs"
# Kinds whose readers join lines into paragraphs, and take archives of files.
_JOINED = ("books", "text")
_TEXT = (*_JOINED, "lines", "sentences")
_JSON_OBJECT = re.compile(rb'\s*\{\s*"[^"\\\n]*"\s*:')
_HEAD_BYTES = 4096
# Pattern at the start of the (uncompressed) content, what it is, and the way out. {path} and {folder}
# are quoted for the shell.
_KINDS = (
    (
        rb"PK\x03\x04.{26}(?:mimetypeapplication/epub|\[Content_Types\]\.xml)",
        "a document like .docx or .epub",
        "convert it to text (pandoc -t plain {path} > {folder}.txt)",
    ),
    (rb"PK\x03\x04", "a zip archive", "unpack it (unzip {path} -d {folder}) and give the files"),
    (
        rb"7z\xbc\xaf\x27\x1c",
        "a 7z archive",
        "unpack it (7z x {path} -o{folder}) and give the files, or, if it holds a single file, compress"
        " that anew (7z x -so {path} | zstd > {folder}.zst)",
    ),
    (rb"Rar!\x1a\x07", "a rar archive", "unpack it (unar -o {folder} {path}) and give the files"),
    (
        rb"\x04\x22\x4d\x18|\x1f\x9d",
        "compressed by lz4 or compress",
        "compress it by zstd (lz4 -dc {path}, or gzip -dc < {path}, | zstd > {folder}.zst)",
    ),
    (rb"%PDF-", "a PDF document", "convert it to text (pdftotext {path} {folder}.txt)"),
    (rb"\x7fELF", "a program", _REMOVE),
    (rb"(?:\d+:\d+:[^\n]+\n){2}", "the index of a multistream dump", _REMOVE),
    (rb"(?:[0-9a-f]{32,128} [ *][^\n]+\n)+\Z", "a list of checksums", _REMOVE),
    *(
        (
            codec.magic.pattern,
            f"compressed by {codec.name}",
            f"give it a name that ends with {suffix}",
        )
        for codec in CODECS
        if (suffix := codec.suffix)
    ),
)
_ANY_KIND = re.compile(b"|".join(pattern for pattern, _, _ in _KINDS), re.S)
_TAR = re.compile(rb".{257}ustar", re.S)
_PARQUET = re.compile(rb"PAR1")
_WIKI_EXTRACTOR = re.compile(rb"\s*<doc id=\"[^\"]*\"[^>]*>")
_TABLES = ("parquet", "sentences", "decontaminate")  # kinds that may be Parquet
# Files that are stored next to a corpus: pattern of the name, and what they are.
_COMPANIONS = (
    (r".*multistream-index.*\.txt(\.\w+)?", "the index of a multistream dump"),
    (r"(.*[-_.])?(md5|sha1|sha224|sha256|sha384|sha512)(sums?)?(\.(txt|json))?", "checksums"),
    (r"_SUCCESS|_(common_)?metadata|_(committed|started)_.*|.*\.crc", "a file of Spark"),
    (r"\.DS_Store|\._.*|Thumbs\.db|desktop\.ini", "a file of a file manager"),
    (r"\.gitattributes|\.gitignore|dataset_infos?\.json|dumpstatus\.json|.*-rss\.xml", "metadata"),
)
_ANY_COMPANION = re.compile("|".join(pattern for pattern, _ in _COMPANIONS), re.IGNORECASE)
_DESCRIPTION = r"(README|LICEN[CS]E|COPYING|CHANGELOG|CITATION)(\.\w+)?"

# Fewer lines than this say little about a file.
_MIN_LINES = 50
_MOST = 0.8  # of the lines
_SENTENCE_END = re.compile(rb"[.!?\xe2\x80\xa6][\s\"'\xe2\x80\x99\x9d)\]]*$")


def companion(kind: str, name: str) -> str | None:
    """Return what a file that a glob matched is, if it only accompanies a corpus; else None.

    Args:
      kind: kind of the file.
      name: path relative to the fixed part of the glob. In its subfolders, descriptions such as
        README.md count as text where every file is a document.
    """
    base = os.path.basename(name)
    for pattern, description in _COMPANIONS if _ANY_COMPANION.fullmatch(base) else ():
        if re.fullmatch(pattern, base, re.IGNORECASE):
            return description
    is_description = re.fullmatch(_DESCRIPTION, base, re.IGNORECASE) is not None
    if is_description and (kind not in _JOINED or base == name):
        return "a description"
    return None


def read_head(path: str) -> bytes | None:
    """Return the first uncompressed bytes of a file, at most a chunk; None if they are damaged."""
    with contextlib.suppress(DamagedError), open_chunks(path) as chunks:
        return next(chunks, b"")
    return None


def check_content(kind: str, path: str, head: bytes) -> None:
    """Raise a UserError that names the content of a file if it is not text; print doubts.

    Args:
      kind: kind of the file, and the name of the flag in messages.
      path: local or remote file, plain or compressed.
      head: its first uncompressed bytes.
    """
    for pattern, content, remedy in _KINDS if _ANY_KIND.match(head[:_HEAD_BYTES]) else ():
        if re.match(pattern, head[:_HEAD_BYTES], re.S):
            quoted, folder = shlex.quote(path), shlex.quote(os.path.splitext(path)[0])
            way_out = remedy.format(path=quoted, folder=folder)
            raise UserError(f"--{kind} {path} is {content}, not text; {way_out}")
    _check_archive(kind, path, head)
    if _PARQUET.match(head) and kind not in _TABLES:
        raise UserError(
            f"--{kind} {path} is a Parquet table, not text; give it to --parquet, or to --sentences if"
            " each row is a sentence"
        )
    if _WIKI_EXTRACTOR.match(head) and kind != "wikiextractor":
        raise UserError(
            f"--{kind} {path} is output of WikiExtractor; give it to --wikiextractor, or better the"
            " dump itself to --wiki"
        )
    if kind in _TEXT and _JSON_OBJECT.match(head):
        raise UserError(f"--{kind} {path} has JSON objects, not text; give them to --jsonl")
    if kind in _JOINED and has_sentence_lines(head):
        logging.warning(
            f"--{kind} {path} seems to have one sentence per line and no blank lines; its"
            f" lines will be joined into one paragraph and divided anew, by the language's rules: if"
            f" they are sentences, give it to --sentences, or to --lines with a blank line between"
            " documents"
        )


def _check_archive(kind: str, path: str, head: bytes) -> None:
    if not _TAR.match(head):
        return
    if kind not in _JOINED:
        folder = shlex.quote(plain_name(path).removesuffix(".tar"))
        raise UserError(
            f"--{kind} {path} is a tar archive, which only --text and --books read; unpack it (mkdir"
            f" {folder} && tar -xf {shlex.quote(path)} -C {folder}) and give the files"
        )
    if not plain_name(path).endswith(".tar"):
        raise UserError(
            f"--{kind} {path} is a tar archive; give it a name that ends with .tar, or .tar.gz and so on"
            " if it is compressed"
        )


def has_sentence_lines(head: bytes) -> bool:
    """Return whether most lines at the start of a text end a sentence, without a blank line."""
    lines = head.split(b"\n")[:-1]
    if len(lines) < _MIN_LINES or any(not line.strip() for line in lines):
        return False
    return sum(1 for line in lines if _SENTENCE_END.search(line)) >= _MOST * len(lines)
