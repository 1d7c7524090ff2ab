"""Search a file for a pattern, in chunks of bounded size."""

from __future__ import annotations

import re
from typing import BinaryIO

from data import files


def search(
    file: BinaryIO, pattern: re.Pattern[bytes], *, width: int, start: int, stop: float
) -> int | None:
    """Return the offset of the first match that begins in [start, stop) of a file; None without one.

    Args:
      file: seekable file.
      pattern: regular expression whose matches have `width` bytes.
      width: bytes of a match.
      start: first offset of the range.
      stop: end of the range; infinity for the end of the file.
    """
    file.seek(start)
    overlap = b""  # a match may cross two chunks, and extend beyond `stop`
    while start - len(overlap) < stop and (chunk := file.read(files.CHUNK_BYTES)):
        window = overlap + chunk
        if match := pattern.search(window):
            offset = start - len(overlap) + match.start()
            return offset if offset < stop else None
        start += len(chunk)
        overlap = window[1 - width :]
    return None
