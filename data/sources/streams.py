"""Input files as uncompressed bytes, plain, .gz or .bz2, counted as they are handed out."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import io
import math
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from data import files
from data.errors import UserError
from data.sources.bzip2 import StreamReader


class DamagedError(UserError):
    """The compressed content of a file is damaged; `__cause__` says how."""


@dataclasses.dataclass
class ByteCounter:
    """Uncompressed bytes handed out to a reader, whatever it makes of them."""

    num_bytes: int = 0


@contextlib.contextmanager
def open_chunks(
    path: str, *, start: int = 0, stop: int | None = None, counter: ByteCounter | None = None
) -> Iterator[Iterator[bytes]]:
    """Opens a plain, .bz2 or .gz file as an iterator over pieces of bounded size.

    Args:
      path: of the file; its suffix tells the compression.
      start: first byte of a plain file to read.
      stop: where to stop in a plain file, None for its end.
      counter: counts the pieces as they are handed out.

    Raises:
      DamagedError: from the iterator, if the compressed content is damaged. A fault of the disk or
        the network stays what it is: it must not look like a property of the file.
    """
    with files.open_read(path) as stored:
        if path.endswith(".bz2"):
            chunks = iter(StreamReader(stored, start=0, stop=math.inf))
        elif path.endswith(".gz"):
            chunks = _range(gzip.GzipFile(fileobj=stored), math.inf)
        else:
            stored.seek(start)
            chunks = _range(stored, math.inf if stop is None else stop - start)
        yield guarded(chunks, path=path, counter=counter)


@contextlib.contextmanager
def open_compressed(
    path: str, *, start: int = 0, stop: int | None = None, counter: ByteCounter | None = None
) -> Iterator[BinaryIO]:
    """Opens what `open_chunks` does, as a file with `read` and `readline`."""
    with open_chunks(path, start=start, stop=stop, counter=counter) as chunks:
        yield io.BufferedReader(_ChunkReader(chunks), files.CHUNK_BYTES)


def guarded(
    chunks: Iterable[bytes], *, path: str, counter: ByteCounter | None = None
) -> Iterator[bytes]:
    """Hands out pieces of a file, counts them, and tells damage from faults of the machine."""
    try:
        for chunk in chunks:
            if counter is not None:
                counter.num_bytes += len(chunk)
            yield chunk
    except (EOFError, OSError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DamagedError(
            f"{path}: truncated or damaged ({error}); download or copy it again and compare its"
            " checksum"
        ) from error


def _range(file: BinaryIO, num_bytes: float) -> Iterator[bytes]:
    while chunk := file.read(min(files.CHUNK_BYTES, num_bytes)):
        num_bytes -= len(chunk)
        yield chunk


class _ChunkReader(io.RawIOBase):
    """Pieces as a file."""

    def __init__(self, chunks: Iterator[bytes]):
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        if not self._rest:
            self._rest = memoryview(next(self._chunks, b""))
        num_bytes = min(len(buffer), len(self._rest))
        buffer[:num_bytes] = self._rest[:num_bytes]
        self._rest = self._rest[num_bytes:]
        return num_bytes
