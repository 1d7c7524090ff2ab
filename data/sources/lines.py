"""Read JSON Lines, and paragraphs one per line with blank lines between documents.

Large files are read in parts. A part begins at the first line in its range at which a document may
begin, and ends at the first such line after its range.
"""

from __future__ import annotations

import abc
import json
import math
from collections.abc import Callable, Iterator
from typing import BinaryIO

from data.errors import UserError
from data.sources.compressed.codecs import is_compressed
from data.sources.documents import (
    Document,
    InputFile,
    InputPart,
    Reject,
    Skipped,
    normalise,
    split_lines,
)
from data.sources.recursion import retry_on_empty_stack
from data.sources.streams import ByteCounter, open_stream

PART_BYTES = 64 * 2**20
SENTENCE_PART_BYTES = 16 * 2**20
# Lines of a document of `read_sentences`: about 30 kB of text, a chapter.
SENTENCE_LINES = 500
_MAX_NAMED = 20  # keys, in errors


def split_file(file: InputFile, *, part_bytes: int = PART_BYTES) -> list[InputPart]:
    """Split a plain file into ranges of `part_bytes`; a compressed file is a single part."""
    step = file.num_bytes if is_compressed(file.path) else part_bytes
    starts = range(0, file.num_bytes, step) if file.num_bytes else [0]
    return [InputPart(file=file, start=a, stop=min(a + step, file.num_bytes)) for a in starts]


def split_sentences(file: InputFile) -> list[InputPart]:
    """Split a file for `read_sentences`."""
    return split_file(file, part_bytes=SENTENCE_PART_BYTES)


def read_jsonl(
    part: InputPart, *, max_document_bytes: int, counter: ByteCounter | None = None
) -> Iterator[Document | Reject | Skipped]:
    r"""Read objects like {"text": "First paragraph.\nSecond.", "id": "optional"}, one per line.

    Every line of `text`, or of the value of `InputFile.text_field`, is a paragraph. Other keys are
    ignored. Without an "id", the offset of the
    line in its file identifies the document.

    Args:
      part: part from `split_file`.
      max_document_bytes: size limit; a longer line is rejected without being held in memory.
      counter: counter of the bytes read.

    Raises:
      DamagedError: a compressed file is damaged.
    """
    for offset, line in read_line_part(part, max_document_bytes, counter, may_start=lambda _: True):
        if not line:
            yield Reject(source=part.file.name, offset="byte 0", reason="no text", num_bytes=0)
        elif _is_blank(line, max_document_bytes):
            yield Skipped(reason="blank lines", num_bytes=len(line))
        else:
            yield _parse_json(part, offset, line, max_document_bytes)


def check_json_head(file: InputFile, head: bytes) -> None:
    """Raise a UserError that names the keys if no object at the start of a file has a text.

    Args:
      file: file of `read_jsonl`.
      head: its first uncompressed bytes; an object that they cut says nothing.
    """
    keys: dict[str, None] = {}
    for line in head.split(b"\n"):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            if file.text_field in record:
                return
            keys |= dict.fromkeys(record)
    if keys:
        names = ", ".join(map(repr, list(keys)[:_MAX_NAMED]))
        raise UserError(
            f"--{file.kind} {file.path}: its objects have {names}, but no {file.text_field!r}; name the"
            " key of the text by --text_field"
        )


def _parse_json(
    part: InputPart, offset: int, line: bytes | OversizedLine, max_document_bytes: int
) -> Document | Reject:
    def reject(reason: str) -> Reject:
        source, num_bytes = part.file.name, len(line)
        return Reject(source=source, offset=f"byte {offset}", reason=reason, num_bytes=num_bytes)

    if isinstance(line, OversizedLine):
        return reject(_too_large("a line", max_document_bytes))
    try:
        record = retry_on_empty_stack(json.loads, line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        return reject(f"not a line of JSON: {error}")
    key = part.file.text_field
    if not isinstance(record, dict) or not isinstance(record.get(key), str):
        return reject(f'not an object with a string "{key}"')
    name = record.get("id")
    name = offset if name is None else name  # null counts as none
    if isinstance(name, bool) or not isinstance(name, str | int):
        return reject(f'"id" is {name!r}: must be a string or an integer')
    paragraphs = tuple(filter(None, map(normalise, split_lines(record[key]))))
    if not paragraphs:
        return reject("no text")
    return Document(
        id=f"{part.file.kind}/{part.file.name}#{normalise(str(name))}",
        paragraphs=paragraphs,
        num_bytes=len(line),
    )


def read_lines(
    part: InputPart, *, max_document_bytes: int, counter: ByteCounter | None = None
) -> Iterator[Document | Reject | Skipped]:
    """Read documents with a paragraph or sentence per line, separated by blank lines.

    This is the input format of BERT's create_pretraining_data. A part holds the documents whose
    preceding blank line begins in its range; the first part also holds the first document. Arguments
    and errors as for `read_jsonl`.
    """

    def is_blank(line: bytes | OversizedLine) -> bool:
        return _is_blank(line, max_document_bytes)

    document = DocumentBuilder(part.file, max_document_bytes)
    for offset, line in read_line_part(part, max_document_bytes, counter, may_start=is_blank):
        if not line:
            yield Reject(source=part.file.name, offset="byte 0", reason="no text", num_bytes=0)
        elif is_blank(line):
            yield from document.finish()
            yield Skipped(reason="blank lines", num_bytes=len(line))
        else:
            document.add(offset, line)
    yield from document.finish()


def read_sentences(
    part: InputPart, *, max_document_bytes: int, counter: ByteCounter | None = None
) -> Iterator[Document | Reject | Skipped]:
    """Read a file with a sentence per line as documents of SENTENCE_LINES lines.

    A part holds the lines that begin in its range, so the last document of a part may be shorter.
    Blank lines are skipped. Arguments and errors as for `read_jsonl`.
    """
    document = DocumentBuilder(part.file, max_document_bytes)
    num_lines = 0
    for offset, line in read_line_part(part, max_document_bytes, counter, may_start=lambda _: True):
        if not line:
            yield Reject(source=part.file.name, offset="byte 0", reason="no text", num_bytes=0)
        elif _is_blank(line, max_document_bytes):
            yield Skipped(reason="blank lines", num_bytes=len(line))
        else:
            document.add(offset, line)
            num_lines += 1
        if num_lines == SENTENCE_LINES:
            yield from document.finish()
            num_lines = 0
    yield from document.finish()


class LineCollector(abc.ABC):
    """Collects the lines of one document; counts, but does not hold, one above the size limit."""

    what = "a document"  # name of what is too large, for rejects

    def __init__(self, file: InputFile, max_document_bytes: int, *, unit: str = "byte"):
        """Begin the first document.

        Args:
          file: file of the documents.
          max_document_bytes: size limit.
          unit: what positions in the file are numbers of, for rejects.
        """
        self.file, self._limit, self._unit = file, max_document_bytes, unit
        self._clear()

    def _clear(self) -> None:
        self.offset, self.num_bytes = 0, 0
        self._lines: list[bytes] = []

    def add(self, offset: int, line: bytes | OversizedLine) -> None:
        """Add a line at a position in the file."""
        if not self.num_bytes:
            self.offset = offset
        self.num_bytes += len(line)
        if isinstance(line, bytes) and self.num_bytes <= self._limit:
            self._lines.append(line)
        else:
            self._lines = []

    def finish(self) -> Iterator[Document | Reject | Skipped]:
        """Yield the document of the lines, if there are any, and begin the next one."""
        if self.num_bytes:
            yield self._build()
        self._clear()

    def _build(self) -> Document | Reject | Skipped:
        if self.num_bytes > self._limit:
            return self.reject(_too_large(self.what, self._limit))
        try:
            # One line at a time: str.splitlines would also split at a stray carriage return or form
            # feed, which is white space here.
            decoded = [line.decode("utf-8") for line in self._lines]
        except UnicodeDecodeError as error:
            return self.reject(f"not UTF-8: {error}")
        return self.document_of(decoded)

    def reject(self, reason: str) -> Reject:
        """Return the lines as a reject."""
        return Reject(
            source=self.file.name,
            offset=f"{self._unit} {self.offset}",
            reason=reason,
            num_bytes=self.num_bytes,
        )

    @abc.abstractmethod
    def document_of(self, lines: list[str]) -> Document | Reject | Skipped:
        """Return the document of at least one line."""


class DocumentBuilder(LineCollector):
    """Makes documents of lines that are paragraphs."""

    what = "a text without a blank line"

    def document_of(self, lines: list[str]) -> Document | Reject:
        """Return the document, named by its position in the file."""
        if lines[0].lstrip("\ufeff \t").startswith("<mediawiki"):
            raise UserError(f"{self.file.path} is a MediaWiki dump; give it to --wiki")
        paragraphs = tuple(filter(None, map(normalise, lines)))
        if not paragraphs:
            return self.reject("no text")
        return Document(
            id=f"{self.file.kind}/{self.file.name}#{self.offset}",
            paragraphs=paragraphs,
            num_bytes=self.num_bytes,
        )


class OversizedLine:
    """A line above the size limit, of which only the length is known."""

    def __init__(self, num_bytes: int):
        self._num_bytes = num_bytes

    def __len__(self) -> int:
        return self._num_bytes


def _is_blank(line: bytes | OversizedLine, max_bytes: int) -> bool:
    """Return whether a line is blank.

    `line` may be the first `max_bytes` + 1 bytes of a longer line, which never counts as blank.
    """
    if isinstance(line, OversizedLine) or line.strip():
        return False
    return len(line) <= max_bytes or line.endswith(b"\n")


def _too_large(what: str, limit: int) -> str:
    return f"{what} larger than BuildConfig.max_document_bytes={limit}"


def read_line_part(
    part: InputPart,
    max_bytes: int,
    counter: ByteCounter | None,
    *,
    may_start: Callable[[bytes], bool],
) -> Iterator[tuple[int, bytes | OversizedLine]]:
    """Yield (offset, content) of the lines of a part; an empty file has one empty line.

    Args:
      part: part to read.
      max_bytes: length of the longest line to hold in memory, in bytes.
      counter: counter of the bytes read.
      may_start: predicate on the first `max_bytes` + 1 bytes of a line: whether a document may begin
        there.
    """
    path, start = part.file.path, 0
    stop: int | None = None
    if not is_compressed(path):
        first = _find_start(path, part.start, part.stop, max_bytes, may_start)
        if first is None:
            return
        start = first
        if part.stop < part.file.num_bytes:
            stop = _find_start(path, part.stop, math.inf, max_bytes, may_start)
    with open_stream(path, start=start, stop=stop, counter=counter) as stream:
        offset = start
        for line in _split_lines(stream, max_bytes):
            yield offset, line
            offset += len(line)
        if not offset:
            yield 0, b""


def _find_start(
    path: str, position: int, before: float, max_bytes: int, may_start: Callable[[bytes], bool]
) -> int | None:
    """Return the offset of the first line in [position, before) where a document may begin, or None.

    The search stops soon after `before`: if a file is one line or one document, each of its parts
    would otherwise read all of it.
    """
    if not position:
        return 0
    # A line begins at `position` if the preceding byte ends one.
    offset, at_line_start = position - 1, False
    with open_stream(path, start=offset) as stream:
        while offset < before and (piece := stream.readline(max_bytes + 1)):
            if at_line_start and may_start(piece):
                return offset
            offset += len(piece)
            at_line_start = piece.endswith(b"\n")
    return None


def _split_lines(stream: BinaryIO, max_bytes: int) -> Iterator[bytes | OversizedLine]:
    """Yield the lines of a stream, line ends included."""
    while line := stream.readline(max_bytes + 1):
        if len(line) <= max_bytes or line.endswith(b"\n"):
            yield line
            continue
        num_bytes = len(line)
        while not line.endswith(b"\n") and (line := stream.readline(max_bytes + 1)):
            num_bytes += len(line)
        yield OversizedLine(num_bytes)
