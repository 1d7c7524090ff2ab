"""Read an encoder in any supported format: for fine-tuning, and to use it in Python."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data import files, schema
from data.checked_json import read_json
from data.errors import UserError
from data.vocab import Vocab
from data.vocab.graph_tokenizer import GraphTokenizer
from finetune.summary import SUMMARY_FILE
from model.config import EncoderConfig
from model.names import weights
from pretrain.checkpoints import catalog
from pretrain.checkpoints.model_dir import RUN_FILE
from pretrain.checkpoints.warm_start import WarmStart
from pretrain.convert.formats import read_bert
from pretrain.export.atomic_directory import RECORD_FILE
from pretrain.export.load import local_copy
from pretrain.gin_files import settings_from_dict
from pretrain.train.recipe import check_table_size


@dataclasses.dataclass(frozen=True, kw_only=True)
class PretrainedEncoder:
    """An encoder with its weights and vocabulary.

    Attributes:
      encoder: architecture.
      values: weights by our names, in our shapes, float32; includes the pooler if it was trained.
      vocab: vocabulary.
      lower_case: whether text is lower-cased and stripped of accents.
      description: format and path, or step and model directory.
    """

    encoder: EncoderConfig
    values: dict[str, np.ndarray]
    vocab: Vocab
    lower_case: bool
    description: str

    @functools.cached_property
    def sha256(self) -> str:
        """Hash of weights and vocabulary."""
        digest = hashlib.sha256(self.vocab.text.encode())
        for name, value in sorted(self.values.items()):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(value).data)
        return digest.hexdigest()


class LoadedEncoder:
    """An encoder with its tokenizer, from text to hidden states, to be used or trained in Python.

    Attributes:
      encoder: `model.encoder.Encoder` in float32, with `trainable_variables`.
      config: its architecture.
      vocab: its vocabulary.
      description: format and path, or step and model directory.
    """

    def __init__(self, pretrained: PretrainedEncoder):
        """Build the encoder; `load_encoder` reads one."""
        import tensorflow as tf

        from model.encoder import Encoder
        from model.layers import Initializer

        self.config, self.vocab = pretrained.encoder, pretrained.vocab
        self.description = pretrained.description
        self.encoder = Encoder(
            self.config, Initializer(0, self.config.initializer_range), tf.float32
        )
        for variable in self.encoder.trainable_variables:
            variable.assign(pretrained.values[variable.name.partition(":")[0]])
        self._tokenizer = GraphTokenizer(self.vocab.pieces, lower_case=pretrained.lower_case)

    def features(self, texts: Sequence[str], *, max_length: int | None = None) -> dict[str, Any]:
        """Return the encoder's inputs for texts: [CLS] tokens [SEP], padded to the longest text.

        Args:
          texts: N texts.
          max_length: tokens of a text to keep, [CLS] and [SEP] included; None for all that the encoder
            takes.

        Returns:
          int32 `input_word_ids`, `input_mask` and `input_type_ids`, [N, S].
        """
        import tensorflow as tf

        longest = min(max_length or math.inf, self.config.max_position_embeddings)
        cls, sep, pad = (self.vocab.ids[name] for name in (schema.CLS, schema.SEP, schema.PAD))
        tokens = self._tokenizer.tokenize(tf.constant(list(texts), tf.string)).to_list()
        rows = [[cls, *row[: int(longest) - 2], sep] for row in tokens]
        width = max(map(len, rows), default=0)
        ids_NS = np.array([row + [pad] * (width - len(row)) for row in rows], np.int32)
        mask_NS = np.array([[1] * len(row) + [0] * (width - len(row)) for row in rows], np.int32)
        return {
            "input_word_ids": tf.constant(ids_NS),
            "input_mask": tf.constant(mask_NS),
            "input_type_ids": tf.zeros_like(ids_NS),
        }

    def __call__(self, texts: Sequence[str], *, max_length: int | None = None) -> tuple[Any, Any]:
        """Return the outputs of the last block, float32 [N, S, H], and the mask of tokens, int32 [N, S]."""
        features = self.features(texts, max_length=max_length)
        return self.encoder(features)["sequence_output"], features["input_mask"]


def load_encoder(path: str, *, vocab_file: str | None = None) -> LoadedEncoder:
    """Load an encoder to use or train in Python.

        encode = load_encoder("M")
        hidden_NSH, mask_NS = encode(["Paris is a city.", "So is Rome."])

    Args:
      path: model directory of a run (its newest checkpoint), export, directory in Hugging Face's
        format, or another source of `read_pretrained`.
      vocab_file: vocabulary of an encoder without one.

    Raises:
      UserError: the format is unknown, the encoder is damaged, or does not fit its vocabulary.
    """
    return LoadedEncoder(read_pretrained(path, vocab_file=vocab_file))


def read_pretrained(path: str, *, vocab_file: str | None = None) -> PretrainedEncoder:
    """Read an encoder.

    Args:
      path: model directory of a pretraining or fine-tuning run, or a source of `read_bert`.
      vocab_file: vocabulary of an encoder without one.

    Raises:
      UserError: the format is unknown, the encoder is damaged, or does not fit its vocabulary.
    """
    if files.exists(files.join(path, RUN_FILE)):
        return _read_model_dir(path)
    if files.exists(files.join(path, SUMMARY_FILE)):
        raise UserError(
            f"--encoder {path} contains the model directories of several seeds; choose one of them,"
            f" {files.join(path, 'seed-N')}"
        )
    with local_copy("--encoder", path) as local:
        try:
            imported = read_bert(local, vocab_file=vocab_file)
        except UserError as error:
            raise UserError(str(error).replace("--from ", "--encoder ")) from error
        parts = ("encoder",) if _pooler_is_untrained(local) else ("encoder", "pooler")
    names = {weight.name for weight in weights(imported.encoder, *parts)}
    return PretrainedEncoder(
        encoder=imported.encoder,
        values={name: value for name, value in imported.values.items() if name in names},
        vocab=imported.vocab,
        lower_case=imported.lower_case,
        description=f"{imported.kind} {path}",
    )


def _pooler_is_untrained(path: str) -> bool:
    """Return whether this is an export of ours with an untrained pooler.

    Its random pooler is not used, so that every seed of fine-tuning has a different one.
    """
    record = Path(path, RECORD_FILE)
    return record.is_file() and read_json(record).fields.get("pooler") == "initial"


def _read_model_dir(model_dir: str) -> PretrainedEncoder:
    """Read the newest checkpoint of a run."""
    import tensorflow as tf

    from model.encoder import Encoder
    from model.layers import Initializer
    from pretrain.checkpoints import checkpoint

    path = files.join(model_dir, RUN_FILE)
    record = read_json(path)
    lower_case = record.boolean("lower_case")
    encoder_fields = record.mapping("config").mapping("encoder").fields
    try:
        config = settings_from_dict(encoder_fields, EncoderConfig)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    ref = catalog.choose(model_dir, "latest")
    catalog.verify(ref)
    encoder = Encoder(config, Initializer(0, config.initializer_range), tf.float32)
    checkpoint.read(tf.train.Checkpoint(encoder=encoder), ref)
    vocab = Vocab.load(files.join(model_dir, schema.VOCAB_FILE))
    check_table_size(config.vocab_size, len(vocab), f"the run of {model_dir}")
    # Pretraining leaves the pooler of a warm start unchanged.
    warm_start = WarmStart.load(model_dir)
    pooler = warm_start.values("pooler") if warm_start else {}
    values = {v.name.partition(":")[0]: v.numpy() for v in encoder.trainable_variables}
    return PretrainedEncoder(
        encoder=config,
        values=values | pooler,
        vocab=vocab,
        lower_case=lower_case,
        description=f"step {ref.step:,} of {model_dir}",
    )
