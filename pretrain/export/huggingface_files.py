"""Write a model in Hugging Face's format: config.json, model.safetensors and the tokenizer's files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import numpy as safetensors

from data import schema
from data.vocab import Vocab
from model import huggingface
from model.config import EncoderConfig


def write_huggingface(
    folder: Path,
    tensors: dict[str, np.ndarray],
    config: EncoderConfig,
    *,
    architecture: str,
    vocab: Vocab,
    lower_case: bool,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Write the files into a folder, which is created if necessary.

    Args:
      folder: output folder.
      tensors: what `huggingface.to_tensors` returns.
      config: sizes of the model.
      architecture: class of transformers, such as "BertForMaskedLM".
      vocab: vocabulary.
      lower_case: whether text is lower-cased and stripped of accents.
      settings: further fields of config.json.
    """
    folder.mkdir(exist_ok=True)
    content = huggingface.config_to_json(
        config, pad_token_id=vocab.ids[schema.PAD], architecture=architecture
    )
    tokenizer = huggingface.tokenizer_files(
        vocab.pieces, lower_case=lower_case, max_length=config.max_position_embeddings
    )
    config_json = json.dumps({**content, **(settings or {})}, indent=1) + "\n"
    for name, text in {"config.json": config_json, **tokenizer}.items():
        (folder / name).write_text(text, encoding="utf-8")
    # As bytes: `save_file` creates a file that only its owner may read.
    (folder / "model.safetensors").write_bytes(safetensors.save(tensors, metadata={"format": "pt"}))
