"""Imported weights that a run starts from: `initial/` in its model directory.

`initial/weights.safetensors` has float32 tensors by our names (model/names.py): encoder, and MLM head
and pooler if the source had them; `initial/vocab.txt` the source's vocabulary; `initial/source.json`
architecture and origin.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from data import schema
from data.errors import UserError
from data.files import exists, is_remote, join, sha256_of
from data.manifest import Manifest
from data.vocab import Vocab
from model.config import EncoderConfig
from model.names import weights

DIRECTORY = "initial"
_WEIGHTS, _SOURCE = "weights.safetensors", "source.json"
# Settings of training, not of the architecture: a run may have others than the source.
_FREE = {"hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class WarmStart:
    """Where a run starts.

    Attributes:
      encoder: the architecture of the weights.
      lower_case: whether the source's tokenizer lower-cases.
      origin: what the source is, for people: its kind, path and checksum.
      weights_sha256: of the file with the weights: names them.
    """

    directory: Path
    encoder: EncoderConfig
    lower_case: bool
    origin: dict[str, str]
    weights_sha256: str

    @classmethod
    def load(cls, model_dir: str) -> WarmStart | None:
        """Reads the record in a model directory; None if nothing was imported into it.

        Raises:
          UserError: the record is damaged, files of it are missing, or it does not lie on a disk.
        """
        if is_remote(model_dir) and exists(join(model_dir, DIRECTORY, _SOURCE)):
            raise UserError(
                f"{join(model_dir, DIRECTORY)}: a run starts from imported weights on a local disk only;"
                " choose a local --model_dir"
            )
        directory = Path(model_dir, DIRECTORY)
        path = directory / _SOURCE
        if not directory.exists():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            content["encoder"] = EncoderConfig(**content["encoder"])
            return cls(directory=directory, **content)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path} cannot be read ({error}); delete {directory} and import again"
            ) from error

    def values(self, *parts: str) -> dict[str, np.ndarray]:
        """The weights of "encoder", "head" and "pooler" that are there, by our names.

        Raises:
          UserError: they are not the ones that were imported.
        """
        from safetensors import numpy as safetensors

        path = self.directory / _WEIGHTS
        if not path.is_file() or sha256_of(path) != self.weights_sha256:
            raise UserError(
                f"{path} is not what was imported; delete {path.parent} and import again"
            )
        wanted = {weight.name for weight in weights(self.encoder, *parts)}
        stored = safetensors.load_file(path)
        return {name: value for name, value in stored.items() if name in wanted}

    def settings(self) -> list[str]:
        """The architecture as gin bindings, for a run whose gin files leave it open."""
        return settings_of(self.encoder)

    def check_encoder(self, encoder: EncoderConfig) -> None:
        """Raises a UserError unless this is the architecture of the weights, but for dropout."""
        check_architecture(encoder, self.encoder, where=str(self.directory))

    def check_data(self, manifest: Manifest) -> None:
        """Raises a UserError unless the data has the vocabulary and the case of the weights."""
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
                f"BuildConfig.lower_case={manifest.config.lower_case} in the data, but the weights in"
                f" {self.directory} are of {self.lower_case} there; build the data again"
            )


def settings_of(encoder: EncoderConfig) -> list[str]:
    """An architecture as gin bindings."""
    fields = dataclasses.asdict(encoder)
    return [f"EncoderConfig.{name} = {value!r}" for name, value in fields.items()]


def check_architecture(asked: EncoderConfig, theirs: EncoderConfig, *, where: str) -> None:
    """Raises a UserError unless two architectures differ in dropout and initialisation at most.

    Args:
      asked: the settings of a run.
      theirs: that of the weights it starts from.
      where: these lie.
    """
    for field in dataclasses.fields(EncoderConfig):
        ours, found = getattr(asked, field.name), getattr(theirs, field.name)
        if field.name not in _FREE and ours != found:
            raise UserError(
                f"EncoderConfig.{field.name}={ours!r}, but the weights in {where} have {found!r};"
                " leave EncoderConfig out of the settings to take the weights'"
            )


def start_from(warm_start: WarmStart, model) -> str:
    """Sets the weights of a `model.mlm.Pretrainer` that were imported; returns what it did, for people."""
    from model.weights import assign

    values = warm_start.values("encoder", "head")
    assign(model, values)
    head = {weight.name for weight in weights(warm_start.encoder, "head")}
    fresh = "" if head <= values.keys() else "; the source has no MLM head: a fresh one starts"
    return f"pretraining: from the weights of {warm_start.origin['path']}{fresh}"


def write_warm_start(
    directory: Path,
    *,
    encoder: EncoderConfig,
    lower_case: bool,
    origin: dict[str, str],
    values: Mapping[str, np.ndarray],
    vocab: Vocab,
) -> None:
    """Writes `initial/`, the record last."""
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
