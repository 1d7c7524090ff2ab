"""Split MediaWiki dumps into parts, and read the bytes of a part up to the next page tag."""

from __future__ import annotations

import bz2
import contextlib
import math
import re
from collections.abc import Iterator

from data import files
from data.sources.compressed.bzip2 import StreamReader, find_stream
from data.sources.compressed.codecs import is_compressed
from data.sources.documents import InputFile, InputPart
from data.sources.search import search
from data.sources.streams import ByteCounter, check_chunks, open_chunks
from data.sources.wiki.site import Site

PLAIN_PART_BYTES = 64 << 20
BZ2_PART_BYTES = 16 << 20  # compressed; the text is about four times as long
_MAX_FIRST_STREAM_BYTES = 16 << 20
PAGE_START = re.compile(rb"<page>")
PAGE_TAG = re.compile(rb"</?page>")
_LONGEST_TAG = len(b"</page>")


def split_file(file: InputFile, *, part_bytes: int | None = None) -> list[InputPart]:
    """Split a dump into parts; the result depends on the file only.

    A plain file is split into byte ranges; a part yields the pages that begin in its range. A
    multistream .bz2 is split likewise; a part yields the pages of the streams that begin in its
    range. Files that can only be read from the start are a single part: .gz, .xz, .zst, single-stream
    .bz2, and .bz2 whose streams end in the middle of a page, as pbzip2 writes them.

    Args:
      file: dump to split.
      part_bytes: stored bytes per part, instead of 64 MiB (plain) or 16 MiB (.bz2).
    """
    size = file.num_bytes
    if file.path.endswith(".bz2"):
        step = part_bytes or BZ2_PART_BYTES
        if size > step and not _is_multistream(file.path):
            step = size
    else:
        step = size if is_compressed(file.path) else part_bytes or PLAIN_PART_BYTES
    return [
        InputPart(file=file, start=start, stop=min(start + step, size))
        for start in range(0, size, max(step, 1))
    ] or [InputPart(file=file, start=0, stop=0)]  # the reader reports an empty file as an error


class PartReader:
    """Cursor over the uncompressed bytes of a part.

    Attributes:
      position: offset of the next byte, in a plain file or in the decompressed bytes of the part.
      streams: reader of the bzip2 streams, None for other files.
    """

    def __init__(
        self,
        chunks: Iterator[bytes],
        *,
        position: int = 0,
        is_last: bool = False,
        streams: StreamReader | None = None,
        needs_whole_pages: bool = False,
    ):
        """Start at the first byte of the part.

        Args:
          chunks: bytes of the part.
          position: offset of the first byte.
          is_last: whether the file ends with the part; otherwise a page follows. Ignored for bzip2
            streams, whose reader knows.
          streams: reader of the bzip2 streams that the chunks come from.
          needs_whole_pages: whether each stream must hold whole pages, because the file is split
            between streams.
        """
        self.position = position
        self.streams = streams
        self._is_last = is_last
        self._needs_whole_pages = needs_whole_pages
        self._chunks = chunks
        self._buffer = b""
        self._next = 0  # index in the buffer

    def read_until(self, tag: re.Pattern[bytes]) -> Iterator[bytes]:
        """Consume and yield the bytes before the next tag, in chunks; all bytes if there is none."""
        while not (match := tag.search(self._buffer, self._next)):
            # The last bytes of the buffer may be the beginning of a tag.
            yield self._take(max(len(self._buffer) - _LONGEST_TAG + 1, self._next))
            chunk = next(self._chunks, None)
            if chunk is None:
                yield self._take(len(self._buffer))
                return
            self._buffer, self._next = self._buffer[self._next :] + chunk, 0
        yield self._take(match.start())

    def starts_with(self, expected: bytes) -> bool:
        """Return whether these bytes come next; reliable only where `read_until` has stopped."""
        return self._buffer.startswith(expected, self._next)

    def take(self, expected: bytes) -> bytes:
        """Consume and return these bytes if they come next, else return b""."""
        return self._take(self._next + len(expected)) if self.starts_with(expected) else b""

    def is_before_page(self) -> bool:
        """Return whether a page comes next, in this part or the following one."""
        is_before_next_part = self.streams is None and not self._is_last and self._is_exhausted()
        return is_before_next_part or self.starts_with(b"<page>")

    def is_at_end_of_file(self) -> bool:
        """Return whether nothing comes next, neither in this part nor in another."""
        is_last = self._is_last if self.streams is None else self.streams.at_end
        return is_last and self._is_exhausted()

    def describe(self, position: int) -> str:
        """Return a position for messages; the wording does not depend on how the file was split."""
        if self.streams is not None:
            start, stored = max(s for s in self.streams.streams if s[0] <= position)
            if stored:
                return f"byte {position - start} of the bzip2 stream at {stored}"
        return f"byte {position}"

    def is_cut(self, start: int) -> bool:
        """Return whether a stream that must hold whole pages begins after `start`, before the cursor."""
        if self.streams is None or not self._needs_whole_pages:
            return False
        for stream_start, _ in reversed(self.streams.streams):
            if stream_start <= start:
                return False
            if stream_start < self.position:
                return True
        return False

    def _is_exhausted(self) -> bool:
        return self._next == len(self._buffer)

    def _take(self, stop: int) -> bytes:
        taken = self._buffer[self._next : stop]
        self._next = stop
        self.position += len(taken)
        return taken


@contextlib.contextmanager
def open_part(part: InputPart, counter: ByteCounter | None = None) -> Iterator[PartReader]:
    """Open the bytes that belong to a part; the counter counts them as they are read.

    Raises:
      DamagedError: while reading, if the compressed content is damaged.
    """
    path = part.file.path
    if path.endswith(".bz2"):
        opened = _open_streams(part, counter)
    elif is_compressed(path):
        opened = _open_bytes(path, 0, None, counter)
    else:
        opened = _open_bytes(path, *_find_pages(part), counter)
    with opened as reader:
        yield reader


@contextlib.contextmanager
def _open_bytes(
    path: str, start: int | None, stop: int | None, counter: ByteCounter | None
) -> Iterator[PartReader]:
    if start is None:
        yield PartReader(iter(()))
        return
    with open_chunks(path, start=start, stop=stop, counter=counter) as chunks:
        yield PartReader(chunks, position=start, is_last=stop is None)


@contextlib.contextmanager
def _open_streams(part: InputPart, counter: ByteCounter | None) -> Iterator[PartReader]:
    with files.open_read(part.file.path) as file:
        start = find_stream(file, part.start, part.stop) if part.start else 0
        if start is None:
            yield PartReader(iter(()))
            return
        streams = StreamReader(file, start=start, stop=part.stop)
        chunks = check_chunks(streams, path=part.file.path, stored=file, counter=counter)
        is_range = part.start > 0 or part.stop < part.file.num_bytes
        yield PartReader(chunks, streams=streams, needs_whole_pages=is_range)


def _find_pages(part: InputPart) -> tuple[int | None, int | None]:
    """Return the range [start, stop) of the pages that begin in a part of a plain file.

    The start is None if there is none; the stop is None for the end of the file. The range of the
    first part begins at 0.
    """

    def find(start: int, stop: float) -> int | None:
        return search(file, PAGE_START, width=len(b"<page>"), start=start, stop=stop)

    with files.open_read(part.file.path) as file:
        start = find(part.start, part.stop) if part.start else 0
        is_last = start is None or part.stop >= part.file.num_bytes
        return start, None if is_last else find(part.stop, math.inf)


def read_site(file: InputFile) -> Site:
    """Read the header of a dump."""
    header = b""
    with open_chunks(file.path) as chunks:
        for chunk in chunks:
            header += chunk
            if len(header) >= files.CHUNK_BYTES or PAGE_START.search(header):
                break
    return Site.from_header(PAGE_START.split(header)[0])


def _is_multistream(path: str) -> bool:
    """Return whether a .bz2 file has a second stream that begins with a page."""
    with files.open_read(path) as file:
        # The first stream of a multistream dump is its header. Without a limit, a large
        # single-stream file would be read twice.
        second = find_stream(file, 1, _MAX_FIRST_STREAM_BYTES)
        if second is None:
            return False
        file.seek(second)
        head = file.read(16 * files.CHUNK_BYTES)
    try:
        return bz2.BZ2Decompressor().decompress(head, max_length=100).lstrip().startswith(b"<page>")
    except OSError:  # damaged; the reader reports it
        return False
