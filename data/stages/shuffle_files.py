"""How documents travel from the workers that read them to the workers that pack them.

A worker writes what it read as one file of partitions, one for each shard; whoever packs a shard
reads that partition of every file. So the corpus lies on disk, not in the memory of the runner,
an interrupted build goes on from the files it finds, and no runner's shuffle can change the result.

A partition file is a row of segments, each an array of n + 1 offsets in the file (little-endian
uint64) and n partitions; then the places of the segments, and their number. A writer that has much
to write holds one segment in memory at a time.
"""

from __future__ import annotations

import dataclasses
import os
import struct
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np

from data import files

_OFFSET = np.dtype("<u8")
# Bytes of the id, tokens, sentences, paragraphs.
_HEAD = struct.Struct("<4I")


class PartitionWriter:
    """Writes a partition file, segment by segment."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._num_bytes = 0
        self._segments: list[int] = []

    def write(self, partitions: Sequence[Sequence[bytes]]) -> None:
        """Writes one segment; the pieces of each partition follow one another."""
        sizes = [sum(map(len, pieces)) for pieces in partitions]
        start = self._num_bytes + (len(sizes) + 1) * _OFFSET.itemsize
        offsets = start + np.cumsum([0, *sizes], dtype=np.int64)
        self._segments.append(self._num_bytes)
        self._append(offsets.astype(_OFFSET).tobytes())
        for pieces in partitions:
            for piece in pieces:
                self._append(piece)

    def close(self) -> None:
        """Ends the file."""
        self._append(np.array([*self._segments, len(self._segments)], _OFFSET).tobytes())

    def _append(self, content: bytes) -> None:
        self._file.write(content)
        self._num_bytes += len(content)


def write_partitions(path: str | os.PathLike, partitions: Sequence[Sequence[bytes]]) -> None:
    """Writes a partition file of one segment."""
    with files.atomic_write(path) as file:
        writer = PartitionWriter(file)
        writer.write(partitions)
        writer.close()


def read_partition(path: str | os.PathLike, index: int) -> bytes:
    """One partition of a file, from all segments; nothing else of it is read."""
    with files.open_read(path) as file:

        def offsets(place: int, count: int, whence: int = os.SEEK_SET) -> list[int]:
            file.seek(place, whence)
            return np.frombuffer(file.read(count * _OFFSET.itemsize), _OFFSET).tolist()

        (num_segments,) = offsets(-_OFFSET.itemsize, 1, os.SEEK_END)
        segments = offsets(-(num_segments + 1) * _OFFSET.itemsize, num_segments, os.SEEK_END)
        found = []
        for segment in segments:
            start, stop = offsets(segment + index * _OFFSET.itemsize, 2)
            file.seek(start)
            found.append(file.read(stop - start))
        return b"".join(found)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenizedDocument:
    """Token ids of a document, and how they fall into sentences and paragraphs.

    Attributes:
      id: of the document.
      tokens: ids [T], uint16 (uint32 for vocabularies above 65,536 pieces).
      sentence_lengths: tokens of each sentence, uint32 [K], none of them 0.
      paragraph_sentences: sentences of each paragraph, uint32 [R].
      paragraph_bytes: UTF-8 bytes of each paragraph's text, uint32 [R].
      starts_part: whether a paragraph begins the document or a chapter, bool [R].
    """

    id: str
    tokens: np.ndarray
    sentence_lengths: np.ndarray
    paragraph_sentences: np.ndarray
    paragraph_bytes: np.ndarray
    starts_part: np.ndarray

    def to_bytes(self) -> bytes:
        """Serializes the document; `documents_from_bytes` reads it."""
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
    """The documents of a partition, without copying their arrays."""
    place = 0

    def array(dtype, length: int) -> np.ndarray:
        nonlocal place
        values = np.frombuffer(content, dtype, length, place)
        place += values.nbytes
        return values

    while place < len(content):
        name_bytes, num_tokens, num_sentences, num_paragraphs = _HEAD.unpack_from(content, place)
        place += _HEAD.size
        yield TokenizedDocument(
            id=array(np.uint8, name_bytes).tobytes().decode(),
            tokens=array(token_dtype, num_tokens),
            sentence_lengths=array(np.uint32, num_sentences),
            paragraph_sentences=array(np.uint32, num_paragraphs),
            paragraph_bytes=array(np.uint32, num_paragraphs),
            starts_part=array(bool, num_paragraphs),
        )
