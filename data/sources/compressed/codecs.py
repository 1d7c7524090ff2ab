"""The compressions of input files: the suffix and magic number of each, and its decompressor.

To add a compression, add an entry to `CODECS`. Decompressors yield chunks of bounded size, whatever
the compression ratio; they read all streams of a file, and treat a missing end and other data between
or after the streams as errors.
"""

from __future__ import annotations

import dataclasses
import gzip
import lzma
import math
import re
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

import zstandard

from data import files
from data.sources.compressed.bzip2 import StreamReader

# Memory for the window of a decompressor, as of the zstd program: larger ones need `zstd --long=31`.
_MAX_WINDOW_BYTES = 2**27
# 4 bytes can hold a block of 128 KiB, and the library returns what a call decompresses as a whole.
_ZSTD_INPUT_BYTES = 1024
# What decompressors raise for damaged content. Errors of the operating system are OSErrors too, but
# have an errno.
ERRORS = (EOFError, OSError, zlib.error, lzma.LZMAError, zstandard.ZstdError)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Codec:
    """One compression.

    Attributes:
      name: name of the program.
      suffix: end of the names of compressed files.
      magic: pattern of their first bytes.
      decompress: function from a stored file to chunks of its content. It raises one of `ERRORS` if
        the content is damaged.
    """

    name: str
    suffix: str
    magic: re.Pattern[bytes]
    decompress: Callable[[BinaryIO], Iterator[bytes]]


def _decompress_gzip(stored: BinaryIO) -> Iterator[bytes]:
    stream = gzip.GzipFile(fileobj=stored)
    while chunk := stream.read(files.CHUNK_BYTES):
        yield chunk


def _decompress_bzip2(stored: BinaryIO) -> Iterator[bytes]:
    return iter(StreamReader(stored, start=0, stop=math.inf))


def _decompress_xz(stored: BinaryIO) -> Iterator[bytes]:
    data = stored.read(files.CHUNK_BYTES)
    while data:
        decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MAX_WINDOW_BYTES + 2**20)
        while not decompressor.eof:
            if decompressor.needs_input and not data:
                data = stored.read(files.CHUNK_BYTES)
                if not data:
                    raise EOFError("the last xz stream has no end")
            if text := decompressor.decompress(data, max_length=files.CHUNK_BYTES):
                yield text
            data = b""
        data = _skip_padding(decompressor.unused_data, stored)


def _skip_padding(data: bytes, stored: BinaryIO) -> bytes:
    """Return what follows an xz stream, without the zero bytes, a multiple of four, that may do so."""
    num_zeros = 0
    data = data or stored.read(files.CHUNK_BYTES)
    while data:
        rest = data.lstrip(b"\0")
        num_zeros += len(data) - len(rest)
        if rest:
            break
        data = stored.read(files.CHUNK_BYTES)
    if num_zeros % 4:
        raise lzma.LZMAError("incomplete padding after an xz stream")
    return data.lstrip(b"\0")


def _decompress_zstd(stored: BinaryIO) -> Iterator[bytes]:
    context = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
    data = b""
    while data := data or stored.read(files.CHUNK_BYTES):
        frame = context.decompressobj()
        while not frame.eof:
            if not data and not (data := stored.read(files.CHUNK_BYTES)):
                raise EOFError("the last zstd frame has no end")
            text = frame.decompress(data[:_ZSTD_INPUT_BYTES])
            data = data[_ZSTD_INPUT_BYTES:]
            for start in range(0, len(text), files.CHUNK_BYTES):
                yield text[start : start + files.CHUNK_BYTES]
        data = frame.unused_data + data


CODECS = (
    Codec(name="gzip", suffix=".gz", magic=re.compile(rb"\x1f\x8b"), decompress=_decompress_gzip),
    Codec(
        name="bzip2",
        suffix=".bz2",
        magic=re.compile(rb"BZh[1-9]1AY&SY"),
        decompress=_decompress_bzip2,
    ),
    Codec(name="xz", suffix=".xz", magic=re.compile(rb"\xfd7zXZ\x00"), decompress=_decompress_xz),
    Codec(
        name="zstd",
        suffix=".zst",
        # A frame, or a skippable one before it, as pzstd and seekable files have.
        magic=re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
        decompress=_decompress_zstd,
    ),
)
# Short suffixes of compressed archives.
_ALIASES = {".tgz": ".tar.gz", ".tbz2": ".tar.bz2", ".txz": ".tar.xz", ".tzst": ".tar.zst"}
# The suffixes, for people: ".gz, .bz2, .xz or .zst".
SUFFIXES = f"{', '.join(codec.suffix for codec in CODECS[:-1])} or {CODECS[-1].suffix}"


def find_codec(path: str) -> Codec | None:
    """Return the compression of a file, judging by its suffix; None for a plain file."""
    path = _full_name(path)
    return next((codec for codec in CODECS if path.endswith(codec.suffix)), None)


def is_compressed(path: str) -> bool:
    """Return whether a file is compressed, judging by its suffix."""
    return find_codec(path) is not None


def plain_name(path: str) -> str:
    """Return a path without the suffix of its compression."""
    path, codec = _full_name(path), find_codec(path)
    return path.removesuffix(codec.suffix) if codec else path


def _full_name(path: str) -> str:
    for alias, suffix in _ALIASES.items():
        if path.endswith(alias):
            return path.removesuffix(alias) + suffix
    return path


def describe_error(error: Exception) -> str:
    """Return what an error of `ERRORS` says about a file, and what to do about it."""
    message = str(error).removeprefix("zstd decompressor error: ")
    if (
        "memory" in message.lower()
    ):  # "Frame requires too much memory", "Memory usage limit exceeded"
        return (
            f"needs a window of more than {_MAX_WINDOW_BYTES >> 20} MiB to be decompressed; compress"
            " it again with default settings (zstd -dc --long=31 FILE | zstd > NEW.zst)"
        )
    return f"truncated or damaged ({message}); download or copy it again and compare its checksum"
