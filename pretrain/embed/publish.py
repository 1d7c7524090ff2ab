"""Write an encoder that embeds texts: for servers, and as a directory of sentence-transformers."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data import files, schema
from data.errors import UserError
from model import huggingface
from pretrain.convert.common import ImportedBert
from pretrain.embed.source import MODULES_FILE, TRANSFORMER_FILE, EmbeddingSettings, check_length
from pretrain.export.atomic_directory import atomic_directory, is_unfinished
from pretrain.export.huggingface_files import write_huggingface
from pretrain.export.publish import pooler_values

if TYPE_CHECKING:
    from pretrain.embed.model import Embedder

_POOLING_DIR, _NORMALIZE_DIR = "1_Pooling", "2_Normalize"
_CARD = """---
library_name: sentence-transformers
pipeline_tag: sentence-similarity
tags:
- sentence-transformers
---

# {case} encoder of sentences, L={layers} H={hidden_size}

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("DIRECTORY")
vectors = model.encode(["a text", "another text"])  # float32 [2, {hidden_size}]
```

{pooling}{normalize}, of up to {max_length} tokens. An encoder that was only pretrained is a starting
point for training on pairs of sentences, not yet a good encoder of them.
"""


def check_target(flag: str, path: str) -> None:
    """Raise a UserError unless a directory is new or empty."""
    if files.list_dir(path) and not is_unfinished(path):
        raise UserError(f"{flag} {path} is not empty; choose another one or delete it")


def write_saved_model(
    path: str, imported: ImportedBert, settings: EmbeddingSettings, embedder: Embedder
) -> None:
    """Write a SavedModel from text to vectors, atomically.

    Args:
      path: directory to create.
      imported: source of the encoder.
      settings: settings of the embedder.
      embedder: model to save.
    """
    from pretrain.embed.model import save  # TensorFlow

    def write(directory: Path) -> None:
        # Elsewhere, because the SavedModel tells the directory of the vocabulary.
        with tempfile.TemporaryDirectory() as scratch:
            vocab_file = Path(scratch, schema.VOCAB_FILE)
            vocab_file.write_text(imported.vocab.text, encoding="utf-8")
            save(directory, embedder, vocab_file=str(vocab_file))

    _write(path, imported, settings, write)


def write_sentence_transformers(
    path: str, imported: ImportedBert, settings: EmbeddingSettings
) -> None:
    """Write a directory that `SentenceTransformer(path)` loads, atomically; arguments as above."""
    _write(path, imported, settings, lambda directory: _fill(directory, imported, settings))


def _write(
    path: str,
    imported: ImportedBert,
    settings: EmbeddingSettings,
    write: Callable[[Path], None],
) -> None:
    record = {
        **{name: imported.origin[name] for name in ("kind", "sha256")},
        "lower_case": imported.lower_case,
        "encoder": dataclasses.asdict(imported.encoder),
        "embedding": dataclasses.asdict(settings),
    }
    with atomic_directory(path, json.dumps(record, indent=1)) as directory:
        write(directory)


def _fill(directory: Path, imported: ImportedBert, settings: EmbeddingSettings) -> None:
    encoder = imported.encoder
    max_length = check_length(settings.max_length, encoder.max_position_embeddings)
    # Loading warns of an encoder without a pooler, although its outputs are not used.
    pooler = pooler_values("identity", model_dir="", hidden_size=encoder.hidden_size)
    values = pooler | imported.values
    write_huggingface(
        directory,
        huggingface.to_tensors(values, encoder, architecture="BertModel"),
        encoder,
        architecture="BertModel",
        vocab=imported.vocab,
        lower_case=imported.lower_case,
    )
    steps = [("", "Transformer"), (_POOLING_DIR, "Pooling")]
    if settings.normalize:
        steps.append((_NORMALIZE_DIR, "Normalize"))
    modules = [
        {
            "idx": number,
            "name": str(number),
            "path": folder,
            "type": f"sentence_transformers.models.{kind}",
        }
        for number, (folder, kind) in enumerate(steps)
    ]
    pooling = {
        "word_embedding_dimension": encoder.hidden_size,
        "pooling_mode_cls_token": settings.pooling == "cls",
        "pooling_mode_mean_tokens": settings.pooling == "mean",
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
    }
    contents: dict[str, Any] = {
        MODULES_FILE: modules,
        TRANSFORMER_FILE: {"max_seq_length": max_length, "do_lower_case": False},
        f"{_POOLING_DIR}/config.json": pooling,
    }
    (directory / _POOLING_DIR).mkdir()
    for name, content in contents.items():
        (directory / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if settings.normalize:
        (directory / _NORMALIZE_DIR).mkdir()
    card = _CARD.format(
        case="Uncased" if imported.lower_case else "Cased",
        layers=encoder.num_hidden_layers,
        hidden_size=encoder.hidden_size,
        max_length=max_length,
        pooling="Output at [CLS]" if settings.pooling == "cls" else "Mean of the outputs",
        normalize=", divided by its norm" if settings.normalize else "",
    )
    (directory / "README.md").write_text(card, encoding="utf-8")
