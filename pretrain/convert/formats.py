"""Reads BERTs of other makers: Hugging Face's, checkpoints of tf-models and Google, and SavedModels."""

from __future__ import annotations

from pathlib import Path

from data.errors import UserError
from model import huggingface
from pretrain.convert.checkpoint import checkpoint_prefix, read_checkpoint
from pretrain.convert.common import (
    ImportedBert,
    check_layers,
    checked,
    count_layers,
    find_vocab,
    read_json,
)
from pretrain.convert.saved_model import read_export, read_hub
from pretrain.export.atomic_directory import RECORD_FILE


def read(source: str, *, vocab_file: str | None = None) -> ImportedBert:
    """Reads a BERT; what it is is told from the files that are there.

    Args:
      source: a directory of Hugging Face's format (config.json), an export of ours (encoder/), a
        SavedModel with the encoder API of TensorFlow Hub (saved_model.pb), a directory with one
        TensorFlow checkpoint, or such a checkpoint's prefix.
      vocab_file: of a source that has none.

    Raises:
      UserError: it is none of these, of another architecture, damaged, or not consistent.
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
        f"--from {source}: there is no BERT that is known here: neither config.json (Hugging Face),"
        " nor saved_model.pb or encoder/saved_model.pb (TensorFlow Hub, an export of ours), nor a"
        " checkpoint (*.index)"
    )


def _read_huggingface(path: Path, vocab_file: str | None) -> ImportedBert:
    from safetensors import SafetensorError, safe_open

    encoder = huggingface.config_from_json(read_json(path / "config.json"), f"{path}/config.json")
    file = path / "model.safetensors"
    if not file.is_file():
        raise UserError(
            f"{file} is missing; weights in a pytorch_model.bin or in several files can be brought into"
            " one with transformers' save_pretrained"
        )
    try:
        # As TensorFlow's tensors: numpy has no bfloat16.
        with safe_open(file, framework="tf") as opened:
            tensors = {name: opened.get_tensor(name).numpy() for name in opened.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise UserError(f"{file} is damaged: {error}") from error
    check_layers(encoder, count_layers(tensors), file)
    values, left_out = huggingface.from_tensors(tensors, encoder, str(file))
    vocab = find_vocab(path, vocab_file)
    return checked(
        kind="Hugging Face",
        files=(file,),
        encoder=encoder,
        values=values,
        vocab=vocab,
        lower_case=_lower_case(path / "tokenizer_config.json"),
        left_out=tuple(left_out),
    )


def _lower_case(settings: Path) -> bool | None:
    """What a tokenizer_config.json says, if it is there and says it."""
    found = read_json(settings).get("do_lower_case") if settings.is_file() else None
    if found is not None and not isinstance(found, bool):
        raise UserError(f"{settings}: do_lower_case is {found!r}, neither true nor false")
    return found
