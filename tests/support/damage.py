"""Damage files of a build as an attacker or a failing disk would."""

from pathlib import Path

import google_crc32c
import numpy as np


def forge_length(path: Path, *, record: int, records: int, length: int = 2**62) -> None:
    """Let a record of a TFRecord file claim a length, with the checksum that fits it."""
    content = bytearray(path.read_bytes())
    start = record * (len(content) // records)
    header = np.uint64(length).tobytes()
    crc = google_crc32c.value(header)
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32
    content[start : start + 12] = header + masked.to_bytes(4, "little")
    path.write_bytes(content)
