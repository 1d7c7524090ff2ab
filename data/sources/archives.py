"""Read the files in a tar archive one after the other, without unpacking it on disk."""

from __future__ import annotations

import dataclasses
import tarfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO, Self

from data.sources.compressed.codecs import is_compressed, plain_name
from data.sources.content import companion
from data.sources.documents import InputFile, Reject, Skipped
from data.sources.streams import ByteCounter, DamagedError, open_stream

_MAX_HEADER_BYTES = 2**20  # of long names and attributes, which the library reads as a whole
_EXTENDED_HEADERS = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)
_END = bytes(tarfile.BLOCKSIZE)
_CHUNK_BYTES = 2**16


@dataclasses.dataclass(frozen=True)
class Member:
    """A file in an archive: the name of the archive and its own, and its content."""

    name: str
    content: bytes


def is_archive(path: str) -> bool:
    """Return whether a file is a tar archive, plain or compressed, judging by its suffix."""
    return plain_name(path).endswith(".tar")


def read_members(
    file: InputFile, *, max_bytes: int, counter: ByteCounter | None = None
) -> Iterator[Member | Reject | Skipped]:
    """Stream the files of an archive; every byte of it belongs to exactly one item.

    Args:
      file: tar archive, plain or compressed.
      max_bytes: size limit; a larger file is rejected without being held in memory.
      counter: counter of the bytes read.

    Yields:
      The files; rejects for links, devices, compressed files and names that leave the archive; and
      skipped bytes: companions such as checksums, and what is between the files.

    Raises:
      DamagedError: the archive is truncated or damaged.
    """
    with open_stream(file.path, counter=counter) as stream:
        reader, num_bytes = _ForwardReader(stream), 0
        try:
            archive = tarfile.TarFile(
                fileobj=reader,  # type: ignore[arg-type]
                tarinfo=_BoundedTarInfo,
                encoding="utf-8",
                errors="surrogateescape",
            )
            while (info := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # the library would keep all of them
                if info.isdir():
                    continue
                item = _read_member(archive, info, file, max_bytes)
                num_bytes += info.size if info.isreg() and not info.issparse() else 0
                yield item
            reader.read_to_end()
        except (tarfile.TarError, ValueError, EOFError) as error:
            if isinstance(error, DamagedError):
                raise
            raise DamagedError(
                f"{file.path}: truncated or damaged ({error}); download or copy it again"
            ) from error
        yield Skipped(reason="archive", num_bytes=reader.tell() - num_bytes)


def _read_member(
    archive: tarfile.TarFile, info: tarfile.TarInfo, file: InputFile, max_bytes: int
) -> Member | Reject | Skipped:
    size, path = info.size, PurePosixPath(info.name)
    name = info.name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")

    def reject(reason: str) -> Reject:
        return Reject(source=f"{file.name}/{name}", offset="byte 0", reason=reason, num_bytes=size)

    if not info.isreg() or info.issparse():
        size = 0  # what a sparse file stores counts as a part of the archive
        return reject("a link, a device or a sparse file, not a regular file")
    if path.is_absolute() or ".." in path.parts:
        return reject("its path leaves the archive")
    if name != info.name:
        return reject("its name is not UTF-8")
    if is_compressed(name):
        return reject("a compressed file inside an archive; unpack the archive")
    if companion(file.kind, str(path)) is not None:
        return Skipped(reason="companions", num_bytes=size)
    if size > max_bytes:
        return reject(f"larger than BuildConfig.max_document_bytes={max_bytes}")
    content = archive.extractfile(info)
    assert content is not None
    return Member(f"{file.name}/{path}", content.read())


class _BoundedTarInfo(tarfile.TarInfo):
    """Header of a member; one that would take much memory is an error."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str | None, errors: str) -> Self:
        """Parse a header; raise a HeaderError if it is damaged."""
        info = super().frombuf(buf, encoding, errors)  # type: ignore[arg-type]
        if info.type in _EXTENDED_HEADERS and info.size > _MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {info.size:,} bytes")
        return info


class _ForwardReader:
    """A stream with the positions that tarfile needs; it never goes back."""

    def __init__(self, stream: BinaryIO):
        self._stream = stream
        self._position = 0
        self._last = b""

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> None:
        while self._position < position:
            if not self.read(min(position - self._position, _CHUNK_BYTES)):
                raise EOFError("it ends within a file")

    def read(self, size: int) -> bytes:
        self._last = self._stream.read(size)
        self._position += len(self._last)
        return self._last

    def read_to_end(self) -> None:
        """Read what follows the last member; raise an EOFError unless that is the end mark.

        The library takes a damaged header, or none, for the end.
        """
        if self._last != _END:
            raise EOFError("a header is damaged, or the end mark is missing")
        while rest := self.read(_CHUNK_BYTES):
            if rest.strip(b"\0"):
                raise EOFError("there is other data after its end")
