"""Check that the files of a build have the structure that the manifest says."""

from __future__ import annotations

import os

import numpy as np

from data.errors import UserError
from data.manifest import Manifest
from data.storage.records import ExampleCodec, find_wrong_header
from data.storage.rows import open_npy
from data.vocab import token_dtype


def check_structure(directory: str | os.PathLike[str], manifest: Manifest) -> None:
    """Check shapes and types of arrays and the lengths of records; a sha256 does not show them.

    Args:
      directory: local build directory.
      manifest: manifest of the build.

    Raises:
      UserError: a file is malformed; the message names the first one.
    """
    codec = ExampleCodec.of_build(manifest)
    for shard in manifest.shards:
        packed, sources = (os.path.join(directory, f.path) for f in (shard.packed, shard.sources))
        shape = (shard.packed.records, manifest.config.max_seq_length)
        open_npy(packed, shape=shape, dtype=token_dtype(manifest.vocab_pieces))
        open_npy(sources, shape=shape[:1], dtype=np.dtype(np.uint8))
        for file in shard.masked:
            path = os.path.join(directory, file.path)
            row = find_wrong_header(path, records=file.records, codec=codec)
            if row is not None:
                raise UserError(
                    f"{path}: record {row} is damaged (wrong length); copy it again or rebuild it"
                )
