"""A BERT of another maker as its reader hands it over, and what all readers share."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from data import schema
from data.errors import UserError
from data.files import sha256_of
from data.vocab import Vocab
from model.config import EncoderConfig
from model.names import weights
from pretrain.train.recipe import check_table_size

Shape = tuple[int, ...]
# A weight of a block, as Hugging Face and Google call it.
_BLOCK = re.compile(r"(?:bert[./])?encoder[./]layer[._](\d+)[./]")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImportedBert:
    """A BERT as read.

    Attributes:
      kind: the format, for people.
      files: what was read.
      values: weights by our names, in our shapes, float32; head and pooler may be missing.
      left_out: names of weights that have no place here, such as a classifier's.
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
        """What it was made from, for the record."""
        weights_file = self.files[0]
        return {"kind": self.kind, "path": str(weights_file), "sha256": sha256_of(weights_file)}

    @property
    def parts(self) -> list[str]:
        """Which of "encoder", "head" and "pooler" are there."""
        return [
            part
            for part in ("encoder", "head", "pooler")
            if weights(self.encoder, part)[0].name in self.values
        ]


def config_from_shapes(
    words: Shape, positions: Shape, types: Shape, query: Shape, inner: Shape, *, num_layers: int
) -> EncoderConfig:
    """The architecture that weights of tf-models have; what no shape shows has BERT's values.

    Args:
      words: [V, H] of the table of pieces.
      positions: [S, H] of the table of positions.
      types: [K, H] of the table of segment types.
      query: [H, A, D] of the kernel of a block's queries.
      inner: [H, F] of the kernel of a block's feed-forward layer.
      num_layers: L.
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
    """How many blocks weights of Hugging Face or Google belong to."""
    return max((int(found[1]) + 1 for name in names if (found := _BLOCK.match(name))), default=0)


def check_layers(encoder: EncoderConfig, num_layers: int, source: object) -> None:
    """Raises a UserError if a configuration says another number of blocks than there are.

    Before any table of names is made: a configuration can say any number.
    """
    if num_layers != encoder.num_hidden_layers:
        raise UserError(
            f"{source} has {num_layers} layers, its configuration says {encoder.num_hidden_layers}"
        )


def read_json(path: Path) -> Mapping:
    """The settings in a file; raises a UserError if it holds something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {type(content).__name__}, not settings by name")
    return content


def read_record(path: Path) -> tuple[EncoderConfig, bool]:
    """Architecture and case from the record of an export of ours.

    Raises:
      UserError: it is none, or of another version.
    """
    content = read_json(path)
    try:
        return EncoderConfig(**content["encoder"]), bool(content["lower_case"])
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is of another version: {error!r}") from error


def find_vocab(directory: Path, vocab_file: str | None) -> Vocab:
    """The vocabulary given, or the one that lies beside the weights."""
    if vocab_file or (directory / schema.VOCAB_FILE).is_file():
        return Vocab.load(vocab_file or directory / schema.VOCAB_FILE)
    tokenizer = directory / "tokenizer.json"
    if not tokenizer.is_file():
        raise UserError(
            f"{directory} has no {schema.VOCAB_FILE}; give the vocabulary as --vocab_file"
        )
    model = read_json(tokenizer).get("model")
    kind = model.get("type") if isinstance(model, dict) else None
    if kind != "WordPiece":
        raise UserError(
            f"{tokenizer}: its model is {kind!r}; this encoder has a 'WordPiece' vocabulary"
        )
    ids = model.get("vocab")
    if not isinstance(ids, dict) or not all(type(number) is int for number in ids.values()):
        raise UserError(f"{tokenizer}: its vocab does not give each piece its id")
    pieces = sorted(ids, key=ids.get)
    for number, piece in enumerate(pieces):
        if ids[piece] != number:
            raise UserError(
                f"{tokenizer}: no piece has id {number}, {piece!r} has {ids[piece]}; give the"
                " vocabulary as --vocab_file"
            )
    return Vocab.from_pieces(tuple(pieces), str(tokenizer))


def checked(
    *,
    encoder: EncoderConfig,
    values: dict[str, np.ndarray],
    vocab: Vocab,
    files: tuple[Path, ...],
    lower_case: bool | None = None,
    left_out: tuple[str, ...] = (),
    **others,
) -> ImportedBert:
    """What was read, if the parts are whole and fit each other."""
    check_table_size(encoder.vocab_size, len(vocab), str(files[0]))
    for part in ("encoder", "head", "pooler"):
        wanted = weights(encoder, part)
        missing = [weight.name for weight in wanted if weight.name not in values]
        if missing and (part == "encoder" or len(missing) < len(wanted)):
            raise UserError(
                f"{files[0]}: {len(missing)} of {len(wanted)} weights of the {part} are missing, e.g."
                f" {missing[0]}: it is no BERT with {encoder.num_hidden_layers} layers, or damaged"
            )
    for weight in weights(encoder):
        found = values.get(weight.name)
        if found is not None and found.shape != weight.shape:
            raise UserError(
                f"{files[0]}: {weight.name} has shape {list(found.shape)}, its configuration says"
                f" {list(weight.shape)}"
            )
        if found is not None and found.dtype.kind in "biu":
            raise UserError(
                f"{files[0]}: {weight.name} is {found.dtype}: quantised weights cannot be trained on"
            )
    values = {name: np.asarray(value, np.float32) for name, value in values.items()}
    if broken := [name for name, value in values.items() if not np.isfinite(value).all()]:
        raise UserError(f"{files[0]}: {broken[0]} has values that are no numbers, or infinite")
    if lower_case is None:
        special = {*schema.SPECIAL_TOKENS, *(vocab.pieces[i] for i in vocab.special_ids)}
        lower_case = not any(p != p.lower() for p in vocab.pieces if p not in special)
    return ImportedBert(
        encoder=encoder,
        values=values,
        vocab=vocab,
        files=files,
        lower_case=lower_case,
        left_out=left_out,
        **others,
    )
