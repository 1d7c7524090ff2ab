"""Sources of the text in each packed sequence.

FULL-SENTENCES sequences cross documents, and so sources ("wiki", "books", ...). A shard has a file
with one byte per sequence: bit i is set if the sequence has text of the shard's source name i.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import numpy as np

from data import files
from data.build_files import Shard
from data.errors import UserError
from data.manifest import Manifest
from data.storage.rows import open_npy

MAX_SOURCES = 8  # bits of the byte of a sequence
_BITS = np.dtype(np.uint8)
MIXED = "mixed"  # source of a sequence with text of several sources


def check_sources(names: Iterable[str]) -> None:
    """Raise a UserError if there are more sources than a byte has bits."""
    distinct = sorted(set(names))
    if len(distinct) > MAX_SOURCES:
        raise UserError(
            f"the input has {len(distinct)} sources ({', '.join(distinct)}); a build can record at"
            f" most {MAX_SOURCES}: give several of them as one kind of input"
        )


def source_bits(source_T: np.ndarray, tokens_N: np.ndarray) -> np.ndarray:
    """Return the sources of sequences that hold the tokens of a text in order.

    Args:
      source_T: source of each token, integers below MAX_SOURCES.
      tokens_N: tokens of each sequence, at least 1, without separators and padding.

    Returns:
      uint8 [N]; bit i is set if a token has source i.
    """
    assert source_T.max(initial=0) < MAX_SOURCES
    bit_T = np.left_shift(1, source_T).astype(np.uint8)
    return np.bitwise_or.reduceat(bit_T, np.cumsum(tokens_N) - tokens_N)


def read_sequence_sources(
    directory: str | os.PathLike[str], manifest: Manifest, split: str
) -> np.ndarray:
    """Return the source of each sequence of a split, or MIXED: text [N], in storage order.

    Raises:
      UserError: a file is damaged, or is not such an array. Nothing is ever unpickled.
    """
    return np.concatenate([_read_shard(directory, shard) for shard in manifest.split(split)])


def _read_shard(directory: str | os.PathLike[str], shard: Shard) -> np.ndarray:
    shard.sources.check_content(directory)
    file = open_npy(
        files.join(directory, shard.sources.path), shape=(shard.sources.records,), dtype=_BITS
    )
    bits_N = np.fromfile(file.path, _BITS, offset=file.first_byte)
    names = np.array([*shard.source_names, MIXED])
    single = np.left_shift(1, np.arange(len(shard.source_names)))
    matches = bits_N[:, None] == single
    return names[np.where(matches.any(axis=1), matches.argmax(axis=1), len(single))]
