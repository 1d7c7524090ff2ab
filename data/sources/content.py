"""Recognise files that are not text, or text of another tool, by their first bytes."""

from __future__ import annotations

import contextlib
import re

from data.errors import UserError
from data.sources.streams import DamagedError, open_chunks

_UNPACK = "unpack it and give the files in it"
_CONVERT = "convert it to text first"
# Kinds whose readers join lines into paragraphs.
_JOINED = ("books", "text")
_TEXT = (*_JOINED, "lines", "sentences")
_JSON_OBJECT = re.compile(rb'\s*\{\s*"[^"\\\n]*"\s*:')
# Pattern at the start of the (uncompressed) content, what it is, and the way out.
_KINDS = (
    (rb".{257}ustar", "a tar archive", _UNPACK),
    (rb"PK\x03\x04", "a zip archive, or a document like .docx or .epub", _UNPACK),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (rb"\x28\xb5\x2f\xfd", "compressed by zstd", "decompress it with `zstd -d`"),
    (rb"\xfd7zXZ\x00", "compressed by xz", "decompress it with `xz -d`"),
    (rb"\x1f\x8b", "compressed by gzip", "give it a name that ends with .gz"),
    (rb"BZh[1-9]1AY&SY", "compressed by bzip2", "give it a name that ends with .bz2"),
    (rb"PAR1", "a Parquet table", _CONVERT),
    (rb"%PDF-", "a PDF document", _CONVERT),
    (rb"\x7fELF", "a program", "remove it from the inputs"),
    (
        rb"\s*<doc id=\"[^\"]*\"[^>]*>",
        "output of WikiExtractor",
        "give the dump itself to --wiki, or remove the lines <doc ...> and </doc>",
    ),
)


# Fewer lines than this say little about a file.
_MIN_LINES = 50
_MOST = 0.8  # of the lines
_SENTENCE_END = re.compile(rb"[.!?\xe2\x80\xa6][\s\"'\xe2\x80\x99\x9d)\]]*$")


def check_content(kind: str, path: str) -> None:
    """Raise a UserError that names the content of a file if it is not text; print doubts.

    Args:
      kind: kind of the file, and the name of the flag in messages.
      path: local or remote file, plain or compressed; damage is left to its reader.
    """
    head = b""
    with contextlib.suppress(DamagedError), open_chunks(path) as chunks:
        head = next(chunks, b"")
    for pattern, content, remedy in _KINDS:
        if re.match(pattern, head[:4096], re.S):
            raise UserError(f"--{kind} {path} is {content}, not text; {remedy}")
    if kind in _TEXT and _JSON_OBJECT.match(head):
        raise UserError(f"--{kind} {path} has JSON objects, not text; give them to --jsonl")
    if kind in _JOINED and has_sentence_lines(head):
        print(
            f"warning: --{kind} {path} seems to have one sentence per line and no blank lines; its"
            f" lines will be joined into one paragraph and divided anew, by the language's rules: if"
            f" they are sentences, give it to --sentences, or to --lines with a blank line between"
            " documents"
        )


def has_sentence_lines(head: bytes) -> bool:
    """Return whether most lines at the start of a text end a sentence, without a blank line."""
    lines = head.split(b"\n")[:-1]
    if len(lines) < _MIN_LINES or any(not line.strip() for line in lines):
        return False
    return sum(1 for line in lines if _SENTENCE_END.search(line)) >= _MOST * len(lines)
