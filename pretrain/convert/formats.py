"""Detect the format of a BERT and read it: Hugging Face, TensorFlow checkpoints, SavedModels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from data.errors import UserError
from model import huggingface
from pretrain.convert.checkpoint import checkpoint_prefix, read_checkpoint
from pretrain.convert.common import (
    ImportedBert,
    check_layers,
    count_layers,
    find_vocab,
    read_json,
    validate,
)
from pretrain.convert.saved_model import read_export, read_hub
from pretrain.convert.tokenizer import check_added_tokens, read_lower_case
from pretrain.export.atomic_directory import RECORD_FILE

# Types of safetensors; integers are read too, and refused as quantised weights with their names.
_DTYPES = {"F64", "F32", "F16", "BF16", "BOOL"} | {f"{k}{n}" for k in "IU" for n in (8, 16, 32, 64)}


def read_bert(source: str, *, vocab_file: str | None = None) -> ImportedBert:
    """Read a BERT, detecting its format from the files present.

    Args:
      source: directory in Hugging Face's format (config.json), export of `pretrain.export` (encoder/),
        SavedModel with the encoder API of TensorFlow Hub (saved_model.pb), directory with one
        TensorFlow checkpoint, or prefix of a checkpoint.
      vocab_file: vocabulary, for a source without one.

    Raises:
      UserError: the source has none of these formats or another architecture, or is damaged or
        inconsistent.
    """
    path = Path(source)
    if (path / RECORD_FILE).is_file() and (path / "encoder/saved_model.pb").is_file():
        return read_export(path)
    for directory in (path, path / "encoder"):
        if (directory / "saved_model.pb").is_file():
            return read_hub(directory, vocab_file)
    if (path / "config.json").is_file():
        return _read_huggingface(path, vocab_file)
    if (prefix := checkpoint_prefix(path)) is not None:
        return read_checkpoint(prefix, vocab_file)
    raise UserError(
        f"--from {source}: no BERT found: neither config.json (Hugging Face), nor saved_model.pb or"
        " encoder/saved_model.pb (TensorFlow Hub, pretrain.export), nor a checkpoint (*.index)"
    )


def _read_huggingface(path: Path, vocab_file: str | None) -> ImportedBert:
    encoder = huggingface.config_from_json(read_json(path / "config.json"), f"{path}/config.json")
    file = path / "model.safetensors"
    if not file.is_file():
        raise UserError(
            f"{file} is missing; convert a pytorch_model.bin or several files to one with"
            " save_pretrained of transformers"
        )
    tensors = _read_tensors(file)
    check_layers(encoder, count_layers(tensors), file)
    values, left_out = huggingface.from_tensors(tensors, encoder, str(file))
    vocab = find_vocab(path, vocab_file)
    check_added_tokens(path, vocab)
    return validate(
        kind="Hugging Face",
        files=(file,),
        encoder=encoder,
        values=values,
        vocab=vocab,
        lower_case=read_lower_case(path),
        left_out=tuple(left_out),
    )


def _read_tensors(file: Path) -> dict[str, np.ndarray]:
    """Return the tensors of a safetensors file; raise a UserError for types that numpy lacks."""
    try:
        # As TensorFlow tensors: numpy has no bfloat16.
        with safe_open(file, framework="tf") as opened:
            names = opened.keys()
            for name in names:
                if (dtype := opened.get_slice(name).get_dtype()) not in _DTYPES:
                    raise UserError(
                        f"{file}: {name} has type {dtype}, which is not supported; convert the weights to"
                        " float32 or bfloat16"
                    )
            return {huggingface.unwrapped(name): opened.get_tensor(name).numpy() for name in names}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{file} is damaged: {error}") from error
