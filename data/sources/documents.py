"""What is read, input files and their parts, and what a source yields: documents, or rejects."""

from __future__ import annotations

import dataclasses
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence

from data import files
from data.errors import UserError

# Control and format characters but for those that are white space, and the surrogates that broken
# character references leave behind.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u200b-\u200f\u202a-\u202e\u2060\ufeff\ud800-\udfff]"
)
_MAX_REASON = 200


@dataclasses.dataclass(frozen=True, kw_only=True)
class Document:
    """Clean text of one article or book.

    Attributes:
      id: unique name made of content, not of place: "wiki/enwiki/12", "books/hamlet.txt". What
        precedes the first slash is the kind of its source.
      paragraphs: text without line breaks, in reading order.
      breaks: ascending indices of the paragraphs before which a part (a chapter) begins, 0 left out.
        Packing puts a separator there, as between documents.
      num_bytes: what the document took in its (uncompressed) input, markup included.
      section_bytes: those of them in sections dropped whole ("References").
    """

    id: str
    paragraphs: tuple[str, ...]
    breaks: tuple[int, ...] = ()
    num_bytes: int
    section_bytes: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reject:
    """An input that was refused: where it was (and its bytes there), and why."""

    source: str
    offset: str
    reason: str
    num_bytes: int

    def __post_init__(self):
        # Reasons quote what is wrong, which may be megabytes.
        if len(self.reason) > _MAX_REASON:
            object.__setattr__(self, "reason", self.reason[: _MAX_REASON - 1] + "…")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Skipped:
    """Bytes of an input that are no document by their nature: a redirect, a licence, a header."""

    reason: str
    num_bytes: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class InputFile:
    """One file to read: `name` is its path below the glob's fixed part, `num_bytes` as stored."""

    kind: str
    path: str
    name: str
    num_bytes: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class InputPart:
    """A range [start, stop) of the stored bytes of a file, which one worker reads.

    A reader decides what a range means, so that the parts of a file together yield every document
    of it once: as a rule, the documents that begin in the range.
    """

    file: InputFile
    start: int
    stop: int


def whole_file(file: InputFile) -> list[InputPart]:
    """Return the file as a single part, for formats that are read from their beginning."""
    return [InputPart(file=file, start=0, stop=file.num_bytes)]


def find_inputs(kind: str, pattern: str) -> list[InputFile]:
    """Files that match a glob, sorted by name.

    Raises:
      UserError: nothing matched, the pattern names a directory, or a name is not UTF-8.
    """
    paths, folders = files.find(pattern)
    if paths and "**" not in pattern and folders:
        deep = f"{os.path.dirname(pattern)}/**"
        print(
            f"note: --{kind} {pattern}: {folders} folders matched and are not read; {deep!r} does"
        )
    if not paths:
        hint = "it is a directory: add /*" if os.path.isdir(pattern) else "check the path"
        raise UserError(f"--{kind} {pattern}: no input file matched; {hint}")
    for path in paths:
        _check_name(kind, path)
    root = os.path.dirname(pattern if paths == [pattern] else re.split(r"[*?\[]", pattern)[0])
    return [
        InputFile(
            kind=kind,
            path=path,
            name=os.path.relpath(path, root or ".").replace(os.sep, "/"),
            num_bytes=files.size(path),
        )
        for path in paths
    ]


def _check_name(kind: str, path: str) -> None:
    """Raises a UserError if a path is not UTF-8: neither ids nor Beam's error messages can hold it."""
    readable = os.fsencode(path).decode("utf-8", "backslashreplace")
    if readable != path:
        raise UserError(f"--{kind} {readable}: the name of the file is not UTF-8; rename it")


def is_compressed(path: str) -> bool:
    """Whether the stored bytes are not those of the text; by the suffix alone."""
    return path.endswith((".bz2", ".gz"))


def normalise(text: str) -> str:
    """NFC, no invisible characters, every run of white space one blank."""
    return " ".join(unicodedata.normalize("NFC", _INVISIBLE.sub("", text)).split())


def text_bytes(paragraphs: Sequence[str]) -> list[int]:
    """UTF-8 bytes of each paragraph."""
    return [len(paragraph.encode()) for paragraph in paragraphs]


def join_lines(lines: Sequence[str]) -> Iterator[str]:
    """Rejoins hard-wrapped lines: paragraphs are what blank lines separate."""
    paragraph: list[str] = []
    for line in [*lines, ""]:
        if line.strip():
            paragraph.append(line)
        elif paragraph:
            if text := normalise(" ".join(paragraph)):
                yield text
            paragraph = []
