"""Settings of Hugging Face's tokenizers, which ours must share for its tokens to be the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data import schema
from data.errors import UserError
from data.vocab import Vocab
from pretrain.convert.common import read_json

_NORMALIZER = "BertNormalizer"
# By file: its names of our settings, and where they are not named, their defaults.
_LOWER_CASE, _ACCENTS, _CHINESE = "lower case", "accents", "Chinese characters"
_NAMES = {
    "tokenizer_config.json": {
        _LOWER_CASE: "do_lower_case",
        _ACCENTS: "strip_accents",
        _CHINESE: "tokenize_chinese_chars",
    },
    "tokenizer.json": {
        _LOWER_CASE: "lowercase",
        _ACCENTS: "strip_accents",
        _CHINESE: "handle_chinese_chars",
    },
}
_MAX_TOKENS = 5  # in a message


def read_lower_case(directory: Path) -> bool | None:
    """Return whether a tokenizer lower-cases; None if none of its files says so.

    Raises:
      UserError: the files contradict each other, or ask for something that our tokenizer does not do:
        it strips accents where it lower-cases, and nowhere else, and separates Chinese characters.
    """
    known: dict[str, bool] = {}
    for name in _NAMES:
        path = directory / name
        value = _lower_case_in(path, _settings(path)) if path.is_file() else None
        if value is not None:
            known[name] = value
    if len(set(known.values())) > 1:
        found = " and ".join(
            f"{_NAMES[name][_LOWER_CASE]} is {str(value).lower()} in {name}"
            for name, value in known.items()
        )
        raise UserError(f"{directory}: {found}; make them agree")
    return next(iter(known.values()), None)


def _settings(path: Path) -> Mapping[str, Any]:
    content = read_json(path)
    if path.name != "tokenizer.json":
        return content
    normalizer = content.get("normalizer", {"type": _NORMALIZER})
    if not isinstance(normalizer, dict) or normalizer.get("type") != _NORMALIZER:
        kind = normalizer.get("type") if isinstance(normalizer, dict) else normalizer
        raise UserError(
            f"{path}: its normalizer is {kind!r:.60}; this tokenizer has {_NORMALIZER!r}, so its"
            " tokens would differ"
        )
    return normalizer


def _lower_case_in(path: Path, settings: Mapping[str, Any]) -> bool | None:
    names = _NAMES[path.name]
    values = {}
    for ours, theirs in names.items():
        value = settings.get(theirs)
        if value is not None and not isinstance(value, bool):
            raise UserError(f"{path}: {theirs} is {value!r:.60}, neither true nor false")
        values[ours] = value
    lower_case, accents = values[_LOWER_CASE], values[_ACCENTS]
    if accents is not None and accents != (lower_case is not False):
        raise UserError(
            f"{path}: {names[_ACCENTS]} is {str(accents).lower()} and {names[_LOWER_CASE]} is"
            f" {str(lower_case is not False).lower()}; this tokenizer strips accents if it lower-cases,"
            " and keeps them if not"
        )
    if values[_CHINESE] is False:
        raise UserError(
            f"{path}: {names[_CHINESE]} is false; this tokenizer separates Chinese characters"
        )
    return lower_case


def check_added_tokens(directory: Path, vocab: Vocab) -> None:
    """Raise a UserError if a tokenizer has tokens of its own beyond the vocabulary.

    Args:
      directory: directory with the tokenizer's files.
      vocab: its vocabulary, or one that was given in its place.
    """
    added: dict[str, Any] = {}
    if (path := directory / "added_tokens.json").is_file():
        added |= read_json(path)
    if (path := directory / "tokenizer.json").is_file():
        entries = read_json(path).get("added_tokens")
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict) and isinstance(entry.get("content"), str):
                added[entry["content"]] = entry.get("id")
    if missing := [token for token in added if token not in vocab.ids]:
        shown = ", ".join(f"{token!r:.40}" for token in missing[:_MAX_TOKENS])
        more = f" and {len(missing) - _MAX_TOKENS:,} more" if len(missing) > _MAX_TOKENS else ""
        raise UserError(
            f"{directory}: its tokenizer adds {shown}{more}, which {schema.VOCAB_FILE} lacks; append them"
            " to a copy, in the order of their ids, and give it as --vocab_file"
        )
