"""Write a directory atomically, with a record of its origin and checksums of its files."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from data.errors import name_file
from data.files import flush, sha256_of

RECORD_FILE, SUMS_FILE = "export.json", "SHA256SUMS"


@contextlib.contextmanager
def atomic_directory(target: Path, record: str) -> Iterator[Path]:
    """Yield a temporary directory to fill; rename it to `target` on a clean exit.

    The record and the checksums of all files are added before the rename. If the body raises, nothing
    is left behind.

    Args:
      target: directory to create; it may exist if it is empty.
      record: content of `export.json`.
    """
    with name_file(target), scratch_folder(target.parent, ".tmp-export-") as scratch:
        filling = scratch / "export"
        filling.mkdir()
        yield filling
        (filling / RECORD_FILE).write_text(record, encoding="utf-8")
        paths = sorted(path for path in filling.rglob("*") if path.is_file())
        sums = "".join(f"{sha256_of(path)}  {path.relative_to(filling)}\n" for path in paths)
        (filling / SUMS_FILE).write_text(sums, encoding="utf-8")
        for path in (filling / SUMS_FILE, *paths):
            flush(path)  # or a power failure could leave the name with empty files
        if target.exists():
            target.rmdir()
        filling.rename(target)


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
