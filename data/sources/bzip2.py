"""Ranges of a .bz2 file: the streams that begin in a range, decompressed one after the other.

A "multistream" file is a row of complete bzip2 streams, and each can be read without the others
(https://en.wikipedia.org/wiki/Bzip2#File_format). Python's BZ2File reads such files as well, but it
takes damage at the beginning of a later stream for the end of the file, ignores whatever follows the
last stream, and cannot say where a stream begins.
"""

from __future__ import annotations

import bz2
import re
from collections.abc import Iterator
from typing import BinaryIO

from data import files

# A stream starts with its magic and that of its first block; without blocks, with that of its end.
_STREAM = re.compile(rb"BZh[1-9]1AY&SY")
_STREAM_BYTES = 10
_EMPTY_STREAM = re.compile(rb"BZh[1-9]\x17rE8P\x90")


def find_stream(file: BinaryIO, start: int, stop: int) -> int | None:
    """Offset of the first stream that begins in [start, stop) and is not empty, None without one."""
    return files.search(file, _STREAM, width=_STREAM_BYTES, start=start, stop=stop)


class StreamReader:
    """Iterates over the text of the streams that begin in [start, stop) of a file.

    Attributes:
      streams: of each stream begun so far, (offset of its text in all text read, offset in the file).
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
        """Yields text in chunks of bounded size, however well it was compressed.

        Raises:
          EOFError: the file ends within a stream.
          OSError: a stream is damaged, or something that is none lies between or after the streams.
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
        """Whether what follows belongs to others, or nothing follows."""
        if not data:
            self.at_end = True
            return True
        offset = self._file.tell() - len(data)
        if _STREAM.match(data):
            return offset >= self._stop
        # Empty streams are read by whoever comes by: one at the end must not hide the end.
        if not _EMPTY_STREAM.match(data):
            raise OSError(f"what stands at byte {offset} is no bzip2 stream")
        return False
