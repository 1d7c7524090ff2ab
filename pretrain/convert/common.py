"""The BERT that all format readers return, its validation, and helpers they share."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data import checked_json, schema
from data.errors import UserError
from data.files import sha256_of
from data.vocab import Vocab
from model.config import EncoderConfig
from model.names import weights
from pretrain.gin_files import settings_from_dict
from pretrain.train.recipe import check_table_size

Shape = tuple[int, ...]
# A weight of a transformer block by Hugging Face's or Google's name.
_BLOCK = re.compile(r"(?:bert[./])?encoder[./]layer[._](\d+)[./]")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImportedBert:
    """A BERT read from the format of another project.

    Attributes:
      kind: name of the format.
      files: files with the weights.
      encoder: architecture.
      values: weights by name (model/names.py) in our shapes, float32; head and pooler may be missing.
      vocab: vocabulary.
      lower_case: whether the tokenizer lower-cases.
      left_out: names of weights without a counterpart here, such as those of a classifier.
    """

    kind: str
    files: tuple[Path, ...]
    encoder: EncoderConfig
    values: dict[str, np.ndarray]
    vocab: Vocab
    lower_case: bool
    left_out: tuple[str, ...]

    @property
    def origin(self) -> dict[str, str]:
        """Format, path and sha256 of the source, for the record of the import."""
        weights_file = self.files[0]
        return {"kind": self.kind, "path": str(weights_file), "sha256": sha256_of(weights_file)}

    @property
    def parts(self) -> list[str]:
        """Those of "encoder", "head" and "pooler" whose weights are present."""
        return [
            part
            for part in ("encoder", "head", "pooler")
            if weights(self.encoder, part)[0].name in self.values
        ]


def config_from_shapes(
    words: Shape, positions: Shape, types: Shape, query: Shape, inner: Shape, *, num_layers: int
) -> EncoderConfig:
    """Return the architecture of tf-models weights; settings that no shape shows get BERT's values.

    Args:
      words: shape of the word embeddings, [V, H].
      positions: shape of the position embeddings, [S, H].
      types: shape of the segment type embeddings, [K, H].
      query: shape of the query kernel of a block, [H, A, D].
      inner: shape of the feed-forward kernel of a block, [H, F].
      num_layers: number of blocks, L.
    """
    return EncoderConfig(
        vocab_size=words[0],
        hidden_size=words[1],
        num_hidden_layers=num_layers,
        num_attention_heads=query[1],
        intermediate_size=inner[1],
        max_position_embeddings=positions[0],
        type_vocab_size=types[0],
    )


def count_layers(names: Iterable[str]) -> int:
    """Return the number of blocks in weights with Hugging Face's or Google's names."""
    return max((int(found[1]) + 1 for name in names if (found := _BLOCK.match(name))), default=0)


def merge_heads(value: np.ndarray, shape: Shape) -> np.ndarray:
    """Reshape a weight of tf-models, which keeps attention heads in an axis of their own.

    A weight of another size is returned as it is: `validate` reports it.
    """
    return value.reshape(shape) if value.size == np.prod(shape) else value


def check_layers(encoder: EncoderConfig, num_layers: int, source: object) -> None:
    """Raise a UserError if a configuration and its weights differ in their number of blocks.

    Call it before listing the expected weights: a damaged configuration may give any number.
    """
    if num_layers != encoder.num_hidden_layers:
        raise UserError(
            f"{source} has {num_layers} layers, its configuration has {encoder.num_hidden_layers}"
        )


def read_json(path: Path) -> Mapping[str, Any]:
    """Return the JSON object in a file; raise a UserError if it is something else."""
    try:
        return checked_json.read_json(path).fields
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error


def read_record(path: Path) -> tuple[EncoderConfig, bool]:
    """Return architecture and lower-casing from the record of a `pretrain.export` export.

    Raises:
      UserError: the file is damaged or was written by another version.
    """
    record = checked_json.read_json(path, remedy="export the model again")
    encoder = record.mapping("encoder")
    try:
        return settings_from_dict(encoder.fields, EncoderConfig), record.boolean("lower_case")
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def find_vocab(directory: Path, vocab_file: str | None) -> Vocab:
    """Return the given vocabulary, or the one next to the weights (vocab.txt, tokenizer.json)."""
    if vocab_file or (directory / schema.VOCAB_FILE).is_file():
        return Vocab.load(vocab_file or directory / schema.VOCAB_FILE)
    tokenizer = directory / "tokenizer.json"
    if not tokenizer.is_file():
        raise UserError(
            f"{directory} has no {schema.VOCAB_FILE}; give the vocabulary as --vocab_file"
        )
    model = read_json(tokenizer).get("model")
    if not isinstance(model, dict):
        model = {}
    kind = model.get("type")
    if kind != "WordPiece":
        raise UserError(
            f"{tokenizer}: its model is {kind!r}; this encoder has a 'WordPiece' vocabulary"
        )
    ids = model.get("vocab")
    if not isinstance(ids, dict) or not all(type(number) is int for number in ids.values()):
        raise UserError(f"{tokenizer}: its vocab does not map each piece to an id")
    pieces = sorted(ids, key=ids.__getitem__)
    for number, piece in enumerate(pieces):
        if ids[piece] != number:
            raise UserError(
                f"{tokenizer}: no piece has id {number}, {piece!r} has {ids[piece]}; give the"
                " vocabulary as --vocab_file"
            )
    return Vocab.from_pieces(tuple(pieces), str(tokenizer))


def validate(
    *,
    kind: str,
    encoder: EncoderConfig,
    values: dict[str, np.ndarray],
    vocab: Vocab,
    files: tuple[Path, ...],
    lower_case: bool | None = None,
    left_out: tuple[str, ...] = (),
) -> ImportedBert:
    """Return a BERT after checking that its parts are complete and consistent.

    Args:
      kind: see ImportedBert, as the other arguments.
      encoder: architecture.
      values: weights by name, in any floating type.
      vocab: vocabulary.
      files: files with the weights; the first is named in errors.
      lower_case: whether the tokenizer lower-cases; None infers it from the vocabulary.
      left_out: names of weights without a counterpart here.

    Raises:
      UserError: weights are missing, quantised, NaN, infinite or of another shape, or the vocabulary
        does not fit.
    """
    check_table_size(encoder.vocab_size, len(vocab), str(files[0]))
    _check_complete(encoder, values, files[0])
    _check_shapes(encoder, values, files[0])
    values = {name: np.asarray(value, np.float32) for name, value in values.items()}
    if broken := [name for name, value in values.items() if not np.isfinite(value).all()]:
        raise UserError(f"{files[0]}: {broken[0]} has NaN or infinite values")
    if lower_case is None:
        special = {*schema.SPECIAL_TOKENS, *(vocab.pieces[i] for i in vocab.special_ids)}
        lower_case = not any(p != p.lower() for p in vocab.pieces if p not in special)
    return ImportedBert(
        kind=kind,
        encoder=encoder,
        values=values,
        vocab=vocab,
        files=files,
        lower_case=lower_case,
        left_out=left_out,
    )


def _check_complete(encoder: EncoderConfig, values: Mapping[str, np.ndarray], file: Path) -> None:
    """Raise a UserError if weights of the encoder, or some of those of another part, are missing."""
    for part in ("encoder", "head", "pooler"):
        expected = weights(encoder, part)
        missing = [weight.name for weight in expected if weight.name not in values]
        if missing and (part == "encoder" or len(missing) < len(expected)):
            raise UserError(
                f"{file}: {len(missing)} of {len(expected)} weights of the {part} are missing, e.g."
                f" {missing[0]}: it is not a BERT with {encoder.num_hidden_layers} layers, or damaged"
            )


def _check_shapes(encoder: EncoderConfig, values: Mapping[str, np.ndarray], file: Path) -> None:
    """Raise a UserError if a weight has another shape than expected, or is quantised."""
    for weight in weights(encoder):
        value = values.get(weight.name)
        if value is not None and value.shape != weight.shape:
            raise UserError(
                f"{file}: {weight.name} has shape {list(value.shape)}, its configuration requires"
                f" {list(weight.shape)}"
            )
        if value is not None and value.dtype.kind in "biu":
            raise UserError(
                f"{file}: {weight.name} is {value.dtype}: quantised weights cannot be trained"
            )
