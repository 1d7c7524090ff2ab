"""The build as a Beam pipeline: labelled transforms around the pure functions of this package.

    files > documents > token ids > (split, shard) > packed sequences > masked copies > manifest

The output depends on nothing but the input and the configuration: documents are assigned to shards
and sorted in them by a hash of their id, never by arrival. The masked copies are made after the
only shuffle of text, from packed sequences of two bytes a token.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import apache_beam as beam
import numpy as np

from data import schema
from data.config import BuildConfig
from data.documents import Document, InputFile, Reject
from data.errors import UserError
from data.files import atomic_path, write_atomically
from data.hashing import document_hash
from data.manifest import DataFile, Manifest, Shard
from data.masking import MaskingRule, mask_sequences
from data.packing import pack, pad
from data.records import ExampleCodec, write_records
from data.sentences import split_sentences
from data.sources import read_input
from data.vocab import Vocab
from data.wordpiece import WordPieceTokenizer

_CHUNK = 1024  # sequences masked and encoded at once

# (split, shard): documents that are packed together.
ShardKey = tuple[str, int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildPlan:
    """What every worker needs to know."""

    config: BuildConfig
    vocab: Vocab
    output_dir: str
    inputs: tuple[InputFile, ...]
    inputs_described: tuple[dict, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenizedDocument:
    """Token ids of a document; small and quick to pickle, since this is what is shuffled."""

    id: str
    ids: bytes
    sentence_lengths: bytes


class BuildCorpus(beam.PTransform):
    """The whole build. Writes the shards, the rejects, and last of all the manifest."""

    def __init__(self, plan: BuildPlan):
        super().__init__()
        self._plan = plan

    def expand(self, pipeline):
        """Wires the stages."""
        plan = self._plan
        read = (
            pipeline
            | "Inputs" >> beam.Create(plan.inputs)
            | "Spread" >> beam.Reshuffle()
            | "Read" >> beam.FlatMap(read_tagged).with_outputs("rejects", main="documents")
        )
        shards = (
            read.documents
            | "Tokenize" >> beam.ParDo(Tokenize(plan))
            | "GroupByShard" >> beam.GroupByKey()
            | "Pack" >> beam.Map(write_packed_shard, plan=plan)
        )
        # Before the copies, which are most of the work and of the storage.
        sound = (
            pipeline
            | "Corpus" >> beam.Create([plan])
            | "Check"
            >> beam.Map(
                check_corpus,
                shards=beam.pvalue.AsList(shards),
                rejects=beam.pvalue.AsList(read.rejects),
            )
        )
        copies = (
            shards
            | "Copies" >> beam.FlatMap(copies_of, plan=plan, after=beam.pvalue.AsList(sound))
            | "SpreadCopies" >> beam.Reshuffle()
            | "Mask" >> beam.Map(write_masked_copy, plan=plan)
        )
        return (
            pipeline
            | "Last" >> beam.Create([plan])
            | "Manifest"
            >> beam.Map(
                write_manifest,
                shards=beam.pvalue.AsList(shards),
                copies=beam.pvalue.AsList(copies),
                rejects=beam.pvalue.AsList(read.rejects),
            )
        )


def read_tagged(file: InputFile) -> Iterator[Document | beam.pvalue.TaggedOutput]:
    """Documents of one file to the main output, rejects to their own."""
    for item in read_input(file):
        yield beam.pvalue.TaggedOutput("rejects", item) if isinstance(item, Reject) else item


class Tokenize(beam.DoFn):
    """Sentences and token ids of a document, keyed by the shard the document belongs to."""

    def __init__(self, plan: BuildPlan):
        super().__init__()
        self._plan = plan

    def setup(self):
        """Loads the tokenizer once a worker."""
        lower_case = self._plan.config.lower_case
        self._tokenizer = WordPieceTokenizer(self._plan.vocab, lower_case=lower_case)

    def process(self, document: Document) -> Iterator[tuple[ShardKey, TokenizedDocument]]:
        """Tokenizes one document; one without a single piece yields nothing."""
        encoded = self._tokenizer.encode(split_sentences(document.paragraphs))
        sentences = [ids for ids in encoded if len(ids)]
        if sentences:
            tokenized = TokenizedDocument(
                id=document.id,
                ids=np.concatenate(sentences).tobytes(),
                sentence_lengths=np.array([len(ids) for ids in sentences], np.uint32).tobytes(),
            )
            yield shard_of(document.id, self._plan.config), tokenized


def shard_of(document_id: str, config: BuildConfig) -> ShardKey:
    """Split and shard of a document: a function of its id alone."""
    hashed = document_hash(document_id)
    # The upper half of the hash decides the split, the lower half the shard.
    if (hashed >> 32) < math.floor(config.eval_fraction * 2**32):
        return "eval", (hashed & 0xFFFFFFFF) % config.num_eval_shards
    return "train", (hashed & 0xFFFFFFFF) % config.num_shards


def write_packed_shard(
    group: tuple[ShardKey, Iterable[TokenizedDocument]], *, plan: BuildPlan
) -> Shard:
    """Packs the documents of a shard and writes their sequences."""
    (split, shard), documents = group
    vocab, config = plan.vocab, plan.config
    ordered = sorted(documents, key=lambda document: (document_hash(document.id), document.id))
    for previous, document in itertools.pairwise(ordered):
        if previous.id == document.id:
            raise UserError(
                f"document {document.id} occurs twice; give every dump and every book once"
            )
    sentences = [_sentences(document, vocab.token_dtype) for document in ordered]
    sequences = list(
        pack(
            sentences,
            max_seq_length=config.max_seq_length,
            cls_id=vocab.ids[schema.CLS],
            sep_id=vocab.ids[schema.SEP],
        )
    )
    packed_NS = pad(
        sequences,
        max_seq_length=config.max_seq_length,
        pad_id=vocab.ids[schema.PAD],
        dtype=vocab.token_dtype,
    )
    path = schema.packed_path(split, shard)
    with atomic_path(Path(plan.output_dir, path)) as temporary, temporary.open("wb") as file:
        np.save(file, packed_NS, allow_pickle=False)
    sources = [document.id.partition("/")[0] for document in ordered]
    return Shard(
        split=split,
        shard=shard,
        documents={source: sources.count(source) for source in sorted(set(sources))},
        sentences=sum(map(len, sentences)),
        tokens=sum(len(ids) for document in sentences for ids in document),
        unknown_tokens=int((packed_NS == vocab.ids[schema.UNK]).sum()),
        packed=DataFile.describe(plan.output_dir, path, records=len(packed_NS)),
    )


def copies_of(shard: Shard, *, plan: BuildPlan, after: list) -> Iterator[tuple[Shard, int]]:
    """The masked copies to write: all for training, one for evaluation (its masks are fixed).

    `after` is what must have happened before.
    """
    del after
    copies = plan.config.copies if shard.split == "train" else min(1, plan.config.copies)
    for copy in range(copies):
        yield shard, copy


def write_masked_copy(
    shard_and_copy: tuple[Shard, int], *, plan: BuildPlan
) -> tuple[ShardKey, DataFile]:
    """Masks the sequences of a shard as one copy and writes them."""
    shard, copy = shard_and_copy
    packed_NS = np.load(Path(plan.output_dir, shard.packed.path), mmap_mode="r", allow_pickle=False)
    rule = MaskingRule.create(plan.config, plan.vocab)
    codec = ExampleCodec(
        max_seq_length=plan.config.max_seq_length,
        max_predictions=plan.config.max_predictions,
        vocab_size=len(plan.vocab),
    )

    def chunks():
        for start in range(0, len(packed_NS), _CHUNK):
            tokens = packed_NS[start : start + _CHUNK]
            yield codec.encode(mask_sequences(tokens, np.full(len(tokens), copy), rule))

    path = schema.masked_path(shard.split, shard.shard, copy)
    with atomic_path(Path(plan.output_dir, path)) as temporary:
        write_records(temporary, chunks())
    file = DataFile.describe(plan.output_dir, path, records=len(packed_NS))
    return (shard.split, shard.shard), file


def check_corpus(plan: BuildPlan, *, shards: list[Shard], rejects: list[Reject]) -> None:
    """Writes the rejects, and stops a build that would be unsound.

    Raises:
      UserError: too many documents were refused, too many tokens are unknown, or a split has no
        sequence.
    """
    lines = sorted(json.dumps(dataclasses.asdict(reject), sort_keys=True) for reject in rejects)
    rejects_path = Path(plan.output_dir, schema.REJECTS_FILE)
    write_atomically(rejects_path, "".join(f"{line}\n" for line in lines).encode())

    config = plan.config
    num_documents = sum(sum(shard.documents.values()) for shard in shards)
    if len(rejects) > config.max_reject_fraction * (num_documents + len(rejects)):
        raise UserError(
            f"{len(rejects)} of {num_documents + len(rejects)} documents were refused, more than"
            f" BuildConfig.max_reject_fraction={config.max_reject_fraction}; {rejects_path} says why"
        )
    num_tokens = sum(shard.tokens for shard in shards)
    num_unknown = sum(shard.unknown_tokens for shard in shards)
    if num_unknown > config.max_unknown_fraction * num_tokens:
        raise UserError(
            f"{num_unknown} of {num_tokens} tokens are [UNK], more than"
            f" BuildConfig.max_unknown_fraction={config.max_unknown_fraction}; is the vocabulary of"
            f" this language, and BuildConfig.lower_case={config.lower_case} right for it?"
        )
    splits = {shard.split for shard in shards}
    if "train" not in splits:
        raise UserError(
            f"no training sequence was made of {len(plan.inputs)} input files ({num_documents}"
            " documents with text); give more text or a smaller BuildConfig.eval_fraction"
        )
    if config.eval_fraction > 0 and "eval" not in splits:
        raise UserError(
            f"none of the {num_documents} documents fell into the held-out split with"
            f" BuildConfig.eval_fraction={config.eval_fraction}; raise it, or set it to 0 for none"
        )


def write_manifest(
    plan: BuildPlan,
    *,
    shards: list[Shard],
    copies: list[tuple[ShardKey, DataFile]],
    rejects: list[Reject],
) -> None:
    """Declares the build finished."""
    masked: dict[ShardKey, list[DataFile]] = {}
    for key, file in copies:
        masked.setdefault(key, []).append(file)
    complete = [
        dataclasses.replace(
            shard,
            masked=tuple(
                sorted(masked.get((shard.split, shard.shard), ()), key=lambda file: file.path)
            ),
        )
        for shard in sorted(shards, key=lambda shard: (shard.split, shard.shard))
    ]
    Manifest(
        config=plan.config,
        vocab_pieces=len(plan.vocab),
        vocab_sha256=plan.vocab.sha256,
        inputs=plan.inputs_described,
        rejected=len(rejects),
        shards=tuple(complete),
    ).write(plan.output_dir)


def _sentences(document: TokenizedDocument, dtype: np.dtype) -> list[np.ndarray]:
    ids = np.frombuffer(document.ids, dtype)
    lengths = np.frombuffer(document.sentence_lengths, np.uint32)
    return np.split(ids, np.cumsum(lengths)[:-1])
