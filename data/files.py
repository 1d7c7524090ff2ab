"""Files that are either whole or not there, on local disks or wherever TensorFlow can write.

Paths with a scheme (gs://, ram://) go through `tf.io.gfile`, and what TensorFlow says of their storage
becomes a StorageError that names the path; local ones never load TensorFlow.
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import glob
import hashlib
import io
import os
import re
import shutil
import types
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TextIO

from data.errors import StorageError, UserError

CHUNK_BYTES = 2**16  # of inputs that are read piece by piece
_BLOCK_BYTES = 2**20


def is_remote(path: str | os.PathLike) -> bool:
    """Whether a path has a scheme, like gs://bucket/file."""
    return "://" in os.fspath(path)


def join(directory: str | os.PathLike, *parts: str) -> str:
    """Joins path components; a scheme survives, as it does not in pathlib."""
    return os.path.join(os.fspath(directory), *parts)


def open_read(path: str | os.PathLike) -> BinaryIO:
    """Opens a file for reading bytes: all that Python's own files can do, wherever it is.

    Raises:
      FileNotFoundError: there is no such file, wherever it is.
    """
    if not is_remote(path):
        return open(path, "rb")
    if not exists(path):
        raise FileNotFoundError(2, "No such file", os.fspath(path))
    return io.BufferedReader(_RemoteFile(os.fspath(path)), CHUNK_BYTES)


class _RemoteFile(io.RawIOBase):
    """A GFile as a file of Python, for one lacks `readinto` and cannot seek to its end."""

    def __init__(self, path: str):
        self._path = path
        with _storage(path) as gfile:
            self._file = gfile.GFile(path, "rb")
            self._size = self._file.size()
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = origin + offset
        return self._position

    def readinto(self, buffer) -> int:
        if self._position >= self._size:
            return 0
        with _storage(self._path):
            if self._file.tell() != self._position:
                self._file.seek(self._position)
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def search(
    file: BinaryIO, pattern: re.Pattern[bytes], *, width: int, start: int, stop: float
) -> int | None:
    """Offset of the first match that begins in [start, stop) of a file, None without one.

    Args:
      file: that can seek.
      pattern: matches `width` bytes.
      width: see there.
      start: where to begin.
      stop: infinite for the end of the file.
    """
    file.seek(start)
    overlap = b""  # a match may lie across two pieces, and reach beyond `stop`
    while start - len(overlap) < stop and (chunk := file.read(CHUNK_BYTES)):
        window = overlap + chunk
        if match := pattern.search(window):
            found = start - len(overlap) + match.start()
            return found if found < stop else None
        start += len(chunk)
        overlap = window[1 - width :]
    return None


def read_bytes(path: str | os.PathLike) -> bytes:
    """The whole content of a file."""
    with open_read(path) as file:
        return file.read()


def open_append(path: str | os.PathLike) -> TextIO:
    """Opens a text file to write at its end, wherever it is."""
    if is_remote(path):
        with _storage(path) as gfile:
            return gfile.GFile(os.fspath(path), "a")
    return open(path, "a", encoding="utf-8")


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """A file for writing bytes that appears under its name when the block ends without exception.

    A reader, or a writer that is killed, never leaves half a file under that name.
    """
    with atomic_path(path) as temporary:
        if is_remote(path):
            with _storage(path) as gfile, gfile.GFile(temporary, "wb") as file:
                yield file
            return
        with open(temporary, "wb") as file:
            yield file
            file.flush()  # or a power cut could leave the name without the content
            os.fsync(file.fileno())


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[str]:
    """A temporary name beside `path`, moved to it when the block ends without an exception."""
    directory, name = os.path.split(os.fspath(path))
    temporary = os.path.join(directory, f".tmp-{uuid.uuid4().hex}-{name}")
    if is_remote(path):
        with _storage(path) as gfile:
            gfile.makedirs(directory)
        yield temporary
        with _storage(path) as gfile:
            gfile.rename(temporary, os.fspath(path), overwrite=True)
        return
    os.makedirs(directory or ".", exist_ok=True)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def write_atomically(path: str | os.PathLike, content: bytes) -> None:
    """Writes a whole file."""
    with atomic_write(path) as file:
        file.write(content)


def flush(path: str | os.PathLike) -> None:
    """Brings the content of a closed local file to the disk, for names that are written after it."""
    if not is_remote(path):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def exists(path: str | os.PathLike) -> bool:
    """Whether there is a file or a directory."""
    if not is_remote(path):
        return os.path.exists(path)
    with _storage(path) as gfile:
        return gfile.exists(os.fspath(path))


def size(path: str | os.PathLike) -> int | None:
    """Length of a file in bytes; None if there is none."""
    if is_remote(path):
        with _storage(path) as gfile:
            return gfile.stat(os.fspath(path)).length if exists(path) else None
    return os.path.getsize(path) if os.path.isfile(path) else None


def modified_seconds(path: str | os.PathLike) -> float:
    """When a file was written, by the clock of where it lies, in seconds since 1970."""
    if is_remote(path):
        with _storage(path) as gfile:
            return gfile.stat(os.fspath(path)).mtime_nsec / 1e9
    return os.stat(path).st_mtime


def find(pattern: str) -> tuple[list[str], int]:
    """Files that match a glob, sorted, and the number of directories that match it too.

    A local name that holds what a glob would read as a pattern is itself.
    """
    if is_remote(pattern) and "**" in pattern:
        return sorted(_walk(pattern)), 0
    if is_remote(pattern):
        with _storage(pattern) as gfile:
            matched = gfile.glob(pattern)
            paths = [path for path in matched if not gfile.isdir(path)]
    else:
        literal = glob.escape(pattern) if os.path.isfile(pattern) else pattern
        matched = glob.glob(literal, recursive=True)
        paths = [path for path in matched if os.path.isfile(path)]
    return sorted(paths), len(matched) - len(paths)


def _walk(pattern: str) -> Iterator[str]:
    """Remote files that match a glob with "**", which TensorFlow's own takes for "*"."""
    root = os.path.dirname(re.split(r"[*?\[]", pattern)[0])
    wanted = pattern[len(root) + 1 :].split("/")
    with _storage(root) as gfile:
        if not gfile.exists(root):  # `walk` keeps it to itself if nobody answers
            return
        for folder, _, names in gfile.walk(root):
            for name in names:
                path = join(folder, name)
                if _matches(path[len(root) + 1 :].split("/"), wanted):
                    yield path


def _matches(names: list[str], wanted: list[str]) -> bool:
    """Whether a path matches a glob, both cut at "/", by the rules of Python's glob."""
    if not names or not wanted:
        return names == wanted
    (name, *names_after), (pattern, *wanted_after) = names, wanted
    is_hidden = name.startswith(".") and not pattern.startswith(".")
    if pattern == "**":
        # Any number of folders; at the end of a pattern, files too.
        here = bool(wanted_after) and _matches(names, wanted_after)
        return here or (
            not is_hidden and _matches(names_after, wanted if names_after else wanted_after)
        )
    return (
        not is_hidden and fnmatch.fnmatchcase(name, pattern) and _matches(names_after, wanted_after)
    )


def list_dir(directory: str | os.PathLike) -> list[str]:
    """Names of what is in a directory, sorted; nothing if there is none."""
    if not exists(directory):
        return []
    if is_remote(directory):
        with _storage(directory) as gfile:
            return sorted(name.rstrip("/") for name in gfile.listdir(os.fspath(directory)))
    return sorted(os.listdir(directory))


def remove(path: str | os.PathLike) -> None:
    """Removes a file; nothing happens if there is none."""
    if not is_remote(path):
        if exists(path):
            os.unlink(path)
        return
    with _storage(path) as gfile:
        if gfile.exists(os.fspath(path)):
            gfile.remove(os.fspath(path))


def remove_tree(directory: str | os.PathLike) -> None:
    """Removes a directory and all below it; nothing happens if there is none."""
    if not is_remote(directory):
        shutil.rmtree(directory, ignore_errors=True)
    elif exists(directory):
        with _storage(directory) as gfile:
            gfile.rmtree(os.fspath(directory))


def sha256_of(path: str | os.PathLike) -> str:
    """Hex digest of a file's content."""
    digest = hashlib.sha256()
    with open_read(path) as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def require_local(name: str, path: str) -> None:
    """Raises a UserError for an address like gs://bucket, which would become a local folder."""
    if is_remote(path):
        raise UserError(
            f"{name} {path}: must be a local path; copy the files to a local disk first"
        )


@contextlib.contextmanager
def _storage(path: str | os.PathLike) -> Iterator[types.ModuleType]:
    """TensorFlow's functions for files.

    Raises:
      FileNotFoundError: it was there, and is gone.
      StorageError: for anything else that they raise.
    """
    import tensorflow as tf

    try:
        yield tf.io.gfile
    except tf.errors.NotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, "No such file", os.fspath(path)) from error
    except tf.errors.OpError as error:
        reason = (error.message.strip() or type(error).__name__).splitlines()[0]
        raise StorageError(errno.EIO, reason, os.fspath(path)) from error


def read_lines(source: str) -> list[str]:
    """Return the lines of a local file; raise a UserError if it has none or is not UTF-8."""
    try:
        *lines, last = Path(source).read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"--input {source} is not UTF-8: {error}") from error
    if last:
        lines.append(last)
    if not lines:
        raise UserError(f"--input {source} has no lines")
    return lines
