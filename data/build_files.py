"""Files of a build as the manifest describes them, and checks that the descriptions agree."""

from __future__ import annotations

import collections
import dataclasses
import os
from collections.abc import Iterable, Sequence
from typing import Any

from data import files, schema
from data.checked_json import Record
from data.config import BuildConfig
from data.errors import UserError
from data.vocab import token_dtype

_NPY_HEADER_BYTES = 128  # of every array in a build


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataFile:
    """One file of a build; `path` is relative to the build directory."""

    path: str
    records: int = 0
    bytes: int
    sha256: str

    @classmethod
    def describe(cls, directory: str | os.PathLike[str], path: str) -> DataFile:
        """Return size and hash of a file that has just been written; `records` stays 0."""
        full_path = files.join(directory, path)
        return cls(path=path, bytes=files.size_of(full_path), sha256=files.sha256_of(full_path))

    @classmethod
    def from_record(cls, record: Record, *, min_records: int = 0) -> DataFile:
        """Return a file from its entry in a manifest or journal.

        Args:
          record: entry.
          min_records: least number of records.

        Raises:
          DamagedRecord: a field is wrong, or the path leaves the build directory.
        """
        record.refuse_other_fields([field.name for field in dataclasses.fields(cls)])
        return cls(
            path=record.relative_path("path"),
            records=record.integer("records", minimum=min_records),
            bytes=record.integer("bytes", minimum=0),
            sha256=record.sha256("sha256"),
        )

    def check_content(self, directory: str | os.PathLike[str]) -> None:
        """Raise a UserError if the sha256 of the file differs."""
        path = files.join(directory, self.path)
        digest = files.sha256_of(path)
        if digest != self.sha256:
            raise UserError(
                f"{path} is damaged: its sha256 is {digest[:8]}, the manifest says"
                f" {self.sha256[:8]}; copy the build again or rebuild it"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shard:
    """One shard of a split: its packed sequences and its masked copies.

    Attributes:
      split: "train" or "eval".
      shard: number of the shard in its split.
      documents: number of documents with packed text.
      sentences: number of packed sentences; one that is split over sequences counts once.
      tokens: number of text tokens, without [CLS], [SEP] and [PAD].
      separators: number of [CLS] and [SEP].
      unknown_tokens: number of text tokens that are [UNK].
      sentence_lengths: histogram of the tokens in a sentence, see data.stages.accounting.histogram.
      sequence_lengths: histogram of the tokens in a sequence, with [CLS] and [SEP].
      source_names: sources of the documents, sorted.
      packed: file of the packed sequences.
      sources: file of the sources of each sequence, see data.storage.sequence_sources.
      masked: files of the masked copies, in order of the copy number.
    """

    split: str
    shard: int
    documents: int
    sentences: int
    tokens: int
    separators: int
    unknown_tokens: int
    sentence_lengths: tuple[int, ...]
    sequence_lengths: tuple[int, ...]
    source_names: tuple[str, ...]
    packed: DataFile
    sources: DataFile
    masked: tuple[DataFile, ...] = ()

    @property
    def files(self) -> list[DataFile]:
        """Every file of the shard."""
        return [self.packed, self.sources, *self.masked]

    @classmethod
    def from_record(cls, record: Record, *, config: BuildConfig, vocab_pieces: int) -> Shard:
        """Return a shard from its entry in a manifest.

        Args:
          record: entry.
          config: settings of the build.
          vocab_pieces: pieces in the vocabulary.

        Raises:
          DamagedRecord: a field is wrong, or the counts contradict each other.
        """
        record.refuse_other_fields([field.name for field in dataclasses.fields(cls)])
        counts = ("shard", "documents", "sentences", "tokens", "separators", "unknown_tokens")
        lists = ("sentence_lengths", "sequence_lengths")
        fields: dict[str, Any] = {name: record.integer(name, minimum=0) for name in counts}
        fields |= {name: tuple(record.integers(name, minimum=0)) for name in lists}
        shard = cls(
            split=record.text("split", choices=schema.SPLITS),
            **fields,
            source_names=tuple(record.texts("source_names")),
            packed=DataFile.from_record(record.mapping("packed"), min_records=1),
            sources=DataFile.from_record(record.mapping("sources"), min_records=1),
            masked=tuple(
                DataFile.from_record(file, min_records=1) for file in record.rows("masked")
            ),
        )
        for problem in shard._problems(config, vocab_pieces):
            raise record.damaged(f"{record.location}: {problem}")
        return shard

    def _problems(self, config: BuildConfig, vocab_pieces: int) -> Iterable[str]:
        """Yield contradictions between the counts of the shard, its files and the settings."""
        records = self.packed.records
        for file in self.files:
            if file.records != records:
                yield f"{file.path} has {file.records} records, {self.packed.path} {records}"
        tokens = config.max_seq_length * records
        for file, content in (
            (self.packed, tokens * token_dtype(vocab_pieces).itemsize),
            (self.sources, records),
        ):
            if file.bytes != _NPY_HEADER_BYTES + content:
                expected = f"{_NPY_HEADER_BYTES + content} bytes"
                yield f"{file.path} has {file.bytes} bytes; {records} records have {expected}"
        if self.tokens + self.separators > tokens:
            yield f"tokens={self.tokens} and separators={self.separators} exceed {tokens}"
        if sum(self.sequence_lengths) != records:
            yield f"sequence_lengths counts {sum(self.sequence_lengths)} of {records} sequences"
        copies = config.copies if self.split == "train" else min(1, config.copies)
        if len(self.masked) != copies:
            yield f"it has {len(self.masked)} masked copies, the settings say {copies}"


def check_files(shards: Sequence[Shard], all_files: Sequence[DataFile], record: Record) -> None:
    """Raise a DamagedRecord if shards or files of a build contradict each other.

    Args:
      shards: shards of the build.
      all_files: files of the build.
      record: manifest, for errors.
    """
    reserved = (schema.MANIFEST_FILE, schema.VOCAB_FILE)
    for path, number in collections.Counter([*reserved, *(f.path for f in all_files)]).items():
        if number > 1:
            raise record.damaged(f"{path} is described more than once")
    numbers = [(shard.split, shard.shard) for shard in shards]
    if numbers != sorted(set(numbers)):
        raise record.damaged("the shards are repeated or not in order")
    for name in ("sentence_lengths", "sequence_lengths"):
        if len({len(getattr(shard, name)) for shard in shards}) > 1:
            raise record.damaged(f"{name} differs in length between shards")
    # All masked records of a build have the same length, which is the codec's.
    lengths = {divmod(file.bytes, file.records) for shard in shards for file in shard.masked}
    if len(lengths) > 1 or any(rest for _, rest in lengths):
        raise record.damaged("bytes / records differs between the masked files")
