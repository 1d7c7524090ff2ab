"""Warm start: imported weights that a run starts from, in `initial/` of its model directory.

initial/weights.safetensors   float32 tensors by our names (model/names.py): encoder, and MLM head and
                              pooler if the source had them
initial/vocab.txt             vocabulary of the source
initial/source.json           architecture and origin
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data import schema
from data.checked_json import read_json
from data.errors import UserError
from data.files import exists, is_remote, join, sha256_of
from data.manifest import Manifest
from data.vocab import Vocab
from model.config import EncoderConfig
from model.names import weights
from pretrain.gin_files import settings_from_dict

if TYPE_CHECKING:
    import tensorflow as tf

DIRECTORY = "initial"
_WEIGHTS, _SOURCE = "weights.safetensors", "source.json"
# Settings of training, not of the architecture: a run may differ from the source in them.
_FREE = {"hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class WarmStart:
    """Imported weights in a model directory.

    Attributes:
      directory: `initial/` of the model directory.
      encoder: architecture of the weights.
      lower_case: whether the source's tokenizer lower-cases.
      origin: kind, path and checksum of the source, for messages.
      weights_sha256: hash of the weights file; it identifies the weights.
    """

    directory: Path
    encoder: EncoderConfig
    lower_case: bool
    origin: dict[str, str]
    weights_sha256: str

    @classmethod
    def load(cls, model_dir: str) -> WarmStart | None:
        """Read the record in a model directory; return None if nothing was imported into it.

        Raises:
          UserError: the record is damaged, its files are missing, or it is not on a local disk.
        """
        if is_remote(model_dir) and exists(join(model_dir, DIRECTORY, _SOURCE)):
            raise UserError(
                f"{join(model_dir, DIRECTORY)}: imported weights must be on a local disk;"
                " choose a local --model_dir"
            )
        directory = Path(model_dir, DIRECTORY)
        path = directory / _SOURCE
        if not directory.exists():
            return None
        try:
            record = read_json(path)
            origin = record.mapping("origin")
            return cls(
                directory=directory,
                encoder=settings_from_dict(record.mapping("encoder").fields, EncoderConfig),
                lower_case=record.boolean("lower_case"),
                origin={name: origin.text(name) for name in ("kind", "path", "sha256")},
                weights_sha256=record.sha256("weights_sha256"),
            )
        except (OSError, UserError) as error:
            raise UserError(
                f"{path} cannot be read ({error}); delete {directory} and import again"
            ) from error

    def values(self, *parts: str) -> dict[str, np.ndarray]:
        """Return weights by our names.

        Args:
          *parts: "encoder", "head", "pooler"; parts that the source lacked are left out.

        Raises:
          UserError: the file has changed since the import.
        """
        from safetensors import numpy as safetensors

        path = self.directory / _WEIGHTS
        if not path.is_file() or sha256_of(path) != self.weights_sha256:
            raise UserError(
                f"{path} has changed since the import; delete {path.parent} and import again"
            )
        names = {weight.name for weight in weights(self.encoder, *parts)}
        stored = safetensors.load_file(path)
        return {name: value for name, value in stored.items() if name in names}

    def settings(self) -> list[str]:
        """Return the architecture as gin bindings, the defaults of a run that starts from it."""
        return settings_of(self.encoder)

    def check_encoder(self, encoder: EncoderConfig) -> None:
        """Raise a UserError unless the weights have this architecture, dropout aside."""
        check_architecture(encoder, self.encoder, where=str(self.directory))

    def check_data(self, manifest: Manifest) -> None:
        """Raise a UserError unless the data has the vocabulary and the case of the weights."""
        vocab = Vocab.load(self.directory / schema.VOCAB_FILE)
        if vocab.sha256 != manifest.vocab_sha256:
            raise UserError(
                f"the data was built with another vocabulary ({manifest.vocab_pieces} pieces, sha256"
                f" {manifest.vocab_sha256[:8]}) than the weights in {self.directory} ({len(vocab)}"
                f" pieces, sha256 {vocab.sha256[:8]}); build it with --vocab_file"
                f" {self.directory / schema.VOCAB_FILE}"
            )
        if manifest.config.lower_case != self.lower_case:
            raise UserError(
                f"the data was built with BuildConfig.lower_case={manifest.config.lower_case}, but the"
                f" weights in {self.directory} need {self.lower_case}; build the data again"
            )


def settings_of(encoder: EncoderConfig) -> list[str]:
    """Return an architecture as gin bindings."""
    fields = dataclasses.asdict(encoder)
    return [f"EncoderConfig.{name} = {value!r}" for name, value in fields.items()]


def check_architecture(requested: EncoderConfig, stored: EncoderConfig, *, where: str) -> None:
    """Raise a UserError unless two architectures differ in dropout and initialization at most.

    Args:
      requested: settings of a run.
      stored: architecture of the weights that the run starts from.
      where: location of the weights, for the message.
    """
    for field in dataclasses.fields(EncoderConfig):
        ours, theirs = getattr(requested, field.name), getattr(stored, field.name)
        if field.name not in _FREE and ours != theirs:
            raise UserError(
                f"EncoderConfig.{field.name}={ours!r}, but the weights in {where} have {theirs!r};"
                " leave EncoderConfig out of the settings to take the weights'"
            )


def start_from(warm_start: WarmStart, model: tf.Module) -> str:
    """Load the imported weights into a `model.mlm.Pretrainer`; return one line about it."""
    from model.weights import assign

    values = warm_start.values("encoder", "head")
    assign(model, values)
    head = {weight.name for weight in weights(warm_start.encoder, "head")}
    fresh = (
        "" if head <= values.keys() else "; the source has no MLM head: it is initialized at random"
    )
    return f"pretraining: starting from the weights of {warm_start.origin['path']}{fresh}"


def write_warm_start(
    directory: Path,
    *,
    encoder: EncoderConfig,
    lower_case: bool,
    origin: dict[str, str],
    values: Mapping[str, np.ndarray],
    vocab: Vocab,
) -> None:
    """Write `initial/`, the record last.

    Args:
      directory: directory to create.
      encoder: architecture.
      lower_case: whether the source's tokenizer lower-cases.
      origin: kind, path and checksum of the source, for messages.
      values: float32 weights by our names.
      vocab: vocabulary of the source.
    """
    from safetensors import numpy as safetensors

    directory.mkdir()
    contiguous = {name: np.ascontiguousarray(value) for name, value in values.items()}
    (directory / _WEIGHTS).write_bytes(safetensors.save(contiguous))
    (directory / schema.VOCAB_FILE).write_text(vocab.text, encoding="utf-8")
    record = {
        "encoder": dataclasses.asdict(encoder),
        "lower_case": lower_case,
        "origin": origin,
        "weights_sha256": sha256_of(directory / _WEIGHTS),
    }
    (directory / _SOURCE).write_text(json.dumps(record, indent=1), encoding="utf-8")
