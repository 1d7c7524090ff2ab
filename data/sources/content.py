"""Recognise files that are not text, or text of another tool, by their first bytes."""

from __future__ import annotations

import contextlib
import re

from data.errors import UserError
from data.sources.streams import DamagedError, open_chunks

_UNPACK = "unpack it and give the files in it"
_CONVERT = "convert it to text first"
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


def check_content(kind: str, path: str) -> None:
    """Raise a UserError that names the content of a file if it is not text.

    Args:
      kind: kind of the file, and the name of the flag in messages.
      path: local file, plain, .gz or .bz2; damage is left to its reader.
    """
    head = b""
    with contextlib.suppress(DamagedError), open_chunks(path) as chunks:
        head = next(chunks, b"")[:4096]
    for pattern, content, remedy in _KINDS:
        if re.match(pattern, head, re.S):
            raise UserError(f"--{kind} {path} is {content}, not text; {remedy}")
