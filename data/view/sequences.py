"""Show packed sequences as text, with the masks of a copy."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from data import files, schema
from data.build_files import Shard
from data.errors import UserError
from data.hashing import derive_key
from data.manifest import Manifest
from data.read.order import permute
from data.stages.masking import MaskingRule, mask_sequences
from data.storage.records import ExampleCodec, read_examples
from data.storage.rows import RowFile
from data.vocab import Vocab

# What the model sees at a position; the first three kinds are predicted.
MASK, RANDOM, SAME = "mask", "random", "same"
PLAIN, SEPARATOR, PADDING = "plain", "separator", "padding"
PREDICTED = {MASK: "masked", RANDOM: "a random piece", SAME: "unchanged"}

# Limits of counting pieces, so that it takes less than a second. Documents are in the order of a
# hash, so the first rows of a shard are an unbiased sample of it.
_SHARDS_COUNTED, _POSITIONS_COUNTED = 64, 2**25


@dataclasses.dataclass(frozen=True, kw_only=True)
class Span:
    """Consecutive positions of one kind.

    Attributes:
      kind: one of the constants above.
      text: text that the model sees.
      label: piece to predict, if there is one.
      joins: whether the text continues the word before it.
    """

    kind: str
    text: str
    label: str = ""
    joins: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskedSequence:
    """One sequence of a split with the masks of one copy; `record` names the equal record on disk."""

    split: str
    index: int
    copy: int
    record: str | None
    spans: tuple[Span, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PieceCounts:
    """Count of each piece, int64 [V], and the number of sequences it was counted in."""

    counts: np.ndarray
    num_sequences: int
    is_sample: bool


class SequenceViewer:
    """Reads single sequences of a build and masks them as the build does."""

    def __init__(self, directory: str, manifest: Manifest):
        self._directory, self._manifest = directory, manifest
        self._vocab = manifest.load_vocab(directory)
        self._rule = MaskingRule.create(manifest.config, self._vocab)

    @property
    def vocab(self) -> Vocab:
        """The vocabulary of the build."""
        return self._vocab

    def choose(self, split: str, number: int) -> list[int]:
        """Return the indices of a few sequences of a split, the same in every call.

        Raises:
          UserError: the split is empty.
        """
        size = self._size(split)
        key = derive_key(self._manifest.config.seed, 0)
        return permute(np.arange(min(number, size)), size=size, key=key).tolist()

    def view(self, split: str, index: int, copy: int) -> MaskedSequence:
        """Return one sequence with the masks of one copy.

        Raises:
          UserError: there is no such sequence or copy, the file is damaged, or the masked record on
            disk differs from the result of the mask function.
        """
        self._check_copy(split, copy)
        shard, row = self._locate(split, index)
        tokens_1S = np.array(self._packed(shard)[row : row + 1])
        self._check_ids(shard, tokens_1S)
        features = mask_sequences(tokens_1S, np.array([copy]), self._rule)
        record = None
        if shard.masked:
            record = self._compare_with_disk(shard, row, copy, features)
        spans = spans_of(tokens_1S[0], features, self._vocab)
        return MaskedSequence(split=split, index=index, copy=copy, record=record, spans=spans)

    def count_pieces(self, split: str) -> PieceCounts:
        """Count pieces in a split, or in a sample of a large one.

        Raises:
          UserError: the counts of a shard that was read whole differ from the manifest's.
        """
        shards = self._manifest.split(split)
        shards = shards[:: -(-len(shards) // _SHARDS_COUNTED) or 1]
        positions = len(shards) * self._manifest.config.max_seq_length
        max_rows = max(1, _POSITIONS_COUNTED // max(1, positions))
        counts_V = np.zeros(len(self._vocab), np.int64)
        num_sequences = 0
        for shard in shards:
            rows_NS = self._packed(shard)[:max_rows]
            self._check_ids(shard, rows_NS)
            found_V = np.bincount(rows_NS.ravel(), minlength=len(self._vocab))
            if len(rows_NS) == shard.packed.records:
                self._check_counts(shard, found_V)
            counts_V += found_V
            num_sequences += len(rows_NS)
        is_sample = num_sequences < self._manifest.num_sequences(split)
        return PieceCounts(counts=counts_V, num_sequences=num_sequences, is_sample=is_sample)

    def _size(self, split: str) -> int:
        size = self._manifest.num_sequences(split)
        if not size:
            raise UserError(f"--split {split}: this build has no {split} sequences")
        return size

    def _check_copy(self, split: str, copy: int) -> None:
        # Evaluation always uses copy 0. Without copies on disk, training masks each epoch differently.
        copies = 1 if split == "eval" else self._manifest.config.copies
        if copy < 0 or (copies and copy >= copies):
            last = f"copies 0 to {copies - 1}" if copies > 1 else "copy 0 only"
            raise UserError(f"--copy {copy}: the {split} split has {last if copies else 'none'}")

    def _locate(self, split: str, index: int) -> tuple[Shard, int]:
        size = self._size(split)
        if not 0 <= index < size:
            raise UserError(
                f"--sequence {index}: the {split} split has {size:,} sequences, 0 to {size - 1}"
            )
        row = index
        for shard in self._manifest.split(split):
            if row < shard.packed.records:
                break
            row -= shard.packed.records
        return shard, row

    def _packed(self, shard: Shard) -> np.ndarray:
        """Return the sequences of a shard, [N, S], as a memory map."""
        path = files.join(self._directory, shard.packed.path)
        shape = (shard.packed.records, self._manifest.config.max_seq_length)
        try:
            packed_NS = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise UserError(f"{path} is damaged: {error}; copy it again or rebuild it") from error
        if packed_NS.shape != shape or packed_NS.dtype != self._vocab.token_dtype:
            raise UserError(
                f"{path} holds {packed_NS.dtype} {list(packed_NS.shape)}, the manifest says"
                f" {self._vocab.token_dtype} {list(shape)}; copy it again or rebuild it"
            )
        return packed_NS

    def _compare_with_disk(
        self, shard: Shard, row: int, copy: int, features: dict[str, Any]
    ) -> str:
        file = shard.masked[copy]
        path = files.join(self._directory, file.path)
        stored = read_examples([RowFile(path)], np.array([0]), np.array([row]), codec=self._codec)
        if (stored != self._codec.encode(features)).any():
            raise UserError(
                f"{path}: record {row} differs from row {row} of {shard.packed.path} masked as copy"
                f" {copy}; one of the files is damaged: `python -m data.build --verify"
                f" {self._directory}` finds out which"
            )
        return f"{file.path} record {row}"

    @functools.cached_property
    def _codec(self) -> ExampleCodec:
        return ExampleCodec(
            max_seq_length=self._manifest.config.max_seq_length,
            max_predictions=self._manifest.config.max_predictions,
            vocab_size=len(self._vocab),
        )

    def _check_ids(self, shard: Shard, tokens_NS: np.ndarray) -> None:
        if (largest := int(tokens_NS.max())) >= len(self._vocab):
            path = files.join(self._directory, shard.packed.path)
            raise UserError(
                f"{path} is damaged: it holds id {largest}, the vocabulary has {len(self._vocab)}"
                " pieces; copy it again or rebuild it"
            )

    def _check_counts(self, shard: Shard, counts_V: np.ndarray) -> None:
        ids = self._vocab.ids
        separators = int(counts_V[[ids[schema.CLS], ids[schema.SEP]]].sum())
        counted = {
            "tokens": int(counts_V.sum() - counts_V[ids[schema.PAD]]) - separators,
            "separators": separators,
            "unknown_tokens": int(counts_V[ids[schema.UNK]]),
        }
        expected = {name: getattr(shard, name) for name in counted}
        if counted != expected:
            path = files.join(self._directory, shard.packed.path)
            raise UserError(
                f"{path} is damaged: it holds {counted}, the manifest says {expected}; copy it again"
                " or rebuild it"
            )


def gaps(spans: Sequence[Span]) -> list[str]:
    """Return the text before each span: a newline after a separator, a space, or nothing."""
    texts = [""]
    for previous, span in itertools.pairwise(spans):
        is_end = previous.text == schema.SEP and span.kind != SEPARATOR
        texts.append("" if span.joins else "\n" if is_end else " ")
    return texts


def spans_of(tokens_S: np.ndarray, features: dict[str, Any], vocab: Vocab) -> tuple[Span, ...]:
    """Return the spans of one sequence; consecutive plain pieces form one span."""
    shown_S = features["input_word_ids"][0]
    is_predicted_P = features["masked_lm_weights"][0] > 0
    predicted = set(features["masked_lm_positions"][0][is_predicted_P].tolist())
    num_filled = int(features["input_mask"][0].sum())
    spans = [
        _span(vocab, int(tokens_S[position]), int(shown_S[position]), position in predicted)
        for position in range(num_filled)
    ]
    if padding := len(tokens_S) - num_filled:
        spans.append(Span(kind=PADDING, text=f"{schema.PAD} x {padding}"))
    merged: list[Span] = []
    for kind, group in itertools.groupby(spans, key=lambda span: span.kind):
        run = list(group)
        merged += [_joined(run)] if kind == PLAIN else run
    return tuple(merged)


def _span(vocab: Vocab, token: int, shown: int, is_predicted: bool) -> Span:
    """Return the span of one position; predicted and replaced pieces keep their "##"."""
    piece = vocab.pieces[token]
    joins = piece.startswith("##")
    if is_predicted:
        kind = SAME if shown == token else MASK if vocab.pieces[shown] == schema.MASK else RANDOM
        return Span(kind=kind, text=vocab.pieces[shown], label=piece, joins=joins)
    is_separator = piece in (schema.CLS, schema.SEP)
    return Span(kind=SEPARATOR if is_separator else PLAIN, text=piece, joins=joins)


def _joined(pieces: Sequence[Span]) -> Span:
    """Return one span with plain pieces joined into words."""
    text = "".join(p.text.removeprefix("##") if p.joins else f" {p.text}" for p in pieces)
    return Span(kind=PLAIN, text=text.removeprefix(" "), joins=pieces[0].joins)
