"""Write a directory atomically, with a record of its origin and checksums of its files.

A bucket cannot rename folders, so a directory there is written in order: first a marker, then the files,
those that programs look for last, the record; at the end the marker is removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from data import files
from data.errors import name_file

RECORD_FILE, SUMS_FILE = "export.json", "SHA256SUMS"
UNFINISHED_FILE = "export.unfinished"  # in a bucket, as long as files are missing
_BLOCK_BYTES = 2**22
# Without them, programs do not take a directory for a model.
_LAST = ("config.json", "modules.json", "saved_model.pb", SUMS_FILE, RECORD_FILE)


@contextlib.contextmanager
def atomic_directory(target: str | Path, record: str) -> Iterator[Path]:
    """Yield a temporary directory to fill; it becomes `target` on a clean exit.

    The record and the checksums of all files are added before. If the body raises, nothing is left
    behind. A directory in a bucket whose writing was interrupted is replaced.

    Args:
      target: directory to create, local or in a bucket; it may exist if it is empty.
      record: content of `export.json`.
    """
    if files.is_remote(target):
        with tempfile.TemporaryDirectory(prefix="lambert-") as folder:
            local = Path(folder, "export")
            with atomic_directory(local, record) as directory:
                yield directory
            _upload(local, os.fspath(target))
        return
    target = Path(target)
    with name_file(target), scratch_folder(target.parent, ".tmp-export-") as scratch:
        filling = scratch / "export"
        filling.mkdir()
        yield filling
        (filling / RECORD_FILE).write_text(record, encoding="utf-8")
        paths = sorted(path for path in filling.rglob("*") if path.is_file())
        sums = "".join(f"{files.sha256_of(path)}  {path.relative_to(filling)}\n" for path in paths)
        (filling / SUMS_FILE).write_text(sums, encoding="utf-8")
        for path in (filling / SUMS_FILE, *paths):
            files.flush(path)  # or a power failure could leave the name with empty files
        if target.exists():
            target.rmdir()
        filling.rename(target)


def is_unfinished(directory: str | Path) -> bool:
    """Return whether the writing of a directory in a bucket has begun and not ended."""
    return files.is_remote(directory) and files.exists(files.join(directory, UNFINISHED_FILE))


def _upload(directory: Path, target: str) -> None:
    """Copy a finished directory to a bucket."""
    if is_unfinished(target):
        files.remove_tree(target)
    marker = files.join(target, UNFINISHED_FILE)
    files.write_atomically(marker, (directory / RECORD_FILE).read_bytes())
    paths = [path for path in directory.rglob("*") if path.is_file()]

    def copy(path: Path) -> None:
        remote_path = files.join(target, *path.relative_to(directory).parts)
        with path.open("rb") as local, files.atomic_write(remote_path) as remote:
            shutil.copyfileobj(local, remote, _BLOCK_BYTES)

    with ThreadPoolExecutor(files.REMOTE_REQUESTS) as pool:
        list(pool.map(copy, (path for path in paths if path.name not in _LAST)))
    for path in sorted(
        (path for path in paths if path.name in _LAST), key=lambda path: _LAST.index(path.name)
    ):
        copy(path)
    files.remove(marker)


@contextlib.contextmanager
def scratch_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Yield a new folder that is removed at the end, also by the next process if this one is killed.

    The folder is locked. Folders of the same kind that no process has locked are removed; on file
    systems without locks, none is.

    Args:
      parent: directory for the folder, created if it is missing.
      prefix: start of the name, the same for all folders of one kind.
    """
    parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        # While the parent is locked, no other process sees a folder that is not locked yet.
        with _locked(parent, wait=True) as has_locks:
            if has_locks:
                for abandoned in parent.glob(f"{prefix}*"):
                    with _locked(abandoned, wait=False) as is_abandoned:
                        if is_abandoned:
                            shutil.rmtree(abandoned, ignore_errors=True)
            scratch = Path(
                stack.enter_context(tempfile.TemporaryDirectory(dir=parent, prefix=prefix))
            )
            stack.enter_context(_locked(scratch, wait=True))
        yield scratch


@contextlib.contextmanager
def _locked(folder: Path, *, wait: bool) -> Iterator[bool]:
    """Lock a folder until the end of the block or of the process; yield whether that was possible."""
    descriptor = None
    try:
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            is_locked = True
        except OSError:
            is_locked = False
        yield is_locked
    finally:
        if descriptor is not None:
            os.close(descriptor)
