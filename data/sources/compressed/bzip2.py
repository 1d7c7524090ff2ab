"""Decompress a range of a .bz2 file: the streams that begin in the range, in order.

A multistream file is a sequence of complete bzip2 streams that can be decompressed independently
(https://en.wikipedia.org/wiki/Bzip2#File_format). Python's BZ2File reads such files too, but it
treats damage at the start of a later stream as the end of the file, ignores garbage after the last
stream, and does not report where streams begin.
"""

from __future__ import annotations

import bz2
import re
from collections.abc import Iterator
from typing import BinaryIO

from data import files
from data.sources.search import search

# The magic number of a stream, followed by that of its first block or, in an empty stream, by that
# of the end of the stream.
_STREAM = re.compile(rb"BZh[1-9]1AY&SY")
_STREAM_BYTES = 10
_EMPTY_STREAM = re.compile(rb"BZh[1-9]\x17rE8P\x90")


def find_stream(file: BinaryIO, start: int, stop: int) -> int | None:
    """Return the offset of the first non-empty stream that begins in [start, stop), or None."""
    return search(file, _STREAM, width=_STREAM_BYTES, start=start, stop=stop)


class StreamReader:
    """Iterable over the decompressed bytes of the streams that begin in [start, stop) of a file.

    Attributes:
      streams: (offset in the decompressed bytes, offset in the file) of each stream begun so far.
      at_end: whether the end of the file was reached.
    """

    def __init__(self, file: BinaryIO, *, start: int, stop: float):
        self.streams: list[tuple[int, int]] = []
        self.at_end = False
        self._file = file
        self._start = start
        self._stop = stop
        self._text_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        """Yield decompressed chunks of bounded size, whatever the compression ratio.

        Raises:
          EOFError: the file ends within a stream.
          OSError: a stream is damaged, or there is other data between or after the streams.
        """
        self._file.seek(self._start)
        data = self._file.read(files.CHUNK_BYTES)
        while not self._is_done(data):
            self.streams.append((self._text_bytes, self._file.tell() - len(data)))
            decompressor = bz2.BZ2Decompressor()
            while not decompressor.eof:
                if decompressor.needs_input and not data:
                    data = self._file.read(files.CHUNK_BYTES)
                    if not data:
                        raise EOFError("the last bzip2 stream has no end")
                text = decompressor.decompress(data, max_length=files.CHUNK_BYTES)
                data = b""
                self._text_bytes += len(text)
                if text:
                    yield text
            data = decompressor.unused_data
            if len(data) < _STREAM_BYTES:
                data += self._file.read(files.CHUNK_BYTES)

    def _is_done(self, data: bytes) -> bool:
        """Return whether the file ends here or the next stream belongs to the next range."""
        if not data:
            self.at_end = True
            return True
        offset = self._file.tell() - len(data)
        if _STREAM.match(data):
            return offset >= self._stop
        # An empty stream belongs to every range that reaches it. Stopping before an empty stream at
        # the end of the file would leave `at_end` unset.
        if not _EMPTY_STREAM.match(data):
            raise OSError(f"no bzip2 stream at byte {offset}")
        return False
