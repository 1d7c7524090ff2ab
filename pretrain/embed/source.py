"""Read an encoder and how it embeds: exports, and directories of Hugging Face and sentence-transformers.

A directory of sentence-transformers is one in Hugging Face's format with `modules.json`, which lists the
steps from text to vector, and a folder or file with the settings of each.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from data.checked_json import is_inside, read_at_most
from data.errors import UserError
from pretrain.convert.common import ImportedBert, read_json
from pretrain.convert.formats import read_bert
from pretrain.export.load import refuse_run

MODULES_FILE, TRANSFORMER_FILE = "modules.json", "sentence_bert_config.json"
POOLINGS = ("mean", "cls")
_MIN_LENGTH = 3  # [CLS], a token, [SEP]
_MAX_MODULES_BYTES = 2**20
# Names of the poolings in older and in newer files.
_POOLING_SWITCHES = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
_STEPS = (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])


@dataclasses.dataclass(frozen=True, kw_only=True)
class EmbeddingSettings:
    """How the outputs of an encoder become one vector for each text.

    Attributes:
      pooling: "mean" over all tokens of a text, [CLS] and [SEP] included, or "cls", the output at [CLS].
      normalize: whether vectors are divided by their Euclidean norm.
      max_length: tokens of a text that are used, [CLS] and [SEP] included; None for all that the
        encoder takes.
    """

    pooling: str = "mean"
    normalize: bool = False
    max_length: int | None = None


def read_source(path: str) -> tuple[ImportedBert, EmbeddingSettings]:
    """Read an encoder and its settings, which only sentence-transformers records.

    Args:
      path: export of `pretrain.export`, directory in Hugging Face's format or of sentence-transformers, or
        another source of `read_bert`.

    Raises:
      UserError: the encoder cannot be read, or embeds in a way that this program does not know.
    """
    refuse_run(path)
    directory, settings, lowers = Path(path), EmbeddingSettings(), False
    if (directory / MODULES_FILE).is_file():
        directory, settings, lowers = _read_modules(directory)
    try:
        imported = read_bert(str(directory))
    except UserError as error:
        raise UserError(str(error).replace("--from ", "--export ")) from error
    if lowers and not imported.lower_case:
        raise UserError(
            f"{directory / TRANSFORMER_FILE}: do_lower_case is true, but the tokenizer is cased; make"
            " them agree"
        )
    return imported, settings


def check_length(max_length: int | None, longest: int) -> int:
    """Return the number of tokens to use; raise a UserError if the encoder does not take as many.

    Args:
      max_length: value of --max_length, or None.
      longest: length of the longest input of the encoder.
    """
    if max_length is None:
        return longest
    if not _MIN_LENGTH <= max_length <= longest:
        raise UserError(
            f"--max_length {max_length}: must be between {_MIN_LENGTH} and {longest}, the longest input"
            " of this encoder"
        )
    return max_length


def _read_modules(directory: Path) -> tuple[Path, EmbeddingSettings, bool]:
    """Return folder of the encoder, settings, and whether text is lower-cased before the tokenizer."""
    modules = _list_modules(directory / MODULES_FILE)
    steps = [kind for kind, _ in modules]
    if steps not in _STEPS:
        raise UserError(
            f"{directory / MODULES_FILE}: the steps are {', '.join(steps)!r:.200}; known are Transformer,"
            " Pooling and, at the end, Normalize"
        )
    transformer, pooling = (directory / folder for _, folder in modules[:2])
    settings = EmbeddingSettings(
        pooling=_pooling(pooling / "config.json"), normalize=steps[-1] == "Normalize"
    )
    path = transformer / TRANSFORMER_FILE
    content = read_json(path) if path.is_file() else {}
    length = content.get("max_seq_length")
    if length is not None and (type(length) is not int or length < _MIN_LENGTH):
        raise UserError(f"{path}: max_seq_length is {length!r:.60}, not a length in tokens")
    settings = dataclasses.replace(settings, max_length=length)
    return transformer, settings, content.get("do_lower_case") is True


def _list_modules(path: Path) -> list[tuple[str, str]]:
    """Return kind and folder of each module."""
    try:
        content = json.loads(read_at_most(path, _MAX_MODULES_BYTES))
    except (ValueError, RecursionError):
        content = None
    entries = content if isinstance(content, list) else [None]
    modules = []
    for entry in entries:
        fields = entry if isinstance(entry, dict) else {}
        kind, folder = fields.get("type"), fields.get("path")
        if not isinstance(kind, str) or not isinstance(folder, str):
            raise UserError(f"{path} is not a list of modules, each with a type and a path")
        if folder and not is_inside(folder):
            raise UserError(f"{path}: {folder!r:.60} is not a folder in {path.parent}")
        modules.append((kind.rpartition(".")[2], folder))
    return modules


def _pooling(path: Path) -> str:
    """Return the pooling in its configuration; raise a UserError for one that is not in POOLINGS."""
    content = read_json(path)
    found: Any = content.get("pooling_mode")
    if found is None:
        switched_on = [
            name
            for name, value in content.items()
            if name.startswith("pooling_mode_") and value is True
        ]
        found = [_POOLING_SWITCHES.get(name, name) for name in switched_on] or "mean"
    if isinstance(found, list) and len(found) == 1:
        found = found[0]
    if found not in POOLINGS:
        raise UserError(
            f"{path}: the pooling is {json.dumps(found):.100}; known are {' and '.join(POOLINGS)}"
        )
    if content.get("include_prompt") is False:
        raise UserError(f"{path}: include_prompt is false; texts have no prompt here")
    return str(found)
