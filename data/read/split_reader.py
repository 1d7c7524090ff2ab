"""Read masked examples of one split by sequence and copy.

Legend: B sequences of one replica's part of a batch, S tokens, P predictions.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from data.errors import UserError
from data.manifest import DataFile, Manifest
from data.stages.masking import MaskingRule, mask_sequences
from data.storage.records import ExampleCodec, read_examples
from data.storage.rows import RowFile, open_npy, read_rows


class SplitReader:
    """Masked examples of one split by (sequence, copy), from either form of storage.

    Only the rows that a batch shows are read, and no file stays open.
    """

    def __init__(self, directory: str | os.PathLike, manifest: Manifest, split: str, masks: str):
        """Checks what can be checked before the first batch.

        Args:
          directory: the build directory.
          manifest: its manifest.
          split: "train" or "eval".
          masks: "materialised" or "online".

        Raises:
          UserError: the split is empty, its masked copies were not built, the vocabulary is another
            one, or (online) a packed shard does not match its sha256. Materialised records are
            checked when they are read.
        """
        manifest.require_masks(masks)
        self._error: UserError | None = None
        self.num_sequences = manifest.num_sequences(split)
        if not self.num_sequences:
            raise UserError(
                f"{directory} has no {split} sequences; build it with a larger"
                " BuildConfig.eval_fraction, or with more text"
            )
        vocab = manifest.load_vocab(directory)
        config, shards = manifest.config, manifest.split(split)
        self.first_row = np.cumsum([0] + [shard.packed.records for shard in shards])
        self.copies = len(shards[0].masked)
        self.max_seq_length = config.max_seq_length
        self.token_dtype = vocab.token_dtype
        self.rule = MaskingRule.create(config, vocab)
        self.codec = ExampleCodec(
            max_seq_length=config.max_seq_length,
            max_predictions=config.max_predictions,
            vocab_size=len(vocab),
        )
        # Values that index a table on the device.
        self.bounds = {
            "input_word_ids": len(vocab),
            "masked_lm_ids": len(vocab),
            "masked_lm_positions": config.max_seq_length,
            "input_type_ids": 1,  # a sequence is of one segment
        }
        self.is_online = masks == "online"
        if self.is_online:
            self.files = [self._packed_file(directory, shard.packed) for shard in shards]
        else:
            self.files = [
                RowFile(os.path.join(directory, shard.masked[copy].path))
                for copy in range(self.copies)
                for shard in shards
            ]

    def read(self, index: np.ndarray, epoch: np.ndarray) -> dict[str, np.ndarray]:
        """Reads examples.

        Args:
          index: int64 [B], sequences of the split.
          epoch: int64 [B]; epoch e shows masked copy e modulo the number of copies.

        Returns:
          The features of schema.FEATURES, [B, S] or [B, P], int32 and float32.

        Raises:
          UserError: a file is missing, too short or damaged, or holds an id that the vocabulary
            does not have.
        """
        try:
            return self._read(index, epoch)
        except UserError as error:
            self._error = error
            raise

    @contextlib.contextmanager
    def reraise_reader_errors(self) -> Iterator[None]:
        """Re-raise reader errors that TensorFlow has wrapped."""
        try:
            yield
        except tf.errors.OpError:
            if self._error is None:
                raise
            raise self._error from None

    def _read(self, index: np.ndarray, epoch: np.ndarray) -> dict[str, np.ndarray]:
        shard = np.searchsorted(self.first_row, index, side="right") - 1
        row = index - self.first_row[shard]
        copy = epoch % self.copies if self.copies else epoch
        if self.is_online:
            row_bytes = self.max_seq_length * self.token_dtype.itemsize
            rows = read_rows(self.files, shard, row, row_bytes=row_bytes)
            tokens_BS = rows.view(self.token_dtype)
            self._check_below("input_word_ids", tokens_BS, shard, row)
            return mask_sequences(tokens_BS, copy, self.rule)
        file = copy * (len(self.first_row) - 1) + shard
        features = self.codec.decode(read_examples(self.files, file, row, codec=self.codec))
        for name in self.bounds:
            self._check_below(name, features[name], file, row)
        return features

    def _packed_file(self, directory: str | os.PathLike, packed: DataFile) -> RowFile:
        packed.check_content(directory)
        shape = (packed.records, self.max_seq_length)
        return open_npy(Path(directory, packed.path), shape=shape, dtype=self.token_dtype)

    def _check_below(
        self, name: str, values: np.ndarray, file: np.ndarray, row: np.ndarray
    ) -> None:
        """On an accelerator an index out of range would be clamped silently."""
        bound = self.bounds[name]
        # Negative numbers are large ones in an unsigned type.
        signed, values = values.dtype, values.view(f"u{values.itemsize}")
        if values.max(initial=0) >= bound:
            n = int(np.flatnonzero((values >= bound).any(axis=1))[0])
            wrong = np.unique(values[n][values[n] >= bound].view(signed))
            raise UserError(
                f"{self.files[file[n]].path}: record {row[n]} has a value outside [0, {bound}) in"
                f" {name}: {', '.join(map(str, wrong[:5]))}; copy it again or build it anew"
            )
