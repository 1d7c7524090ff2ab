"""Files that are either whole or not there, on local disks or wherever TensorFlow can write.

Paths with a scheme (gs://, ram://) go through `tf.io.gfile`; local ones never load TensorFlow.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from typing import BinaryIO

from data.errors import UserError

_BLOCK_BYTES = 2**20


def is_remote(path: str | os.PathLike) -> bool:
    """Whether a path has a scheme, like gs://bucket/file."""
    return "://" in os.fspath(path)


def join(directory: str | os.PathLike, *parts: str) -> str:
    """Joins path components; a scheme survives, as it does not in pathlib."""
    return os.path.join(os.fspath(directory), *parts)


def open_read(path: str | os.PathLike) -> BinaryIO:
    """Opens a file for reading bytes, with seek.

    Raises:
      FileNotFoundError: there is no such file, wherever it is.
    """
    if not is_remote(path):
        return open(path, "rb")
    if not exists(path):
        raise FileNotFoundError(2, "No such file", os.fspath(path))
    return _gfile().GFile(os.fspath(path), "rb")


def read_bytes(path: str | os.PathLike) -> bytes:
    """The whole content of a file."""
    with open_read(path) as file:
        return file.read()


def read_range(path: str | os.PathLike, start: int, stop: int) -> bytes:
    """Bytes [start, stop) of a file; fewer if it ends before."""
    with open_read(path) as file:
        file.seek(start)
        return file.read(stop - start)


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """A file for writing bytes that appears under its name when the block ends without exception.

    A reader, or a writer that is killed, never leaves half a file under that name.
    """
    with atomic_path(path) as temporary:
        opened = _gfile().GFile(temporary, "wb") if is_remote(path) else open(temporary, "wb")  # noqa: SIM115
        with opened as file:
            yield file


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[str]:
    """A temporary name beside `path`, moved to it when the block ends without an exception."""
    directory, name = os.path.split(os.fspath(path))
    temporary = os.path.join(directory, f".tmp-{uuid.uuid4().hex}-{name}")
    if is_remote(path):
        _gfile().makedirs(directory)
        yield temporary
        _gfile().rename(temporary, os.fspath(path), overwrite=True)
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


def exists(path: str | os.PathLike) -> bool:
    """Whether there is a file or a directory."""
    return _gfile().exists(os.fspath(path)) if is_remote(path) else os.path.exists(path)


def size(path: str | os.PathLike) -> int | None:
    """Length of a file in bytes; None if there is none."""
    if is_remote(path):
        return _gfile().stat(os.fspath(path)).length if exists(path) else None
    return os.path.getsize(path) if os.path.isfile(path) else None


def find(pattern: str) -> tuple[list[str], int]:
    """Files that match a glob, sorted, and the number of directories that match it too.

    A local name that holds what a glob would read as a pattern is itself.
    """
    if is_remote(pattern):
        matched = _gfile().glob(pattern)
        paths = [path for path in matched if not _gfile().isdir(path)]
    else:
        literal = glob.escape(pattern) if os.path.isfile(pattern) else pattern
        matched = glob.glob(literal, recursive=True)
        paths = [path for path in matched if os.path.isfile(path)]
    return sorted(paths), len(matched) - len(paths)


def remove_tree(directory: str | os.PathLike) -> None:
    """Removes a directory and all below it; nothing happens if there is none."""
    if not is_remote(directory):
        shutil.rmtree(directory, ignore_errors=True)
    elif exists(directory):
        _gfile().rmtree(os.fspath(directory))


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


def _gfile():
    import tensorflow as tf

    return tf.io.gfile
