"""Open plain and compressed files as uncompressed bytes, and count the bytes as they are read."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import sys
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from data import files
from data.errors import UserError
from data.sources.compressed.codecs import ERRORS, describe_error, find_codec


class DamagedError(UserError):
    """Compressed content is truncated or corrupt; `__cause__` is the error of the decompressor."""


@dataclasses.dataclass
class ByteCounter:
    """Number of uncompressed bytes read from a file, counted independently of its reader.

    Attributes:
      num_bytes: bytes so far.
      is_of_stored_bytes: whether they are the bytes of the file as it is stored.
      stored_position: about how far the file was read, as it is stored.
    """

    num_bytes: int = 0
    stored_position: int = 0
    is_of_stored_bytes: bool = True


@contextlib.contextmanager
def open_chunks(
    path: str, *, start: int = 0, stop: int | None = None, counter: ByteCounter | None = None
) -> Iterator[Iterator[bytes]]:
    """Open a plain or compressed file as an iterator over chunks of bounded size.

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
        if codec := find_codec(path):
            chunks = codec.decompress(stored)
        else:
            stored.seek(start)
            chunks = _read_chunks(stored, sys.maxsize if stop is None else stop - start)
        yield check_chunks(chunks, path=path, stored=stored, counter=counter)


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
    chunks: Iterable[bytes], *, path: str, stored: BinaryIO, counter: ByteCounter | None = None
) -> Iterator[bytes]:
    """Count chunks as they pass, and turn errors of the decompressor into a DamagedError.

    Args:
      chunks: uncompressed content.
      path: path of the file.
      stored: the file, from which the chunks come.
      counter: counter of the bytes that pass.
    """
    if counter is not None and find_codec(path):
        counter.is_of_stored_bytes = False
    try:
        for chunk in chunks:
            if counter is not None:
                counter.num_bytes += len(chunk)
                counter.stored_position = stored.tell()
            yield chunk
    except ERRORS as error:
        # gzip and bz2 raise OSError without an errno; the operating system sets it.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DamagedError(f"{path}: {describe_error(error)}") from error


def _read_chunks(file: BinaryIO, num_bytes: int) -> Iterator[bytes]:
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
