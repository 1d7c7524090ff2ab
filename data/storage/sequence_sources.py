"""Of which sources the text of each packed sequence is.

FULL-SENTENCES sequences run across documents, and so across sources ("wiki", "books", ...). A shard
has one byte for each of its sequences: bit i stands for the shard's source name i.
"""

from __future__ import annotations

import os

import numpy as np

from data import files
from data.manifest import Manifest, Shard

# What a sequence is called that holds text of several sources.
MIXED = "mixed"


def source_bits(source_T: np.ndarray, tokens_N: np.ndarray) -> np.ndarray:
    """The sources of sequences that take the tokens of a text in its order.

    Args:
      source_T: integers below 8, the source of each token.
      tokens_N: tokens of each sequence, at least 1; separators and padding do not count.

    Returns:
      uint8 [N], bit i set if a token is of source i.
    """
    bit_T = np.left_shift(1, source_T).astype(np.uint8)
    return np.bitwise_or.reduceat(bit_T, np.cumsum(tokens_N) - tokens_N)


def read_sequence_sources(
    directory: str | os.PathLike, manifest: Manifest, split: str
) -> np.ndarray:
    """The source of each sequence of a split, or MIXED: text [N], in order of storage.

    Raises:
      UserError: a file is damaged.
    """
    return np.concatenate([_of_shard(directory, shard) for shard in manifest.split(split)])


def _of_shard(directory: str | os.PathLike, shard: Shard) -> np.ndarray:
    shard.sources.check_content(directory)
    path = files.join(directory, shard.sources.path)
    with files.open_read(path) as file:
        bits_N = np.load(file, allow_pickle=False)
    names = np.array([*shard.source_names, MIXED])
    single = np.left_shift(1, np.arange(len(shard.source_names)))
    matches = bits_N[:, None] == single
    return names[np.where(matches.any(axis=1), matches.argmax(axis=1), len(single))]
