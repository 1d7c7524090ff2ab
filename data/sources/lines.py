"""Files with a unit of text a line: JSON Lines, and paragraphs with blank lines between documents.

Large files are read in parts. A part owns the bytes from the first line in its range at which a
document may begin to the first such line behind its range.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import BinaryIO

from data.errors import UserError
from data.sources.documents import (
    Document,
    InputFile,
    InputPart,
    Reject,
    Skipped,
    is_compressed,
    normalise,
)
from data.sources.recursion import with_full_stack
from data.sources.streams import ByteCounter, open_compressed

PART_BYTES = 64 * 2**20


def split_file(file: InputFile, *, part_bytes: int = PART_BYTES) -> list[InputPart]:
    """Ranges of a plain file; a compressed one can only be read from its start."""
    step = file.num_bytes if is_compressed(file.path) else part_bytes
    starts = range(0, file.num_bytes, step) if file.num_bytes else [0]
    return [InputPart(file=file, start=a, stop=min(a + step, file.num_bytes)) for a in starts]


def read_jsonl(
    part: InputPart, *, max_document_bytes: int, counter: ByteCounter | None = None
) -> Iterator[Document | Reject | Skipped]:
    r"""Reads objects like {"text": "First paragraph.\nSecond.", "id": "optional"}, one a line.

    Every line of `text` is a paragraph. Other keys are left alone. Without an "id" the place of the
    line in its file is the id.

    Args:
      part: of what `split_file` gave.
      max_document_bytes: a longer line is rejected without being held in memory.
      counter: counts the bytes that were read; those of the items must add up to the same.

    Raises:
      DamagedError: a compressed file is damaged.
    """
    for offset, line in _owned_lines(part, max_document_bytes, counter, begins=lambda _: True):
        if not line:
            yield Reject(source=part.file.name, offset="byte 0", reason="no text", num_bytes=0)
        elif _is_blank(line, max_document_bytes):
            yield Skipped(reason="blank lines", num_bytes=len(line))
        else:
            yield _from_json(part, offset, line, max_document_bytes)


def _from_json(
    part: InputPart, offset: int, line: bytes | _TooLong, max_document_bytes: int
) -> Document | Reject:
    def reject(reason: str) -> Reject:
        source, num_bytes = part.file.name, len(line)
        return Reject(source=source, offset=f"byte {offset}", reason=reason, num_bytes=num_bytes)

    if isinstance(line, _TooLong):
        return reject(_too_large("a line", max_document_bytes))
    try:
        record = with_full_stack(json.loads, line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        return reject(f"not a line of JSON: {error}")
    if not isinstance(record, dict) or not isinstance(record.get("text"), str):
        return reject('not an object with a string "text"')
    name = record.get("id", offset)
    if isinstance(name, bool) or not isinstance(name, str | int):
        return reject(f'"id" is {name!r}: must be a string or an integer')
    paragraphs = tuple(filter(None, map(normalise, record["text"].splitlines())))
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
    """Reads documents of one paragraph (or sentence) a line, separated by blank lines.

    This is the input format of BERT's create_pretraining_data. A part owns the documents whose
    separating blank line begins in its range, and the first part the first document. Arguments and
    errors as for `read_jsonl`.
    """

    def is_blank(line: bytes | _TooLong) -> bool:
        return _is_blank(line, max_document_bytes)

    document = _Paragraphs(part, max_document_bytes)
    for offset, line in _owned_lines(part, max_document_bytes, counter, begins=is_blank):
        if not line:
            yield Reject(source=part.file.name, offset="byte 0", reason="no text", num_bytes=0)
        elif is_blank(line):
            yield from document.finish()
            yield Skipped(reason="blank lines", num_bytes=len(line))
        else:
            document.add(offset, line)
    yield from document.finish()


class _Paragraphs:
    """The document being read; too large a one is counted, not kept."""

    def __init__(self, part: InputPart, max_document_bytes: int):
        self._part, self._limit = part, max_document_bytes
        self._clear()

    def _clear(self):
        self._offset, self._num_bytes, self._lines = 0, 0, []

    def add(self, offset: int, line: bytes | _TooLong) -> None:
        if not self._num_bytes:
            self._offset = offset
        self._num_bytes += len(line)
        if self._num_bytes <= self._limit:
            self._lines.append(line)
        else:
            self._lines = []

    def finish(self) -> Iterator[Document | Reject]:
        if self._num_bytes:
            yield self._document()
        self._clear()

    def _document(self) -> Document | Reject:
        file = self._part.file

        def reject(reason: str) -> Reject:
            return Reject(
                source=file.name,
                offset=f"byte {self._offset}",
                reason=reason,
                num_bytes=self._num_bytes,
            )

        if self._num_bytes > self._limit:
            return reject(_too_large("a text without a blank line", self._limit))
        try:
            # Line by line: a stray carriage return or form feed is white space, not a paragraph.
            decoded = [line.decode("utf-8") for line in self._lines]
        except UnicodeDecodeError as error:
            return reject(f"not UTF-8: {error}")
        if decoded[0].lstrip("\ufeff \t").startswith("<mediawiki"):
            raise UserError(f"{file.path} is a MediaWiki dump; give it to --wiki")
        paragraphs = tuple(filter(None, map(normalise, decoded)))
        if not paragraphs:
            return reject("no text")
        return Document(
            id=f"{file.kind}/{file.name}#{self._offset}",
            paragraphs=paragraphs,
            num_bytes=self._num_bytes,
        )


class _TooLong:
    """Stands for a line that is longer than any document may be."""

    def __init__(self, num_bytes: int):
        self._num_bytes = num_bytes

    def __len__(self) -> int:
        return self._num_bytes


def _is_blank(line: bytes | _TooLong, max_bytes: int) -> bool:
    """Whether a line, or its first piece, is a whole line of white space."""
    if isinstance(line, _TooLong) or line.strip():
        return False
    return len(line) <= max_bytes or line.endswith(b"\n")


def _too_large(what: str, limit: int) -> str:
    return f"{what} larger than BuildConfig.max_document_bytes={limit}"


def _owned_lines(
    part: InputPart,
    max_bytes: int,
    counter: ByteCounter | None,
    *,
    begins: Callable[[bytes], bool],
) -> Iterator[tuple[int, bytes | _TooLong]]:
    """Offset and content of the lines that a part owns; an empty file has one empty line.

    Args:
      part: to read.
      max_bytes: of a line that is held in memory.
      counter: counts the bytes of the lines.
      begins: whether a document may begin at a line, given its first `max_bytes` + 1 bytes.
    """
    path, start, stop = part.file.path, 0, None
    if not is_compressed(path):
        start = _find(path, part.start, part.stop, max_bytes, begins)
        if start is None:
            return
        if part.stop < part.file.num_bytes:
            stop = _find(path, part.stop, math.inf, max_bytes, begins)
    with open_compressed(path, start=start, stop=stop, counter=counter) as stream:
        offset = start
        for line in _lines(stream, max_bytes):
            yield offset, line
            offset += len(line)
        if not offset:
            yield 0, b""


def _find(
    path: str, position: int, before: float, max_bytes: int, begins: Callable[[bytes], bool]
) -> int | None:
    """Offset of the first line in [position, before) at which a document may begin, or None.

    It never reads far beyond `before`, or each part of a file that is one line, or one document,
    would read all of it.
    """
    if not position:
        return 0
    # A line begins at `position` if the byte before it is the end of one.
    offset, at_line = position - 1, False
    with open_compressed(path, start=offset) as stream:
        while offset < before and (piece := stream.readline(max_bytes + 1)):
            if at_line and begins(piece):
                return offset
            offset += len(piece)
            at_line = piece.endswith(b"\n")
    return None


def _lines(stream: BinaryIO, max_bytes: int) -> Iterator[bytes | _TooLong]:
    """Lines, with their ends."""
    while line := stream.readline(max_bytes + 1):
        if len(line) <= max_bytes or line.endswith(b"\n"):
            yield line
            continue
        num_bytes = len(line)
        while not line.endswith(b"\n") and (line := stream.readline(max_bytes + 1)):
            num_bytes += len(line)
        yield _TooLong(num_bytes)
