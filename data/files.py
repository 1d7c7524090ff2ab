"""Read files, and write them atomically, on local disks and on storage that TensorFlow supports.

Paths with a scheme (gs://, ram://) use `tf.io.gfile`; errors of their storage become a StorageError
that names the path. Local paths never load TensorFlow.
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
import stat
import types
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, TextIO

from data.errors import StorageError, UserError, name_file

CHUNK_BYTES = 2**16  # of streamed inputs
REMOTE_REQUESTS = 32  # at the same time; each takes a tenth of a second, whatever its size
TEMPORARY = re.compile(r"\.tmp-[0-9a-f]{32}-.+")  # a file that `atomic_path` has yet to rename
_BLOCK_BYTES = 2**20


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Return whether a path has a scheme, like gs://bucket/file."""
    return "://" in os.fspath(path)


def join(directory: str | os.PathLike[str], *parts: str) -> str:
    """Join path components and keep a scheme, unlike pathlib."""
    return os.path.join(os.fspath(directory), *parts)


def open_read(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a local or remote file for reading bytes.

    Raises:
      FileNotFoundError: there is no such file, local or remote.
      UserError: it is a pipe or a device, which may never end.
    """
    if not is_remote(path):
        return io.BufferedReader(_LocalFile(path, opener=_open_regular), CHUNK_BYTES)
    if not exists(path):
        raise FileNotFoundError(2, "No such file", os.fspath(path))
    return io.BufferedReader(_RemoteFile(os.fspath(path)), CHUNK_BYTES)


class _LocalFile(io.FileIO):
    """A file whose errors of reading name it, as errors of opening do."""

    def readinto(self, buffer: Any) -> int | None:
        with name_file(self.name):
            return super().readinto(buffer)

    def readall(self) -> bytes:
        with name_file(self.name):
            return super().readall()


def _open_regular(path: str, flags: int) -> int:
    """Open a file, without waiting for the writer of a pipe."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):  # FileIO raises an error for a directory
        return descriptor
    os.close(descriptor)
    raise UserError(f"{path} is a pipe or a device, not a regular file")


class _RemoteFile(io.RawIOBase):
    """Adapt GFile to RawIOBase; GFile lacks `readinto` and cannot seek to the end."""

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

    def readinto(self, buffer: Any) -> int:
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


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return the whole content of a file."""
    with open_read(path) as file:
        return file.read()


def open_append(path: str | os.PathLike[str]) -> TextIO:
    """Open a local or remote text file for appending."""
    if is_remote(path):
        with _storage(path) as gfile:
            return gfile.GFile(os.fspath(path), "a")
    return open(path, "a", encoding="utf-8")


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Yield a file for writing bytes; it gets its name when the block ends without an exception.

    No reader sees a half-written file under that name, even if the writer is killed.
    """
    with atomic_path(path) as temporary:
        if is_remote(path):
            with _storage(path) as gfile, gfile.GFile(temporary, "wb") as file:
                yield file
            return
        with name_file(path), open(temporary, "wb") as file:
            yield file
            file.flush()  # otherwise a power cut could leave the name without the content
            os.fsync(file.fileno())


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[str]:
    """Yield a temporary path next to `path`; rename it when the block ends without an exception."""
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


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a whole file, atomically."""
    with atomic_write(path) as file:
        file.write(content)


def flush(path: str | os.PathLike[str]) -> None:
    """Flush a closed local file to disk, before a file is written that refers to it."""
    if not is_remote(path):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def drop_cache(path: str | os.PathLike[str]) -> None:
    """Drop a flushed local file from memory, so that the next reader reads the disk."""
    if not is_remote(path):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def rename_folder(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Rename a folder of files to a name that is free; remote files one after the other."""
    if not is_remote(source):
        os.rename(source, target)
        return
    with _storage(source) as gfile:
        names = [name for name in list_dir(source) if not gfile.isdir(join(source, name))]
        gfile.makedirs(os.fspath(target))
        for name in names:
            gfile.rename(join(source, name), join(target, name))
    with contextlib.suppress(FileNotFoundError):  # without files, some storage has no folder
        remove_tree(source)


def exists(path: str | os.PathLike[str]) -> bool:
    """Return whether a file or directory exists."""
    if not is_remote(path):
        return os.path.exists(path)
    with _storage(path) as gfile:
        return gfile.exists(os.fspath(path))


def size(path: str | os.PathLike[str]) -> int | None:
    """Return the size of a file in bytes; None if there is none."""
    if is_remote(path):
        with _storage(path) as gfile:
            return gfile.stat(os.fspath(path)).length if exists(path) else None
    return os.path.getsize(path) if os.path.isfile(path) else None


def size_of(path: str | os.PathLike[str]) -> int:
    """Return the size of a file in bytes; raise a FileNotFoundError if there is none."""
    num_bytes = size(path)
    if num_bytes is None:
        raise FileNotFoundError(2, "No such file", os.fspath(path))
    return num_bytes


def modified_seconds(path: str | os.PathLike[str]) -> float:
    """Return the modification time of a file in seconds since 1970, by the clock of its storage."""
    if is_remote(path):
        with _storage(path) as gfile:
            return gfile.stat(os.fspath(path)).mtime_nsec / 1e9
    return os.stat(path).st_mtime


def find(pattern: str) -> tuple[list[str], int]:
    """Return the files that match a glob, sorted, and the number of directories that match it.

    The name of an existing local file is never a pattern, even if it contains "*" or "[".
    """
    if is_remote(pattern) and "**" in pattern:
        return sorted(_walk(pattern)), 0
    if is_remote(pattern):
        with _storage(pattern) as gfile:
            matched = gfile.glob(pattern)
        paths = [path for path, is_dir in _are_dirs(matched).items() if not is_dir]
    else:
        literal = glob.escape(pattern) if os.path.isfile(pattern) else pattern
        matched = glob.glob(literal, recursive=True)
        matched = [p for p in matched if os.path.lexists(p.rstrip(os.sep) or p)]  # no "missing/"
        paths = [path for path in matched if os.path.isfile(path)]
        for path in matched:
            if not os.path.exists(path):
                problem = "is a symbolic link to nothing or to itself; remove or mend it"
                raise UserError(f"{path} {problem}")
            if not os.path.isfile(path) and not os.path.isdir(path):
                raise UserError(f"{path} is a pipe, socket or device, not a file; remove it")
    return sorted(paths), len(matched) - len(paths)


def would_match(path: str, pattern: str) -> bool:
    """Return whether a local glob matches a path, which need not exist."""
    return _matches(*(os.path.abspath(text).split(os.sep) for text in (path, pattern)))


def _walk(pattern: str) -> Iterator[str]:
    """Yield remote files that match a glob with "**", which TensorFlow's glob takes for "*"."""
    root = os.path.dirname(re.split(r"[*?\[]", pattern)[0])
    patterns = pattern[len(root) + 1 :].split("/")
    folders = [root]
    while folders:
        paths = [join(folder, name) for folder in folders for name in list_dir(folder)]
        folders = []
        for path, is_dir in _are_dirs(paths).items():
            if is_dir:
                folders.append(path)
            elif _matches(path[len(root) + 1 :].split("/"), patterns):
                yield path


def _are_dirs(paths: Sequence[str]) -> dict[str, bool]:
    """Return whether each remote path is a folder, with many requests at the same time."""

    def is_dir(path: str) -> bool:
        with _storage(path) as gfile:
            return gfile.isdir(path)

    with ThreadPoolExecutor(REMOTE_REQUESTS) as executor:
        return dict(zip(paths, executor.map(is_dir, paths), strict=True))


def _matches(names: list[str], patterns: list[str]) -> bool:
    """Return whether a path matches a glob, both split at "/", by the rules of Python's glob."""
    if not names or not patterns:
        return names == patterns
    (name, *names_after), (pattern, *patterns_after) = names, patterns
    is_hidden = name.startswith(".") and not pattern.startswith(".")
    if pattern == "**":
        # Any number of folders; at the end of a pattern, files too.
        matches_no_folder = bool(patterns_after) and _matches(names, patterns_after)
        return matches_no_folder or (
            not is_hidden and _matches(names_after, patterns if names_after else patterns_after)
        )
    return (
        not is_hidden
        and fnmatch.fnmatchcase(name, pattern)
        and _matches(names_after, patterns_after)
    )


def list_dir(directory: str | os.PathLike[str]) -> list[str]:
    """Return the sorted names in a directory; none if it does not exist."""
    if not exists(directory):
        return []
    if is_remote(directory):
        with _storage(directory) as gfile:
            return sorted(name.rstrip("/") for name in gfile.listdir(os.fspath(directory)))
    return sorted(os.listdir(directory))


def remove(path: str | os.PathLike[str]) -> None:
    """Remove a file if it exists."""
    if exists(path) and not is_remote(path):
        os.unlink(path)
    elif exists(path):
        with _storage(path) as gfile:
            gfile.remove(os.fspath(path))


def remove_tree(directory: str | os.PathLike[str]) -> None:
    """Remove a directory and its content if it exists."""
    if not is_remote(directory):
        shutil.rmtree(directory, ignore_errors=True)
    elif exists(directory):
        with _storage(directory) as gfile:
            gfile.rmtree(os.fspath(directory))


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Return the sha256 of a file as a hex digest."""
    digest = hashlib.sha256()
    with open_read(path) as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def require_local(name: str, path: str) -> None:
    """Raise a UserError for a path like gs://bucket, which would become a local folder."""
    if is_remote(path):
        raise UserError(
            f"{name} {path}: must be a local path; copy the files to a local disk first"
        )


@contextlib.contextmanager
def _storage(path: str | os.PathLike[str]) -> Iterator[types.ModuleType]:
    """Yield `tf.io.gfile` and translate its errors.

    Args:
      path: path for errors.

    Raises:
      FileNotFoundError: the file does not exist.
      StorageError: any other error of TensorFlow.
    """
    import tensorflow as tf

    try:
        yield tf.io.gfile
    except tf.errors.NotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, "No such file", os.fspath(path)) from error
    except tf.errors.OpError as error:
        reason = (error.message.strip() or type(error).__name__).splitlines()[0]
        raise StorageError(errno.EIO, reason, os.fspath(path)) from error


MAX_TEXT_BYTES = 2**30  # of files that are read as a whole; devices and pipes may never end


def read_lines(source: str) -> list[str]:
    """Return the lines of a local file; raise a UserError if it has none, is too large or not UTF-8."""
    with open_read(source) as file:
        content = file.read(MAX_TEXT_BYTES + 1)
    if len(content) > MAX_TEXT_BYTES:
        raise UserError(f"--input {source} has more than {MAX_TEXT_BYTES:,} bytes; divide it")
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise UserError(f"--input {source} is not UTF-8: {error}") from error
    # A lone "\r" ends lines only where nothing else does, as on old Macs.
    text = text.replace("\r", " " if "\n" in text else "\n")
    if not text:
        raise UserError(f"--input {source} has no lines")
    return text.removesuffix("\n").split("\n")
