"""Files that are either whole or not there."""

from __future__ import annotations

import contextlib
import hashlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from data.errors import UserError


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """A temporary name beside `path`, moved to it when the block ends without an exception."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{uuid.uuid4().hex}-{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: str | os.PathLike, content: bytes) -> None:
    """Writes a whole file; a reader or a killed writer never sees half of it."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def require_local(name: str, path: str) -> None:
    """Raises a UserError for an address like gs://bucket, which would become a local folder."""
    if "://" in path:
        raise UserError(
            f"{name} {path}: only local paths are supported so far; copy the files to a local disk"
        )


def sha256_of(path: str | os.PathLike) -> str:
    """Hex digest of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
