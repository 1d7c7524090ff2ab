"""Parts of MediaWiki dumps: how a file is split, and the bytes of a part from mark to mark."""

from __future__ import annotations

import bz2
import contextlib
import math
import re
from collections.abc import Iterator

from data import files
from data.sources.bzip2 import StreamReader, find_stream
from data.sources.documents import InputFile, InputPart, is_compressed
from data.sources.streams import ByteCounter, guarded, open_chunks

PLAIN_PART_BYTES = 64 << 20
BZ2_PART_BYTES = 16 << 20  # as stored; the text is about four times as long
_MAX_FIRST_STREAM_BYTES = 16 << 20
PAGE_START = re.compile(rb"<page>")
PAGE_EDGE = re.compile(rb"</?page>")
_LONGEST_EDGE = len(b"</page>")
_DATABASE_NAME = re.compile(rb"<dbname>\s*([A-Za-z0-9_-]+)\s*</dbname>")


def split_file(file: InputFile, *, part_bytes: int | None = None) -> list[InputPart]:
    """Divides a dump among workers; what it gives depends on the file alone.

    A plain file is cut into ranges of its bytes, of which a part yields the pages that begin there.
    So is a multistream .bz2, of which a part yields the pages of the streams that begin there. What
    can only be read from its beginning (.gz, single-stream .bz2, streams that end in the middle of
    a page, as pbzip2 writes them) is one part.

    Args:
      file: the dump.
      part_bytes: stored bytes of a part, instead of 64 MiB (plain) or 16 MiB (.bz2).
    """
    size = file.num_bytes
    if file.path.endswith(".bz2"):
        step = part_bytes or BZ2_PART_BYTES
        if size > step and not _is_multistream(file.path):
            step = size
    else:
        step = size if file.path.endswith(".gz") else part_bytes or PLAIN_PART_BYTES
    return [
        InputPart(file=file, start=start, stop=min(start + step, size))
        for start in range(0, size, max(step, 1))
    ] or [InputPart(file=file, start=0, stop=0)]  # an empty file is an error of the reader


class PartText:
    """The uncompressed bytes of a part from its first byte on, consumed from mark to mark.

    Attributes:
      position: offset of what comes next.
      streams: reader of the bzip2 streams, None for other files.
    """

    def __init__(
        self,
        chunks: Iterator[bytes],
        *,
        position: int = 0,
        is_last: bool = False,
        streams: StreamReader | None = None,
        must_be_whole: bool = False,
    ):
        """Takes the bytes.

        Args:
          chunks: the bytes of the part, no more.
          position: offset of the first.
          is_last: whether the file ends with them; if not, a page follows. Streams know themselves.
          streams: reader of the bzip2 streams that the bytes are from.
          must_be_whole: whether each stream has to hold whole pages, as parts of a file do.
        """
        self.position = position
        self.streams = streams
        self._is_last = is_last
        self._must_be_whole = must_be_whole
        self._chunks = chunks
        self._buffer = b""
        self._next = 0  # index in the buffer

    def until(self, mark: re.Pattern[bytes]) -> Iterator[bytes]:
        """Consumes what precedes the next mark, piece by piece; everything if there is none."""
        while not (match := mark.search(self._buffer, self._next)):
            # The last bytes may be the beginning of a mark.
            yield self._take(max(len(self._buffer) - _LONGEST_EDGE + 1, self._next))
            chunk = next(self._chunks, None)
            if chunk is None:
                yield self._take(len(self._buffer))
                return
            self._buffer, self._next = self._buffer[self._next :] + chunk, 0
        yield self._take(match.start())

    def starts_with(self, expected: bytes) -> bool:
        """Whether this comes next (known only where `until` has stopped)."""
        return self._buffer.startswith(expected, self._next)

    def take(self, expected: bytes) -> bytes:
        """Consumes these bytes if they come next, else b""."""
        return self._take(self._next + len(expected)) if self.starts_with(expected) else b""

    def precedes_page(self) -> bool:
        """Whether a page comes next, be it the next part's."""
        is_behind = self.streams is None and not self._is_last and self._is_used_up()
        return is_behind or self.starts_with(b"<page>")

    def ends_the_file(self) -> bool:
        """Whether nothing comes next, neither in this part nor in another."""
        is_last = self._is_last if self.streams is None else self.streams.at_end
        return is_last and self._is_used_up()

    def place(self, position: int) -> str:
        """Says where a position is, in the same words however the file was split."""
        if self.streams is not None:
            begun, stored = max(s for s in self.streams.streams if s[0] <= position)
            if stored:
                return f"byte {position - begun} of the bzip2 stream at {stored}"
        return f"byte {position}"

    def is_cut(self, start: int) -> bool:
        """Whether a stream that must hold whole pages begins between `start` and the position."""
        for begun, _ in reversed(self.streams.streams if self._must_be_whole else ()):
            if begun <= start:
                return False
            if begun < self.position:
                return True
        return False

    def _is_used_up(self) -> bool:
        return self._next == len(self._buffer)

    def _take(self, stop: int) -> bytes:
        taken = self._buffer[self._next : stop]
        self._next = stop
        self.position += len(taken)
        return taken


@contextlib.contextmanager
def open_part(part: InputPart, counter: ByteCounter | None = None) -> Iterator[PartText]:
    """Opens the bytes that belong to a part; the counter counts them as they are read.

    Raises:
      DamagedError: when the text is read, if the compressed content is damaged.
    """
    path = part.file.path
    if path.endswith(".bz2"):
        opened = _open_streams(part, counter)
    elif is_compressed(path):
        opened = _open_bytes(path, 0, None, counter)
    else:
        opened = _open_bytes(path, *_find_pages(part), counter)
    with opened as text:
        yield text


@contextlib.contextmanager
def _open_bytes(
    path: str, start: int | None, stop: int | None, counter: ByteCounter | None
) -> Iterator[PartText]:
    if start is None:
        yield PartText(iter(()))
        return
    with open_chunks(path, start=start, stop=stop, counter=counter) as chunks:
        yield PartText(chunks, position=start, is_last=stop is None)


@contextlib.contextmanager
def _open_streams(part: InputPart, counter: ByteCounter | None) -> Iterator[PartText]:
    with files.open_read(part.file.path) as file:
        start = find_stream(file, part.start, part.stop) if part.start else 0
        if start is None:
            yield PartText(iter(()))
            return
        streams = StreamReader(file, start=start, stop=part.stop)
        chunks = guarded(streams, path=part.file.path, counter=counter)
        is_range = part.start > 0 or part.stop < part.file.num_bytes
        yield PartText(chunks, streams=streams, must_be_whole=is_range)


def _find_pages(part: InputPart) -> tuple[int | None, int | None]:
    """Where the pages of a part of a plain file begin, None without any; and those of the next."""

    def find(start: int, stop: float) -> int | None:
        return files.search(file, PAGE_START, width=len(b"<page>"), start=start, stop=stop)

    with files.open_read(part.file.path) as file:
        start = find(part.start, part.stop) if part.start else 0
        is_last = start is None or part.stop >= part.file.num_bytes
        return start, None if is_last else find(part.stop, math.inf)


def database_name(file: InputFile) -> str:
    """What the header of a dump calls its wiki, as "enwiki"; empty if it does not."""
    header = b""
    with open_chunks(file.path) as chunks:
        for chunk in chunks:
            header += chunk
            if len(header) >= files.CHUNK_BYTES or PAGE_START.search(header):
                break
    match = _DATABASE_NAME.search(PAGE_START.split(header)[0])
    return match[1].decode() if match else ""


def _is_multistream(path: str) -> bool:
    """Whether a .bz2 file has a second stream, and it begins with a page as in a multistream dump."""
    with files.open_read(path) as file:
        # The first stream of a dump is its header. A longer search would read single streams twice.
        second = find_stream(file, 1, _MAX_FIRST_STREAM_BYTES)
        if second is None:
            return False
        file.seek(second)
        head = file.read(16 * files.CHUNK_BYTES)
    try:
        return bz2.BZ2Decompressor().decompress(head, max_length=100).lstrip().startswith(b"<page>")
    except OSError:  # damaged; the reader says so
        return False
