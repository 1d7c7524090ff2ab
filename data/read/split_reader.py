"""Read masked examples of one split: sequence numbers in, features out.

    (index, epoch)    which sequences, in which epoch           int64 [B]
    (file, row)       where they are stored                     int64 [B]
    bytes             those rows and nothing else               uint8 [B, bytes of a row]
    features          decoded, or masked here                   int32, float32 [B, S] or [B, P]

A build stores masked copies as TFRecords (InputConfig.masks = "materialised"), packed sequences
without masks ("online"), or both. Both give the same features.

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
from data.manifest import Manifest, Shard
from data.stages.masking import MaskingRule, mask_sequences
from data.storage.records import ExampleCodec, read_examples
from data.storage.rows import RowFile, open_npy, read_rows

Features = dict[str, np.ndarray]


class SplitReader:
    """Masked examples of one split by (index, epoch). Between reads no file is open.

    Attributes:
      num_sequences: sequences in the split.
      is_online: whether packed sequences are masked while reading.
      copies: masked copies of each sequence in the build; 0 if there are none.
      files: the packed shards if is_online; else the masked shards of copy 0, those of copy 1, ...
      shard_starts: index of the first sequence of each shard, then num_sequences: int64 [shards + 1].
      max_seq_length: S.
      token_dtype: type of a stored token.
      rule: masking rule of the build.
      codec: format of the masked records.
      bounds: exclusive upper bound of each feature that indexes a table on the device.
    """

    def __init__(
        self, directory: str | os.PathLike[str], manifest: Manifest, split: str, masks: str
    ):
        """Open a split and check what can be checked before the first batch.

        Args:
          directory: build directory.
          manifest: manifest of the build.
          split: "train" or "eval".
          masks: "materialised" or "online".

        Raises:
          UserError: the split is empty, its masked copies were not built, the vocabulary differs
            from the manifest's, or (online) a packed shard does not match its sha256. Masked
            records are checked when they are read.
        """
        manifest.require_masks(masks)
        self.num_sequences = manifest.num_sequences(split)
        if not self.num_sequences:
            raise UserError(
                f"{directory} has no {split} sequences; build it with a larger"
                " BuildConfig.eval_fraction, or with more text"
            )
        config, shards = manifest.config, manifest.split(split)
        vocab = manifest.load_vocab(directory)
        self.is_online = masks == "online"
        self.copies = len(shards[0].masked)
        self.shard_starts = np.cumsum([0] + [shard.packed.records for shard in shards])
        self.max_seq_length = config.max_seq_length
        self.token_dtype = vocab.token_dtype
        self.rule = MaskingRule.create(config, vocab)
        self.codec = ExampleCodec.of_build(manifest)
        self.bounds = {
            "input_word_ids": len(vocab),
            "masked_lm_ids": len(vocab),
            "masked_lm_positions": config.max_seq_length,
            "input_type_ids": 1,  # a sequence has one segment
        }
        if self.is_online:
            self.files = [self._open_packed(directory, shard) for shard in shards]
        else:
            self.files = [
                RowFile(os.path.join(directory, shard.masked[copy].path))
                for copy in range(self.copies)
                for shard in shards
            ]
        self._error: UserError | None = None

    def read(self, index: np.ndarray, epoch: np.ndarray) -> Features:
        """Read examples.

        Args:
          index: int64 [B], sequences of the split.
          epoch: int64 [B]; epoch e shows masked copy e modulo the number of copies.

        Returns:
          The features of schema.FEATURES, [B, S] or [B, P], int32 and float32.

        Raises:
          UserError: a file is missing, truncated or damaged, or holds an id outside the vocabulary.
        """
        shard = np.searchsorted(self.shard_starts, index, side="right") - 1
        row = index - self.shard_starts[shard]
        copy = epoch % self.copies if self.copies else epoch
        try:
            if self.is_online:
                return self._mask_packed(shard, row, copy)
            return self._decode_masked(shard, row, copy)
        except UserError as error:
            self._error = error  # TensorFlow keeps only its text
            raise

    @contextlib.contextmanager
    def reraise_reader_errors(self) -> Iterator[None]:
        """Re-raise errors of `read` that TensorFlow has wrapped."""
        try:
            yield
        except tf.errors.OpError:
            if self._error is None:
                raise
            raise self._error from None

    def _mask_packed(self, shard: np.ndarray, row: np.ndarray, copy: np.ndarray) -> Features:
        row_bytes = self.max_seq_length * self.token_dtype.itemsize
        tokens_BS = read_rows(self.files, shard, row, row_bytes=row_bytes).view(self.token_dtype)
        self._check_bound("input_word_ids", tokens_BS, shard, row)
        return mask_sequences(tokens_BS, copy, self.rule)

    def _decode_masked(self, shard: np.ndarray, row: np.ndarray, copy: np.ndarray) -> Features:
        num_shards = len(self.shard_starts) - 1
        file = copy * num_shards + shard
        features = self.codec.decode(read_examples(self.files, file, row, codec=self.codec))
        for name in self.bounds:
            self._check_bound(name, features[name], file, row)
        return features

    def _check_bound(
        self, name: str, values: np.ndarray, file: np.ndarray, row: np.ndarray
    ) -> None:
        """Raise a UserError if a value is out of range: accelerators clamp indices silently."""
        bound = self.bounds[name]
        # As unsigned integers, negative values are large ones.
        signed, values = values.dtype, values.view(f"u{values.itemsize}")
        if values.max(initial=0) >= bound:
            n = int(np.flatnonzero((values >= bound).any(axis=1))[0])
            wrong = np.unique(values[n][values[n] >= bound].view(signed))
            raise UserError(
                f"{self.files[file[n]].path}: record {row[n]} has a value outside [0, {bound}) in"
                f" {name}: {', '.join(map(str, wrong[:5]))}; copy it again or rebuild it"
            )

    def _open_packed(self, directory: str | os.PathLike[str], shard: Shard) -> RowFile:
        packed = shard.packed
        packed.check_content(directory)
        shape = (packed.records, self.max_seq_length)
        return open_npy(Path(directory, packed.path), shape=shape, dtype=self.token_dtype)
