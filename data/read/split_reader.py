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
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from data import schema
from data.build_files import Shard
from data.errors import UserError
from data.manifest import Manifest
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
      cls_id: id of [CLS], the first token of every sequence.
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
        self.cls_id = vocab.ids[schema.CLS]
        self.bounds = {
            "input_word_ids": len(vocab),
            "masked_lm_ids": len(vocab),
            "masked_lm_positions": config.max_seq_length,
            "input_type_ids": 1,  # a sequence has one segment
        }
        if self.is_online:
            self.files = [self._open_packed(directory, shard) for shard in shards]
        else:
            self._check_record_sizes(directory, shards)
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
        """Re-raise errors of `read` that TensorFlow has wrapped, and explain those of the graph reader.

        Raises:
          UserError: a record could not be read; the message names file and record.
        """
        try:
            yield
        except tf.errors.OpError as error:
            if self._error is None:
                self._explain(error.message)
                raise
            raise self._error from None

    def _explain(self, message: str) -> None:
        """Raise a UserError for an error of the graph reader by reading the record again.

        Nothing is raised if the error has nothing to do with the files.

        Args:
          message: TensorFlow's message. Checks of the graph reader name file and row.
        """
        for number, file in enumerate(self.files):
            if not os.path.isfile(file.path):
                raise UserError(f"{file.path} cannot be read: No such file or directory")
            num_rows = int(np.diff(self.shard_starts)[number % (len(self.shard_starts) - 1)])
            if os.path.getsize(file.path) < file.first_byte + num_rows * self.row_bytes:
                self._read_stored(np.array([number]), np.array([num_rows - 1]))
        if place := re.search(r"assertion failed: \[([^]]*)\] \[(\d+)\] \[(\d+)\]", message):
            problem, number, row = place[1], int(place[2]), int(place[3])
            self._read_stored(np.array([number]), np.array([row]))
            raise UserError(
                f"{self.files[number].path}: record {row} is damaged ({problem}) on another host;"
                " copy it again there"
            )

    @property
    def row_bytes(self) -> int:
        """R, the bytes of a stored sequence: a row of a packed shard, or a masked record."""
        if self.is_online:
            return self.max_seq_length * self.token_dtype.itemsize
        return self.codec.record_bytes

    def _mask_packed(self, shard: np.ndarray, row: np.ndarray, copy: np.ndarray) -> Features:
        return mask_sequences(self._read_stored(shard, row), copy, self.rule)

    def _decode_masked(self, shard: np.ndarray, row: np.ndarray, copy: np.ndarray) -> Features:
        return self._read_stored(copy * (len(self.shard_starts) - 1) + shard, row)

    def _read_stored(self, file: np.ndarray, row: np.ndarray) -> Any:
        """Return packed tokens [B, S] if is_online, else the features of masked records, checked."""
        if self.is_online:
            rows_BR = read_rows(self.files, file, row, row_bytes=self.row_bytes)
            tokens_BS = rows_BR.view(self.token_dtype)
            self._check_bound("input_word_ids", tokens_BS, file, row)
            self._check_layout(tokens_BS, file, row)
            return tokens_BS
        features = self.codec.decode(read_examples(self.files, file, row, codec=self.codec))
        for name in self.bounds:
            self._check_bound(name, features[name], file, row)
        self._check_weights(features["masked_lm_weights"], file, row)
        return features

    def _check_layout(self, tokens_BS: np.ndarray, file: np.ndarray, row: np.ndarray) -> None:
        """Raise a UserError if a row is not a packed sequence: zeros, or bytes of something else.

        The sha256 of the file was checked at the start; the file may have changed since.
        """
        is_pad_BS = tokens_BS == self.rule.pad_id
        is_wrong_B = tokens_BS[:, 0] != self.cls_id
        is_wrong_B |= (is_pad_BS[:, :-1] & ~is_pad_BS[:, 1:]).any(axis=1)
        for n in np.flatnonzero(is_wrong_B)[:1]:
            raise UserError(
                f"{self.files[file[n]].path}: record {row[n]} is not a packed sequence (its first ids"
                f" are {', '.join(map(str, tokens_BS[n, :4]))}); the file has changed since the"
                " start: copy it again or rebuild it"
            )

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

    def _check_weights(self, weights_BP: np.ndarray, file: np.ndarray, row: np.ndarray) -> None:
        """Raise a UserError if a weight is not 0 or 1: another one, or NaN, would change the loss."""
        bits_BP, bits_of_1 = weights_BP.view(np.int32), np.float32(1).view(np.int32)
        is_wrong_BP = (bits_BP != 0) & (bits_BP != bits_of_1)  # -0.0 is wrong, too
        for n in np.flatnonzero(is_wrong_BP.any(axis=1))[:1]:
            wrong = np.unique(weights_BP[n][is_wrong_BP[n]])
            raise UserError(
                f"{self.files[file[n]].path}: record {row[n]} has a value other than 0 and 1 in"
                f" masked_lm_weights: {', '.join(map(str, wrong[:5]))}; copy it again or rebuild it"
            )

    def _check_record_sizes(
        self, directory: str | os.PathLike[str], shards: Sequence[Shard]
    ) -> None:
        for file in (file for shard in shards for file in shard.masked):
            if file.bytes != file.records * self.codec.record_bytes:
                raise UserError(
                    f"{os.path.join(directory, file.path)} has {file.bytes} bytes, but"
                    f" {file.records} records of this build have"
                    f" {file.records * self.codec.record_bytes}; copy it again or rebuild it"
                )

    def _open_packed(self, directory: str | os.PathLike[str], shard: Shard) -> RowFile:
        packed = shard.packed
        packed.check_content(directory)
        shape = (packed.records, self.max_seq_length)
        return open_npy(Path(directory, packed.path), shape=shape, dtype=self.token_dtype)
