"""Shuffle documents by shard through partition files.

A worker that reads documents writes a file with one partition per shard. The worker that packs a
shard reads its partition from every file. So the corpus is on disk and not in the memory of the
runner, an interrupted build resumes from existing files, and the result does not depend on the
shuffle of the runner.

A partition file has one or more segments. A segment has n + 1 file offsets (little-endian uint64)
and the content of n partitions. After the segments come their offsets and their number. A writer
keeps one segment in memory at a time.
"""

from __future__ import annotations

import dataclasses
import os
import struct
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from data import files

_OFFSET = np.dtype("<u8")
# Numbers of bytes of the id, of tokens, of sentences, of paragraphs.
_HEAD = struct.Struct("<4I")


class PartitionWriter:
    """Write a partition file segment by segment."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._num_bytes = 0
        self._segments: list[int] = []

    def write(self, partitions: Sequence[Sequence[bytes]]) -> None:
        """Write one segment; each partition is given as chunks, which are concatenated."""
        sizes = [sum(map(len, chunks)) for chunks in partitions]
        start = self._num_bytes + (len(sizes) + 1) * _OFFSET.itemsize
        offsets = start + np.cumsum([0, *sizes], dtype=np.int64)
        self._segments.append(self._num_bytes)
        self._append(offsets.astype(_OFFSET).tobytes())
        for chunks in partitions:
            for chunk in chunks:
                self._append(chunk)

    def close(self) -> None:
        """Write the offsets of the segments, which end the file."""
        self._append(np.array([*self._segments, len(self._segments)], _OFFSET).tobytes())

    def _append(self, content: bytes) -> None:
        self._file.write(content)
        self._num_bytes += len(content)


def write_partitions(path: str | os.PathLike[str], partitions: Sequence[Sequence[bytes]]) -> None:
    """Write a partition file with one segment."""
    with files.atomic_write(path) as file:
        writer = PartitionWriter(file)
        writer.write(partitions)
        writer.close()


def read_partition(path: str | os.PathLike[str], index: int) -> bytes:
    """Read one partition of a file from all its segments, and nothing else."""
    with files.open_read(path) as file:

        def offsets(position: int, count: int, whence: int = os.SEEK_SET) -> list[int]:
            file.seek(position, whence)
            return np.frombuffer(file.read(count * _OFFSET.itemsize), _OFFSET).tolist()

        (num_segments,) = offsets(-_OFFSET.itemsize, 1, os.SEEK_END)
        segments = offsets(-(num_segments + 1) * _OFFSET.itemsize, num_segments, os.SEEK_END)
        chunks = []
        for segment in segments:
            start, stop = offsets(segment + index * _OFFSET.itemsize, 2)
            file.seek(start)
            chunks.append(file.read(stop - start))
        return b"".join(chunks)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenizedDocument:
    """Token ids of a document, with its sentences and paragraphs.

    Attributes:
      id: document id, see data.sources.documents.
      tokens: ids [T], uint16 (uint32 for vocabularies above 65,536 pieces).
      sentence_lengths: tokens of each sentence, uint32 [K], none of them 0.
      paragraph_sentences: sentences of each paragraph, uint32 [R].
      paragraph_bytes: UTF-8 bytes of each paragraph's text, uint32 [R].
      starts_part: whether each paragraph begins the document or a chapter, bool [R].
    """

    id: str
    tokens: np.ndarray
    sentence_lengths: np.ndarray
    paragraph_sentences: np.ndarray
    paragraph_bytes: np.ndarray
    starts_part: np.ndarray

    def to_bytes(self) -> bytes:
        """Serialize the document for `documents_from_bytes`."""
        name = self.id.encode()
        return b"".join(
            (
                _HEAD.pack(
                    len(name),
                    len(self.tokens),
                    len(self.sentence_lengths),
                    len(self.paragraph_sentences),
                ),
                name,
                self.tokens.tobytes(),
                self.sentence_lengths.tobytes(),
                self.paragraph_sentences.tobytes(),
                self.paragraph_bytes.tobytes(),
                self.starts_part.tobytes(),
            )
        )


def documents_from_bytes(content: bytes, token_dtype: np.dtype) -> Iterator[TokenizedDocument]:
    """Yield the documents of a partition, without copying their arrays."""
    position = 0

    def array(dtype: npt.DTypeLike, length: int) -> np.ndarray:
        nonlocal position
        values = np.frombuffer(content, dtype, length, position)
        position += values.nbytes
        return values

    while position < len(content):
        name_bytes, num_tokens, num_sentences, num_paragraphs = _HEAD.unpack_from(content, position)
        position += _HEAD.size
        yield TokenizedDocument(
            id=array(np.uint8, name_bytes).tobytes().decode(),
            tokens=array(token_dtype, num_tokens),
            sentence_lengths=array(np.uint32, num_sentences),
            paragraph_sentences=array(np.uint32, num_paragraphs),
            paragraph_bytes=array(np.uint32, num_paragraphs),
            starts_part=array(bool, num_paragraphs),
        )
