"""Open plain, .gz and .bz2 files as uncompressed bytes, and count the bytes as they are read."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import io
import math
import sys
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from data import files
from data.errors import UserError
from data.sources.bzip2 import StreamReader


class DamagedError(UserError):
    """Compressed content is truncated or corrupt; `__cause__` is the error of the decompressor."""


@dataclasses.dataclass
class ByteCounter:
    """Number of uncompressed bytes read from a file, counted independently of its reader."""

    num_bytes: int = 0


@contextlib.contextmanager
def open_chunks(
    path: str, *, start: int = 0, stop: int | None = None, counter: ByteCounter | None = None
) -> Iterator[Iterator[bytes]]:
    """Open a plain, .bz2 or .gz file as an iterator over chunks of bounded size.

    Args:
      path: file to read; the suffix determines the compression.
      start: offset of the first byte to read; plain files only.
      stop: offset at which to stop, None for the end of the file; plain files only.
      counter: counter of the bytes handed out.

    Raises:
      DamagedError: from the iterator, if the compressed content is damaged. I/O errors of the disk or
        the network are raised unchanged, since they say nothing about the content.
    """
    with files.open_read(path) as stored:
        if path.endswith(".bz2"):
            chunks = iter(StreamReader(stored, start=0, stop=math.inf))
        elif path.endswith(".gz"):
            chunks = _read_chunks(gzip.GzipFile(fileobj=stored), sys.maxsize)
        else:
            stored.seek(start)
            chunks = _read_chunks(stored, sys.maxsize if stop is None else stop - start)
        yield check_chunks(chunks, path=path, counter=counter)


@contextlib.contextmanager
def open_stream(
    path: str, *, start: int = 0, stop: int | None = None, counter: ByteCounter | None = None
) -> Iterator[BinaryIO]:
    """Open a file as `open_chunks` does, as a buffered stream with `read` and `readline`."""
    with open_chunks(path, start=start, stop=stop, counter=counter) as chunks:
        yield as_stream(chunks)


def as_stream(chunks: Iterator[bytes]) -> BinaryIO:
    """Return chunks as a buffered stream with `read` and `readline`."""
    return io.BufferedReader(_ChunkReader(chunks), files.CHUNK_BYTES)


def check_chunks(
    chunks: Iterable[bytes], *, path: str, counter: ByteCounter | None = None
) -> Iterator[bytes]:
    """Count chunks as they pass, and turn errors of the decompressor into a DamagedError."""
    try:
        for chunk in chunks:
            if counter is not None:
                counter.num_bytes += len(chunk)
            yield chunk
    except (EOFError, OSError, zlib.error) as error:
        # gzip and bz2 raise OSError without an errno; the operating system sets it.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DamagedError(
            f"{path}: truncated or damaged ({error}); download or copy it again and compare its"
            " checksum"
        ) from error


def _read_chunks(file: BinaryIO | gzip.GzipFile, num_bytes: int) -> Iterator[bytes]:
    while chunk := file.read(min(files.CHUNK_BYTES, num_bytes)):
        num_bytes -= len(chunk)
        yield chunk


class _ChunkReader(io.RawIOBase):
    """Adapt an iterator over chunks to RawIOBase."""

    def __init__(self, chunks: Iterator[bytes]):
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = memoryview(next(self._chunks, b""))
        num_bytes = min(len(buffer), len(self._rest))
        buffer[:num_bytes] = self._rest[:num_bytes]
        self._rest = self._rest[num_bytes:]
        return num_bytes
