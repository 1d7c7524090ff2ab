"""Files with a unit of text a line: JSON Lines, and paragraphs with blank lines between documents.

Large files are read in parts. A part of a file owns what begins in its range of bytes.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator

from data.documents import (
    Document,
    InputFile,
    InputPart,
    Reject,
    Skipped,
    is_compressed,
    normalise,
    open_compressed,
)
from data.errors import UserError

PART_BYTES = 64 * 2**20


def split_file(file: InputFile, *, part_bytes: int = PART_BYTES) -> list[InputPart]:
    """Ranges of a plain file; a compressed one can only be read from its start."""
    step = file.num_bytes if is_compressed(file.path) else part_bytes
    starts = range(0, file.num_bytes, step) if file.num_bytes else [0]
    return [InputPart(file=file, start=a, stop=min(a + step, file.num_bytes)) for a in starts]


def read_jsonl(
    part: InputPart, *, max_document_bytes: int
) -> Iterator[Document | Reject | Skipped]:
    r"""Reads objects like {"text": "First paragraph.\nSecond.", "id": "optional"}, one a line.

    Every line of `text` is a paragraph. Other keys are left alone. Without an "id" the place of the
    line in its file is the id.
    """
    for offset, line in _lines(part, max_document_bytes):
        if offset >= part.stop and not is_compressed(part.file.path):
            return
        if _is_blank(line):
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
        record = json.loads(line.decode("utf-8-sig"))
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
    part: InputPart, *, max_document_bytes: int
) -> Iterator[Document | Reject | Skipped]:
    """Reads documents of one paragraph (or sentence) a line, separated by blank lines.

    This is the input format of BERT's create_pretraining_data. A part owns the documents whose
    separating blank line begins in its range, and the first part the first document.
    """
    owned = part.start == 0
    document = _Paragraphs(part, max_document_bytes)
    for offset, line in _lines(part, max_document_bytes):
        if not _is_blank(line):
            if owned:
                document.add(offset, line)
            continue
        if owned:
            yield from document.finish()
        if offset >= part.stop and not is_compressed(part.file.path):
            return
        owned = True
        yield Skipped(reason="blank lines", num_bytes=len(line))
    if owned:
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


def _is_blank(line: bytes | _TooLong) -> bool:
    return isinstance(line, bytes) and not line.strip()


def _too_large(what: str, limit: int) -> str:
    return f"{what} larger than BuildConfig.max_document_bytes={limit}"


def _lines(part: InputPart, max_bytes: int) -> Iterator[tuple[int, bytes | _TooLong]]:
    """Offset and content of the lines from the first one that begins in the range, to the end."""
    try:
        with open_compressed(part.file.path) as stream:
            offset = part.start
            if offset:
                stream.seek(offset - 1)
                offset += sum(map(len, _pieces(stream, max_bytes))) - 1
            while first := stream.readline(max_bytes + 1):
                line = first
                if len(first) > max_bytes and not first.endswith(b"\n"):
                    line = _TooLong(len(first) + sum(map(len, _pieces(stream, max_bytes))))
                yield offset, line
                offset += len(line)
    except (EOFError, OSError, zlib.error) as error:
        raise UserError(
            f"{part.file.path}: truncated or damaged: {error}; copy or download it again"
        ) from error


def _pieces(stream, max_bytes: int) -> Iterator[bytes]:
    """The rest of a line, never much of it at once."""
    while piece := stream.readline(max_bytes + 1):
        yield piece
        if piece.endswith(b"\n"):
            return
