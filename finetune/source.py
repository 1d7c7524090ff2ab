"""The encoder that fine-tuning starts from, wherever it lies."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from pathlib import Path

import numpy as np

from data import files, schema
from data.errors import UserError
from data.vocab import Vocab
from finetune.summary import SUMMARY_FILE
from model.config import EncoderConfig
from model.names import weights
from pretrain.checkpoints.model_dir import RUN_FILE
from pretrain.checkpoints.warm_start import WarmStart
from pretrain.convert.formats import read_bert
from pretrain.export.atomic_directory import RECORD_FILE
from pretrain.train.recipe import check_table_size


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """An encoder as read.

    Attributes:
      encoder: its architecture.
      values: its weights by our names, in our shapes, float32; the pooler's too if it was trained.
      vocab: its vocabulary.
      lower_case: whether its text is lower-cased.
      origin: what it is and where it lies, for people.
    """

    encoder: EncoderConfig
    values: dict[str, np.ndarray]
    vocab: Vocab
    lower_case: bool
    origin: str

    @functools.cached_property
    def sha256(self) -> str:
        """Of the weights and the vocabulary."""
        digest = hashlib.sha256(self.vocab.text.encode())
        for name, value in sorted(self.values.items()):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(value).data)
        return digest.hexdigest()


def read_source(path: str, *, vocab_file: str | None = None) -> Source:
    """Reads an encoder.

    Args:
      path: a model directory of pretraining or fine-tuning, or a source of `read_bert`.
      vocab_file: of a source that has none.

    Raises:
      UserError: it is none of these, damaged, or does not fit its vocabulary.
    """
    if files.exists(files.join(path, RUN_FILE)):
        return _read_model_dir(path)
    if files.exists(files.join(path, SUMMARY_FILE)):
        raise UserError(
            f"--encoder {path} holds the seeds of a task, each a model directory; choose one, as"
            f" {files.join(path, 'seed-N')}"
        )
    try:
        imported = read_bert(path, vocab_file=vocab_file)
    except UserError as error:
        raise UserError(str(error).replace("--from ", "--encoder ")) from error
    wanted = {weight.name for weight in weights(imported.encoder, "encoder", "pooler")}
    if _pooler_is_untrained(path):
        wanted -= {weight.name for weight in weights(imported.encoder, "pooler")}
    return Source(
        encoder=imported.encoder,
        values={name: value for name, value in imported.values.items() if name in wanted},
        vocab=imported.vocab,
        lower_case=imported.lower_case,
        origin=f"{imported.kind} {path}",
    )


def _pooler_is_untrained(path: str) -> bool:
    """Whether it is an export of ours whose pooler is as drawn: every seed then draws its own."""
    record = Path(path, RECORD_FILE)
    return record.is_file() and json.loads(record.read_text()).get("pooler") == "initial"


def _read_model_dir(model_dir: str) -> Source:
    """The newest checkpoint of a run."""
    import tensorflow as tf

    from model.encoder import Encoder
    from model.layers import Initializer
    from pretrain.checkpoints import checkpoint

    path = files.join(model_dir, RUN_FILE)
    try:
        record = json.loads(files.read_bytes(path))
        config = EncoderConfig(**record["config"]["encoder"])
        lower_case = record["lower_case"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is of another version of this program: {error!r}") from error
    ref = checkpoint.choose(model_dir, "latest")
    checkpoint.verify(ref)
    encoder = Encoder(config, Initializer(0, config.initializer_range), tf.float32)
    checkpoint.read(tf.train.Checkpoint(encoder=encoder), ref)
    vocab = Vocab.load(files.join(model_dir, schema.VOCAB_FILE))
    check_table_size(config.vocab_size, len(vocab), f"the run of {model_dir}")
    # Masked language models train no pooler: what was imported is as good as ever.
    warm_start = WarmStart.load(model_dir)
    pooler = warm_start.values("pooler") if warm_start else {}
    values = {v.name.partition(":")[0]: v.numpy() for v in encoder.trainable_variables}
    return Source(
        encoder=config,
        values=values | pooler,
        vocab=vocab,
        lower_case=lower_case,
        origin=f"step {ref.step:,} of {model_dir}",
    )
