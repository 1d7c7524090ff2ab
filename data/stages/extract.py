"""Run the first stage: read a unit of input, tokenize it, and partition its documents by shard.

The stage also writes the hashes of documents and paragraphs with which the next stage finds
duplicates, and counts what became of every byte.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from data import files
from data.config import BuildConfig
from data.errors import UserError
from data.hashing import document_hash
from data.sources.documents import Document, Reject, Skipped, text_bytes
from data.sources.formats import Unit, read_part
from data.sources.streams import ByteCounter
from data.stages import accounting, duplicates
from data.stages.contamination import NgramFilter
from data.stages.shuffle_files import PartitionWriter, TokenizedDocument
from data.stages.unknown_words import UnknownWordCounter
from data.text.sentences import split_sentences
from data.text.wordpiece import WordPieceTokenizer
from data.text.words import words
from data.vocab import Vocab

# Paragraphs tokenized in one call. A call costs as much as tokenizing some hundred paragraphs.
_BATCH_PARAGRAPHS = 512
# A unit may be much larger than planned: a .gz file cannot be split.
_SEGMENT_BYTES = 256 * 2**20
_MAX_LISTED_REJECTS = 1000  # per unit; further ones are only counted


def unit_paths(unit: str) -> tuple[str, str]:
    """Return the files of documents and hashes of a unit, by its name, relative to the build directory."""
    return f"unfinished/units/{unit}.documents", f"unfinished/units/{unit}.hashes"


@functools.lru_cache(maxsize=1)
def _tokenizer(vocab: Vocab, lower_case: bool) -> WordPieceTokenizer:
    return WordPieceTokenizer(vocab, lower_case=lower_case)


def tokenize(
    documents: list[Document],
    vocab: Vocab,
    config: BuildConfig,
    unknown_words: UnknownWordCounter | None = None,
) -> list[TokenizedDocument]:
    """Split documents into sentences and token ids, in one call of the tokenizer.

    Args:
      documents: documents with paragraphs.
      vocab: vocabulary.
      config: settings of the build.
      unknown_words: counts the words that become [UNK].
    """
    paragraphs = [paragraph for document in documents for paragraph in document.paragraphs]
    sentences = [split_sentences(paragraph, language=config.language) for paragraph in paragraphs]
    tokenizer = _tokenizer(vocab, config.lower_case)
    texts = [sentence for of_paragraph in sentences for sentence in of_paragraph]
    ids, lengths_K = tokenizer.encode(texts)
    if unknown_words:
        unknown_words.add(texts, ids, lengths_K, tokenizer)
    # A sentence of characters that the tokenizer ignores has no tokens; drop it.
    paragraph_K = np.repeat(np.arange(len(paragraphs)), list(map(len, sentences)))[lengths_K > 0]
    lengths_K = lengths_K[lengths_K > 0]
    paragraph_stop = np.cumsum([len(document.paragraphs) for document in documents])
    sentence_stop = np.searchsorted(paragraph_K, paragraph_stop)
    token_stop = np.cumsum(np.append(0, lengths_K))[sentence_stop]
    sentences_R = np.bincount(paragraph_K, minlength=len(paragraphs)).astype(np.uint32)
    tokenized = []
    for document, tokens, lengths, counts in zip(
        documents,
        np.split(ids, token_stop[:-1]),
        np.split(lengths_K, sentence_stop[:-1]),
        np.split(sentences_R, paragraph_stop[:-1]),
        strict=True,
    ):
        starts_part = np.zeros(len(counts), bool)
        starts_part[[0, *document.breaks]] = True
        tokenized.append(
            TokenizedDocument(
                id=document.id,
                tokens=tokens,
                sentence_lengths=lengths,
                paragraph_sentences=counts,
                paragraph_bytes=np.array(text_bytes(document.paragraphs), np.uint32),
                starts_part=starts_part,
            )
        )
    return tokenized


class UnitExtractor:
    """Reads one unit of input and writes its documents and hashes."""

    def __init__(self, config: BuildConfig, vocab: Vocab, contaminated: NgramFilter):
        self._config, self._vocab, self._contaminated = config, vocab, contaminated
        self._tally = accounting.new_tally()
        self._prose = accounting.new_tally()  # by file
        self._unknown_words = UnknownWordCounter(vocab)
        self._rejects: list[dict[str, Any]] = []
        self._num_documents = self._num_held_out = 0
        self._clear()

    def run(
        self,
        unit: Unit,
        *,
        name: str,
        output_dir: str,
        report: Callable[[int], None] = lambda num_bytes: None,
    ) -> dict[str, Any]:
        """Read the unit and write its two files.

        Args:
          unit: parts of files to read.
          name: name of the unit.
          output_dir: build directory.
          report: called with the stored bytes of the unit that are read, again and again.

        Returns:
          {"tally": counts by source, "prose": counts by name of the file for files with paragraphs that
          are no prose, "unknown_words": words that are [UNK], "rejects": the first thousand rejected
          documents, "documents": number of documents with text, "held_out": number of those in the
          held-out split}.

        Raises:
          UserError: a file is damaged, or changed while it was read.
        """
        documents_path, hashes_path = (files.join(output_dir, path) for path in unit_paths(name))
        with (
            files.atomic_write(documents_path) as documents_file,
            files.atomic_write(hashes_path) as hashes_file,
        ):
            writers = PartitionWriter(documents_file), PartitionWriter(hashes_file)
            batch: list[Document] = []
            num_paragraphs = 0
            for document in self._read(unit, report):
                batch.append(document)
                num_paragraphs += len(document.paragraphs)
                if num_paragraphs >= _BATCH_PARAGRAPHS:
                    self._add(batch)
                    batch, num_paragraphs = [], 0
                if self._num_bytes >= _SEGMENT_BYTES:
                    self._write_segment(*writers)
            self._add(batch)
            self._write_segment(*writers)
            for writer in writers:
                writer.close()
        return {
            "tally": accounting.add([self._tally]),
            "prose": accounting.add([self._prose]),
            "unknown_words": self._unknown_words.report(),
            "rejects": self._rejects,
            "documents": self._num_documents,
            "held_out": self._num_held_out,
        }

    def _clear(self) -> None:
        self._num_bytes = 0
        self._documents: list[list[bytes]] = [[] for _ in range(num_partitions(self._config))]
        self._paragraph_hashes: list[tuple[Any, ...]] = []
        self._document_hashes: list[tuple[Any, ...]] = []

    def _write_segment(self, documents: PartitionWriter, hashes: PartitionWriter) -> None:
        documents.write(self._documents)
        hashes.write(self._hash_partitions())
        self._clear()

    def _read(self, unit: Unit, report: Callable[[int], None]) -> Iterator[Document]:
        """Yield the documents of a unit without contaminated paragraphs; count everything else."""
        limit = self._config.max_document_bytes
        stored_bytes = 0  # of the parts before
        for part in unit:
            counts = self._tally[part.file.kind]
            counter = ByteCounter()
            kept = other = 0  # bytes
            for item in read_part(part, max_document_bytes=limit, counter=counter):
                report(stored_bytes + max(counter.stored_position - part.start, 0))
                match item:
                    case Skipped():
                        counts[accounting.SKIPPED + item.reason] += item.num_bytes
                        other += item.other_bytes
                    case Reject():
                        counts[accounting.REJECTED] += item.num_bytes
                        counts[accounting.DOCUMENTS_REJECTED] += 1
                        if len(self._rejects) < _MAX_LISTED_REJECTS:
                            self._rejects.append(dataclasses.asdict(item))
                    case Document():
                        kept += sum(text_bytes(item.paragraphs))
                        other += item.other_bytes
                        yield from self._clean(item, counts)
            if other:
                self._prose[f"{part.file.kind}/{part.file.name}"].update(
                    {accounting.PROSE_KEPT: kept, accounting.PROSE_EXPECTED: kept + other}
                )
            stored_bytes += part.stop - part.start
            # From the file's own counter, to be reconciled with the bytes of the items.
            counts[accounting.INPUT] += counter.num_bytes
            is_whole_file = (part.start, part.stop) == (0, part.file.num_bytes)
            is_stored = counter.is_of_stored_bytes
            if is_whole_file and is_stored and counter.num_bytes != part.stop:
                raise UserError(
                    f"{part.file.path} had {part.stop} bytes, but {counter.num_bytes} were read; it"
                    " must not change while it is read: build again when it is complete"
                )

    def _clean(self, document: Document, counts: collections.Counter[str]) -> Iterator[Document]:
        num_bytes = text_bytes(document.paragraphs)
        counts[accounting.SECTIONS] += document.section_bytes
        counts[accounting.MARKUP] += document.num_bytes - document.section_bytes - sum(num_bytes)
        counts[accounting.TEXT] += sum(num_bytes)
        keep = [not matches for matches in self._contaminated.matching(document.paragraphs)]
        if not all(keep):
            dropped = [n for n, is_kept in zip(num_bytes, keep, strict=True) if not is_kept]
            counts[accounting.CONTAMINATED] += sum(dropped)
            counts["paragraphs_contaminated"] += len(dropped)
            document = _without(document, keep)
        counts[accounting.READ] += 1
        if document.paragraphs:
            yield document

    def _add(self, batch: list[Document]) -> None:
        if not batch:
            return
        hashes_D = np.array([document_hash(document.id) for document in batch], np.uint64)
        for document, tokenized, hashed, partition in zip(
            batch,
            tokenize(batch, self._vocab, self._config, self._unknown_words),
            hashes_D.tolist(),
            partition_of(hashes_D, self._config).tolist(),
            strict=True,
        ):
            source = document.id.partition("/")[0]
            self._tally[source][accounting.TOKENS] += len(tokenized.tokens)
            self._tally[source][accounting.SENTENCES] += len(tokenized.sentence_lengths)
            self._num_documents += 1
            self._num_held_out += partition >= self._config.num_shards
            content = tokenized.to_bytes()
            self._documents[partition].append(content)
            self._num_bytes += len(content)
            if self._config.drop_duplicates:
                self._hash(document, hashed)

    def _hash(self, document: Document, hashed: int) -> None:
        text = "\n".join(document.paragraphs)
        is_near = self._config.near_duplicate_threshold > 0
        signature = (duplicates.signature(text),) if is_near else ()
        self._document_hashes.append((duplicates.text_hash(text), hashed, *signature))
        for number, paragraph in enumerate(document.paragraphs):
            if self._is_long(paragraph):
                self._paragraph_hashes.append((duplicates.text_hash(paragraph), hashed, number))

    def _is_long(self, paragraph: str) -> bool:
        min_words = self._config.duplicate_min_words
        # Counting spaces is fast; languages without spaces need the word splitter.
        return paragraph.count(" ") + 1 >= min_words or (
            not paragraph.isascii() and len(words(paragraph)) >= min_words
        )

    def _hash_partitions(self) -> list[list[bytes]]:
        """Return paragraphs in num_shards buckets by their hash, then all documents in one."""
        num_buckets = self._config.num_shards
        is_near = self._config.near_duplicate_threshold > 0
        paragraphs = np.array(self._paragraph_hashes, duplicates.PARAGRAPH)
        documents = np.array(
            self._document_hashes, duplicates.document_dtype(with_signature=is_near)
        )
        bucket = paragraphs["text"][:, 0] % np.uint64(num_buckets)
        order = np.argsort(bucket, kind="stable")
        split_at = np.searchsorted(bucket[order], np.arange(1, num_buckets))
        return [
            *([part.tobytes()] for part in np.split(paragraphs[order], split_at)),
            [documents.tobytes()],
        ]


def num_partitions(config: BuildConfig) -> int:
    """Return the number of shards of both splits; those of the training split come first."""
    return config.num_shards + config.num_eval_shards


def partition_of(document_hashes: np.ndarray, config: BuildConfig) -> np.ndarray:
    """Return the shard of each document, numbered through both splits.

    The upper half of a hash selects the split, the lower half the shard.

    Args:
      document_hashes: uint64 [D], from `data.hashing.document_hash`.
      config: settings of the build.

    Returns:
      int64 [D].
    """
    low = document_hashes & np.uint64(0xFFFFFFFF)
    is_eval = (document_hashes >> np.uint64(32)) < np.uint64(int(config.eval_fraction * 2**32))
    return np.where(
        is_eval,
        config.num_shards + (low % np.uint64(config.num_eval_shards)).astype(np.int64),
        (low % np.uint64(config.num_shards)).astype(np.int64),
    )


def _without(document: Document, keep: list[bool]) -> Document:
    """Return the document with the paragraphs to keep; its parts begin at the next kept one."""
    kept = [index for index, is_kept in enumerate(keep) if is_kept]
    breaks = {int(np.searchsorted(kept, index)) for index in document.breaks}
    return dataclasses.replace(
        document,
        paragraphs=tuple(document.paragraphs[index] for index in kept),
        breaks=tuple(sorted(breaks - {0, len(kept)})),
    )
