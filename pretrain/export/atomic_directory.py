"""Write a directory atomically, with a record of its origin and checksums of its files."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

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
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".tmp-export-") as scratch:
        filling = Path(scratch, "export")
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
