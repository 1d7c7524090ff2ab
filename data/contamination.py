"""Text of evaluation sets that must not be trained on.

A paragraph that shares a run of 13 words with an evaluation file is left out, as in GPT-3
(https://arxiv.org/abs/2005.14165, appendix C). Words are compared in lower case, without punctuation.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence

import numpy as np

from data import files
from data.documents import InputFile, open_compressed
from data.errors import UserError
from data.hashing import mix64

NGRAM_WORDS = 13
_WORD = re.compile(r"\w+")


class NgramFilter:
    """Tells which paragraphs share an n-gram of words with evaluation files."""

    def __init__(self, hashes: np.ndarray):
        """Takes the sorted hashes of the n-grams, uint64, as `from_files` computes them."""
        self._hashes = hashes

    @classmethod
    def from_files(cls, inputs: Sequence[InputFile]) -> NgramFilter:
        """Reads evaluation files: all strings of .json and .jsonl, the fields of .tsv, else lines.

        Raises:
          UserError: a file is not UTF-8 or not JSON, or none holds as much as 13 words in a row.
        """
        found = [_ngram_hashes(text) for file in inputs for text in _texts(file)]
        hashes = np.unique(np.concatenate([np.zeros(0, np.uint64), *found]))
        if inputs and not len(hashes):
            raise UserError(
                f"--decontaminate: the {len(inputs)} files hold no run of {NGRAM_WORDS} words"
            )
        return cls(hashes)

    def save(self, path: str) -> None:
        """Writes the hashes as a .npy file, which `load` reads."""
        with files.atomic_write(path) as file:
            np.save(file, self._hashes, allow_pickle=False)

    @classmethod
    def load(cls, path: str) -> NgramFilter:
        """Reads what `save` wrote."""
        with files.open_read(path) as file:
            return cls(np.load(file, allow_pickle=False))

    def matches(self, paragraph: str) -> bool:
        """Whether the paragraph shares an n-gram with an evaluation file."""
        if not len(self._hashes):
            return False
        hashes = _ngram_hashes(paragraph)
        place = np.searchsorted(self._hashes, hashes)
        return bool((self._hashes[np.minimum(place, len(self._hashes) - 1)] == hashes).any())


def _ngram_hashes(text: str) -> np.ndarray:
    words = _WORD.findall(text.lower())
    count = len(words) - NGRAM_WORDS + 1
    if count <= 0:
        return np.zeros(0, np.uint64)
    digests = b"".join(hashlib.blake2b(word.encode(), digest_size=8).digest() for word in words)
    word_hashes = np.frombuffer(digests, "<u8")
    key = np.zeros(count, np.uint64)
    for place in range(NGRAM_WORDS):
        key = mix64(key ^ word_hashes[place : place + count])
    return key


def _texts(file: InputFile) -> Iterator[str]:
    try:
        with open_compressed(file.path) as stream:
            content = stream.read().decode("utf-8-sig")
        name = re.sub(r"\.(gz|bz2)$", "", file.path)
        if name.endswith(".json"):
            yield from _strings(json.loads(content))
        elif name.endswith(".jsonl"):
            for line in filter(str.strip, content.splitlines()):
                yield from _strings(json.loads(line))
        else:
            yield from re.split(r"[\t\r\n]+" if name.endswith(".tsv") else r"[\r\n]+", content)
    except (OSError, EOFError, ValueError) as error:
        raise UserError(f"--decontaminate {file.path} cannot be read: {error}") from error


def _strings(value) -> Iterator[str]:
    """All strings inside a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _strings(item)
