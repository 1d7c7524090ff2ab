"""Input files and their parts, and the items that readers yield: documents, rejects, skipped bytes."""

from __future__ import annotations

import dataclasses
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from absl import logging

from data import files
from data.errors import UserError
from data.sources.content import check_content, companion, read_head

# Control and format characters other than white space, and the surrogates that broken character
# references leave behind.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u200b-\u200f\u202a-\u202e\u2060\ufeff\ud800-\udfff]"
)
_LINE_END = re.compile("\r\n|\r|\n")
# A word that is divided between lines, where the typesetter marked it as whole.
_SOFT_HYPHEN_AT_LINE_END = re.compile("\u00ad[ \t\f]*\n[ \t\f]*")
_MAX_REASON = 200  # characters
_MAX_NAMED = 5  # files, in notes
TEXT_FIELD = "text"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Document:
    """Clean text of one article or book.

    Attributes:
      id: unique name, independent of where the corpus is stored: "wiki/enwiki/12",
        "books/hamlet.txt". The first component is the kind of its file.
      paragraphs: text without line breaks, in reading order.
      breaks: ascending indices of the paragraphs that begin a chapter, without 0. Packing puts a
        separator before them, as between documents.
      num_bytes: uncompressed bytes of the document in its file, markup included.
      section_bytes: bytes of sections dropped as a whole ("References"), included in num_bytes.
      other_bytes: bytes of paragraphs that were dropped because they do not read like prose.
    """

    id: str
    paragraphs: tuple[str, ...]
    breaks: tuple[int, ...] = ()
    num_bytes: int
    section_bytes: int = 0
    other_bytes: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reject:
    """Input that cannot be used.

    Attributes:
      source: name of the file.
      offset: readable position in the file: "byte 12".
      reason: error, cut to 200 characters.
      num_bytes: uncompressed bytes that are lost.
    """

    source: str
    offset: str
    reason: str
    num_bytes: int

    def __post_init__(self) -> None:
        # Reasons quote the input, which may be megabytes long.
        if len(self.reason) > _MAX_REASON:
            object.__setattr__(self, "reason", self.reason[: _MAX_REASON - 1] + "…")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Skipped:
    """Bytes that are valid but not text of a document: a redirect, a licence, a header.

    Attributes:
      reason: what they are.
      num_bytes: uncompressed bytes in the file.
      other_bytes: bytes of paragraphs that do not read like prose, as in `Document`.
    """

    reason: str
    num_bytes: int
    other_bytes: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class InputFile:
    """One file to read.

    Attributes:
      kind: key of its format in `data.sources.formats.FORMATS`.
      path: local path or address of the file.
      name: path relative to the fixed part of the glob that matched it.
      num_bytes: size as stored, that is, compressed.
      text_field: name of the column or key with the text, in formats that have one.
    """

    kind: str
    path: str
    name: str
    num_bytes: int
    # Not in `repr`, which identifies the division of unfinished builds.
    text_field: str = dataclasses.field(default=TEXT_FIELD, repr=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class InputPart:
    """A range [start, stop) of the stored bytes of a file, read by one worker.

    The reader of a format defines which documents belong to a range, usually those that begin in it.
    Together the parts of a file yield each of its documents once.
    """

    file: InputFile
    start: int
    stop: int


def whole_file(file: InputFile) -> list[InputPart]:
    """Return the file as a single part, for formats that are read from their beginning."""
    return [InputPart(file=file, start=0, stop=file.num_bytes)]


def accept_any_head(file: InputFile, head: bytes) -> None:
    """Accept any file: a format whose files say nothing at their start."""


def find_inputs(
    kind: str,
    pattern: str,
    *,
    kind_of: Callable[[str], str] | None = None,
    text_field: str = TEXT_FIELD,
    check_head: Callable[[InputFile, bytes], None] = accept_any_head,
) -> list[InputFile]:
    """Return the files that match a glob, sorted by name, after a look at the head of each.

    Prints notes about folders and about companions of the corpus, such as checksums, that match too;
    they are not read.

    Args:
      kind: kind of the files, and the name of the flag in messages.
      pattern: local or remote glob; "**" descends into folders.
      kind_of: function from the path of a file to its kind, instead of `kind`.
      text_field: name of the column or key with the text, in formats that have one.
      check_head: function that raises a UserError for a file, and its first uncompressed bytes, that
        cannot have the format.

    Raises:
      UserError: nothing matched, the pattern names a directory, a name is not UTF-8, or a file is
        not text.
    """
    paths, num_folders = files.find(pattern)
    if paths and "**" not in pattern and num_folders:
        recursive = f"{os.path.dirname(pattern)}/**"
        logging.info(
            f"--{kind} {pattern}: {num_folders} folders matched and are not read;"
            f" {recursive!r} does"
        )
    if not paths:
        hint = "it is a directory: add /*" if os.path.isdir(pattern) else "check the path"
        raise UserError(f"--{kind} {pattern}: no input file matched; {hint}")
    root = os.path.dirname(pattern if paths == [pattern] else re.split(r"[*?\[]", pattern)[0])
    names = {path: os.path.relpath(path, root or ".").replace(os.sep, "/") for path in paths}
    if paths != [pattern]:
        names = _without_companions(kind, pattern, names)

    def look_at(path: str) -> InputFile:
        _check_name(kind, path)
        file = InputFile(
            kind=kind_of(path) if kind_of else kind,
            path=path,
            name=names[path],
            num_bytes=files.size_of(path),
            text_field=text_field,
        )
        if (head := read_head(path)) is not None:  # damage is left to the reader
            check_content(file.kind, path, head)
            check_head(file, head)
        return file

    if not files.is_remote(pattern):
        return list(map(look_at, names))
    with ThreadPoolExecutor(files.REMOTE_REQUESTS) as executor:
        return list(executor.map(look_at, names))


def _without_companions(kind: str, pattern: str, names: dict[str, str]) -> dict[str, str]:
    """Return the names by path, without files that only accompany the corpus; print these."""
    companions = {
        path: description
        for path, name in names.items()
        if (description := companion(kind, name)) is not None
    }
    if not companions:
        return names
    listed = [f"{names[path]} ({text})" for path, text in list(companions.items())[:_MAX_NAMED]]
    if len(companions) > len(listed):
        listed.append(f"and {len(companions) - len(listed):,} more")
    skipped = f"--{kind} {pattern}: {', '.join(listed)}"
    if len(companions) == len(names):
        raise UserError(f"{skipped}: no text; check the pattern, or give a file by its own name")
    logging.info(f"{skipped} not read")
    return {path: name for path, name in names.items() if path not in companions}


def check_distinct(inputs: Iterable[InputFile]) -> None:
    """Raise a UserError for two inputs of one kind that are the same file, through links or two globs."""
    seen: dict[tuple[str, str], str] = {}
    for file in inputs:
        path = file.path if files.is_remote(file.path) else os.path.realpath(file.path)
        if (first := seen.get((file.kind, path))) is not None:
            links = [folder for folder in _folders(file.path) if os.path.islink(folder)]
            remedy = f"remove or exclude the link {links[0]}" if links else "give it once"
            raise UserError(f"{first} and {file.path} are the same file; {remedy}")
        seen[file.kind, path] = file.path


def _folders(path: str) -> list[str]:
    """Return the folders of a local path, outermost first; none of a remote one."""
    parts = [] if files.is_remote(path) else path.split(os.sep)[:-1]
    return [os.sep.join(parts[: i + 1]) for i in range(len(parts))]


def _check_name(kind: str, path: str) -> None:
    """Raise a UserError if a path is not UTF-8: document ids and Beam's messages are."""
    readable = os.fsencode(path).decode("utf-8", "backslashreplace")
    if readable != path:
        raise UserError(f"--{kind} {readable}: the name of the file is not UTF-8; rename it")


def normalise(text: str) -> str:
    """Return the text in NFC, without invisible characters, with single spaces as white space."""
    return " ".join(unicodedata.normalize("NFC", _INVISIBLE.sub("", text)).split())


def split_lines(text: str) -> list[str]:
    """Split a text at its line ends alone.

    `str.splitlines` also splits at form feeds and at U+2028, which are white space inside sentences.
    """
    return _LINE_END.split(text)


def text_bytes(paragraphs: Sequence[str]) -> list[int]:
    """Return the number of UTF-8 bytes of each paragraph."""
    return [len(paragraph.encode()) for paragraph in paragraphs]


def join_lines(lines: Sequence[str]) -> Iterator[str]:
    """Join hard-wrapped lines into paragraphs, which blank lines separate; yield normalised text."""
    paragraph: list[str] = []
    for line in [*lines, ""]:
        if line.strip():
            paragraph.append(line)
        elif paragraph:
            if text := normalise(_SOFT_HYPHEN_AT_LINE_END.sub("", "\n".join(paragraph))):
                yield text
            paragraph = []
