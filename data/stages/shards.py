"""Run the stages after reading: find duplicates, pack documents, mask sequences.

Each function reads the files of the previous stage and writes its own. The result does not depend
on the number of workers, on the order of tasks, or on retries.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from data import files, schema
from data.config import BuildConfig
from data.errors import UserError
from data.hashing import document_hash
from data.stages import accounting
from data.stages.duplicates import (
    PARAGRAPH,
    document_dtype,
    find_duplicate_documents,
    find_duplicate_paragraphs,
)
from data.stages.extract import num_partitions, partition_of, unit_paths
from data.stages.masking import MaskingRule, mask_sequences
from data.stages.packing import Layout, pack
from data.stages.shuffle_files import (
    TokenizedDocument,
    documents_from_bytes,
    read_partition,
    write_partitions,
)
from data.storage.records import ExampleCodec, write_records
from data.storage.rows import save_npy
from data.storage.sequence_sources import source_bits
from data.vocab import Vocab

DUPLICATE_DOCUMENTS = "unfinished/duplicates/documents"
_CHUNK = 256  # sequences masked and encoded in one call, so that they fit in the CPU cache


def bucket_path(bucket: int) -> str:
    """Return the file of a bucket's duplicate paragraphs, relative to the build directory."""
    return f"unfinished/duplicates/bucket-{bucket:05d}"


def write_duplicate_documents(
    output_dir: str, *, units: Sequence[str], config: BuildConfig
) -> None:
    """Find duplicate documents of all units and write their hashes: exact, then near duplicates."""
    dtype = document_dtype(with_signature=config.near_duplicate_threshold > 0)
    documents = _from_all_units(output_dir, units, config.num_shards, dtype)
    duplicates = find_duplicate_documents(documents, near_threshold=config.near_duplicate_threshold)
    write_partitions(
        files.join(output_dir, DUPLICATE_DOCUMENTS), [[hashes.tobytes()] for hashes in duplicates]
    )


def write_duplicate_paragraphs(
    output_dir: str, bucket: int, *, units: Sequence[str], config: BuildConfig
) -> None:
    """Find the duplicate paragraphs in a bucket of hashes and write them, partitioned by shard."""
    paragraphs = _from_all_units(output_dir, units, bucket, PARAGRAPH)
    dropped = np.sort(np.concatenate(_duplicate_documents(output_dir)))
    duplicates = find_duplicate_paragraphs(paragraphs, dropped)
    partition = partition_of(duplicates["document"], config)
    write_partitions(
        files.join(output_dir, bucket_path(bucket)),
        [[duplicates[partition == index].tobytes()] for index in range(num_partitions(config))],
    )


def write_packed_shard(
    output_dir: str,
    split: str,
    shard: int,
    *,
    units: Sequence[str],
    config: BuildConfig,
    vocab: Vocab,
) -> dict[str, Any]:
    """Pack the documents of a shard and write its sequences and their sources.

    Args:
      output_dir: build directory.
      split: "train" or "eval".
      shard: number of the shard in its split.
      units: names of the units of input.
      config: settings of the build.
      vocab: vocabulary of the build.

    Returns:
      Counts of the shard, see data.manifest.Shard, and its tally. If the shard has no text, "records"
      is 0 and no file is written.

    Raises:
      UserError: two documents have the same id.
    """
    partition = shard + (config.num_shards if split == "eval" else 0)
    documents, hashed_D = _documents_of(output_dir, partition, units, vocab.token_dtype)
    if not documents:
        return {"tally": {}, "records": 0}
    arrays = _DocumentArrays(documents)
    fate_R = _fates(arrays, hashed_D, output_dir, partition, config)
    tally = arrays.tally(fate_R)
    is_packed_R = fate_R == accounting.FATES.index(accounting.PACKED)
    tokens_T, lengths_K, starts_part_K, source_T = arrays.sentences_of(is_packed_R)
    if not len(tokens_T):
        return {"tally": tally, "records": 0}
    packed_NS = pack(tokens_T, lengths_K, starts_part_K, Layout.create(config, vocab))
    # From here on, counts are taken from the packed array: a token lost in packing is noticed.
    is_separator_NS = np.isin(packed_NS, [vocab.ids[piece] for piece in (schema.CLS, schema.SEP)])
    is_token_NS = packed_NS != vocab.ids[schema.PAD]
    text_tokens_N = (is_token_NS & ~is_separator_NS).sum(axis=1)
    for path, array in (
        (schema.packed_path(split, shard), packed_NS),
        (schema.sources_path(split, shard), source_bits(source_T, text_tokens_N)),
    ):
        with files.atomic_write(files.join(output_dir, path)) as file:
            save_npy(file, array)
    return {
        "tally": tally,
        "records": len(packed_NS),
        "documents": len(np.unique(arrays.document_R[is_packed_R])),
        "sentences": len(lengths_K),
        "tokens": int(text_tokens_N.sum()),
        "separators": int(is_separator_NS.sum()),
        "unknown_tokens": int((packed_NS == vocab.ids[schema.UNK]).sum()),
        "sentence_lengths": accounting.histogram(lengths_K, max_seq_length=config.max_seq_length),
        "sequence_lengths": accounting.histogram(
            is_token_NS.sum(axis=1), max_seq_length=config.max_seq_length
        ),
        "source_names": arrays.sources.tolist(),
    }


def write_masked_copy(
    output_dir: str, split: str, shard: int, copy: int, *, config: BuildConfig, vocab: Vocab
) -> dict[str, Any]:
    """Mask the sequences of a packed shard and write them as one masked copy.

    Returns:
      {"records": number of sequences}.
    """
    packed_path = files.join(output_dir, schema.packed_path(split, shard))
    with files.open_read(packed_path) as file:
        packed_NS = np.load(file, allow_pickle=False)
    rule = MaskingRule.create(config, vocab)
    codec = ExampleCodec(
        max_seq_length=config.max_seq_length,
        max_predictions=config.max_predictions,
        vocab_size=len(vocab),
    )

    def chunks() -> Iterator[np.ndarray]:
        for start in range(0, len(packed_NS), _CHUNK):
            tokens = packed_NS[start : start + _CHUNK]
            yield codec.encode(mask_sequences(tokens, np.full(len(tokens), copy), rule))

    path = files.join(output_dir, schema.masked_path(split, shard, copy))
    with files.atomic_write(path) as file:
        write_records(file, chunks())
    return {"records": len(packed_NS)}


def _documents_of(
    output_dir: str, partition: int, units: Sequence[str], token_dtype: np.dtype
) -> tuple[list[TokenizedDocument], np.ndarray]:
    """Return the documents of a shard and their hashes, sorted by hash."""
    documents = [
        document
        for unit in units
        for document in documents_from_bytes(
            read_partition(files.join(output_dir, unit_paths(unit)[0]), partition), token_dtype
        )
    ]
    hashed_D = np.array([document_hash(document.id) for document in documents], np.uint64)
    order = np.argsort(hashed_D, kind="stable")
    documents, hashed_D = [documents[i] for i in order], hashed_D[order]
    for index in np.flatnonzero(hashed_D[1:] == hashed_D[:-1]):
        first, second = documents[index].id, documents[index + 1].id
        if first == second:
            raise UserError(
                f"document {first} occurs twice; give every dump and every file once, and every line"
                " of JSON a unique id"
            )
        raise UserError(f"documents {first} and {second} have the same 64-bit hash; rename one")
    return documents, hashed_D


class _DocumentArrays:
    """All documents of a shard as arrays: T tokens, K sentences, R paragraphs, D documents."""

    def __init__(self, documents: Sequence[TokenizedDocument]):
        self.tokens_T = np.concatenate([document.tokens for document in documents])
        self.lengths_K = np.concatenate([document.sentence_lengths for document in documents])
        self.bytes_R = np.concatenate([document.paragraph_bytes for document in documents])
        starts_part_R = np.concatenate([document.starts_part for document in documents])
        sentences_R = np.concatenate([document.paragraph_sentences for document in documents])
        self.paragraphs_D = np.array([len(document.starts_part) for document in documents])
        self.part_R = np.cumsum(starts_part_R)
        self.paragraph_K = np.repeat(np.arange(len(sentences_R)), sentences_R)
        self.sources, source_D = np.unique(
            [document.id.partition("/")[0] for document in documents], return_inverse=True
        )
        self.document_R = np.repeat(np.arange(len(documents)), self.paragraphs_D)
        self.source_R = source_D[self.document_R]

    def sentences_of(self, keep_R: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return the sentences of the paragraphs to keep.

        Args:
          keep_R: bool, paragraphs to keep.

        Returns:
          (tokens_T, lengths_K, starts_part_K, source_T): ids, tokens of each sentence, whether it is
          the first of a document or chapter, and the source of each token.
        """
        keep_K = keep_R[self.paragraph_K]
        tokens_T = self.tokens_T[np.repeat(keep_K, self.lengths_K)]
        part_K = self.part_R[self.paragraph_K[keep_K]]
        starts_part_K = np.diff(part_K, prepend=-1) != 0
        source_T = np.repeat(self.source_R[self.paragraph_K[keep_K]], self.lengths_K[keep_K])
        return tokens_T, self.lengths_K[keep_K], starts_part_K, source_T

    def tally(self, fate_R: np.ndarray) -> dict[str, dict[str, int]]:
        """Count bytes, tokens, paragraphs and documents by source and fate."""
        num_paragraphs = len(fate_R)
        tokens_R = np.bincount(self.paragraph_K, weights=self.lengths_K, minlength=num_paragraphs)
        tally = accounting.new_tally()
        for source, fate in itertools.product(range(len(self.sources)), range(4)):
            chosen_R = (self.source_R == source) & (fate_R == fate)
            name = accounting.FATES[fate]
            tally[str(self.sources[source])].update(
                {
                    f"bytes_{name}": int(self.bytes_R[chosen_R].sum()),
                    f"tokens_{name}": int(tokens_R[chosen_R].sum()),
                    f"paragraphs_{name}": int(chosen_R.sum()),
                    f"documents_{name}": len(np.unique(self.document_R[chosen_R])),
                }
            )
        return accounting.add([tally])


def _fates(
    arrays: _DocumentArrays,
    hashed_D: np.ndarray,
    output_dir: str,
    partition: int,
    config: BuildConfig,
) -> np.ndarray:
    """Return what becomes of each paragraph: indices into accounting.FATES, int [R]."""
    packed = accounting.FATES.index(accounting.PACKED)
    fate_R = np.full(len(arrays.bytes_R), packed)
    if not config.drop_duplicates:
        return fate_R
    first_paragraph_D = np.cumsum(arrays.paragraphs_D) - arrays.paragraphs_D
    for bucket in range(config.num_shards):
        content = read_partition(files.join(output_dir, bucket_path(bucket)), partition)
        repeated = np.frombuffer(content, PARAGRAPH)
        document = np.searchsorted(hashed_D, repeated["document"])
        assert (hashed_D[document] == repeated["document"]).all()
        rows = first_paragraph_D[document] + repeated["paragraph"]
        fate_R[rows] = accounting.FATES.index(accounting.PARAGRAPH)
    exact, near = _duplicate_documents(output_dir)
    hashed_R = hashed_D[arrays.document_R]
    fate_R[np.isin(hashed_R, near)] = accounting.FATES.index(accounting.NEAR)
    fate_R[np.isin(hashed_R, exact)] = accounting.FATES.index(accounting.EXACT)
    return fate_R


def _from_all_units(
    output_dir: str, units: Sequence[str], partition: int, dtype: np.dtype
) -> np.ndarray:
    """Read one partition of the hash files of all units."""
    paths = [files.join(output_dir, unit_paths(unit)[1]) for unit in units]
    return np.concatenate([np.frombuffer(read_partition(path, partition), dtype) for path in paths])


def _duplicate_documents(output_dir: str) -> list[np.ndarray]:
    """Return the sorted hashes of exact and of near duplicates."""
    path = files.join(output_dir, DUPLICATE_DOCUMENTS)
    return [np.frombuffer(read_partition(path, index), np.uint64) for index in (0, 1)]
