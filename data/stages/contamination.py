"""Find paragraphs that overlap with evaluation sets, which must not be trained on.

A paragraph is contaminated if it has a word of an n-gram of 13 words that also occurs in an
evaluation file, much as in GPT-3 (https://arxiv.org/abs/2005.14165, appendix C). Words are compared
in lower case and without punctuation.
"""

from __future__ import annotations

import functools
import hashlib
import io
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TextIO

import numpy as np
from absl import logging

from data import files
from data.errors import UserError
from data.hashing import mix64
from data.sources.compressed.codecs import plain_name
from data.sources.documents import InputFile, normalise
from data.sources.parquet import is_parquet, read_values
from data.sources.streams import as_stream, open_chunks
from data.storage.rows import save_npy
from data.text.words import words

NGRAM_WORDS = 13
# A small compressed file can unpack to any size. JSON takes many times its size in memory.
_MAX_BYTES, _MAX_JSON_BYTES, _MAX_LINE = 2**28, 2**27, 2**24
_MAX_NAMED = 3
_HASHED_TOGETHER, _MIN_MERGED = 2**13, 2**20  # words, hashes


class NgramFilter:
    """Finds paragraphs that share an n-gram of words with evaluation files."""

    def __init__(self, hashes: np.ndarray):
        """Create a filter from the sorted hashes of n-grams, uint64; see `from_files`."""
        self._hashes = hashes

    @classmethod
    def from_files(cls, inputs: Sequence[InputFile]) -> NgramFilter:
        """Read evaluation files.

        A text is a string of .json, .jsonl and .parquet, a field of .tsv, and in other files a
        paragraph between blank lines.

        Raises:
          UserError: a file is damaged, too large, not UTF-8 or not JSON, or no text has 13 words.
        """
        hashes, pending, num_pending = np.zeros(0, np.uint64), [], 0
        without = []  # files
        for file in inputs:
            num_before = num_ngrams = len(hashes) + num_pending
            for ngrams in (ngrams for text in _texts(file) for ngrams in _text_hashes(text)):
                pending.append(ngrams)
                num_pending += len(ngrams)
                num_ngrams += len(ngrams)
                # Sorting as many new hashes as there are takes linear time in all.
                if num_pending > max(_MIN_MERGED, len(hashes)):
                    hashes = np.unique(np.concatenate([hashes, *pending]))
                    pending, num_pending = [], 0
            without += [file.path] * (num_ngrams == num_before)
        hashes = np.unique(np.concatenate([hashes, *pending]))
        if without:
            more = f" and {len(without) - _MAX_NAMED:,} more" * (len(without) > _MAX_NAMED)
            names = f"{', '.join(without[:_MAX_NAMED])}{more}"
            problem = f"--decontaminate {names}: no run of {NGRAM_WORDS} words"
            if len(without) == len(inputs):
                raise UserError(
                    f"{problem}, so nothing can be compared; give files with longer texts"
                )
            logging.warning(f"{problem}; nothing is compared with it")
        return cls(hashes)

    @property
    def sha256(self) -> str:
        """Hash of the n-grams."""
        return hashlib.sha256(self._hashes.tobytes()).hexdigest()

    def save(self, path: str) -> None:
        """Write the hashes as a .npy file for `load`."""
        with files.atomic_write(path) as file:
            save_npy(file, self._hashes)

    @classmethod
    def load(cls, path: str) -> NgramFilter:
        """Read a file of `save`."""
        with files.open_read(path) as file:
            return cls(np.load(file, allow_pickle=False))

    def matching(self, paragraphs: Sequence[str]) -> list[bool]:
        """Return whether each paragraph of a document has a word of a contaminated n-gram.

        N-grams run across paragraphs, because a paragraph is often a single sentence.
        """
        if not len(self._hashes):
            return [False] * len(paragraphs)
        words_of = [words(paragraph) for paragraph in paragraphs]
        ngrams = _ngram_hashes([word for paragraph in words_of for word in paragraph])
        nearest = np.searchsorted(self._hashes, ngrams)
        first_words = np.flatnonzero(
            self._hashes[np.minimum(nearest, len(self._hashes) - 1)] == ngrams
        )
        if not len(first_words):
            return [False] * len(paragraphs)
        matched = np.unique(first_words[:, np.newaxis] + np.arange(NGRAM_WORDS))
        paragraph_of_word = np.repeat(np.arange(len(paragraphs)), list(map(len, words_of)))
        return np.isin(np.arange(len(paragraphs)), paragraph_of_word[matched]).tolist()


def _ngram_hashes(text_words: list[str]) -> np.ndarray:
    """Return the hash of each n-gram, uint64 [words - 12]."""
    count = len(text_words) - NGRAM_WORDS + 1
    if count <= 0:
        return np.zeros(0, np.uint64)
    word_hashes = np.frombuffer(b"".join(map(_word_digest, text_words)), "<u8")
    key = np.zeros(count, np.uint64)
    for i in range(NGRAM_WORDS):
        key = mix64(key ^ word_hashes[i : i + count])
    return key


@functools.lru_cache(maxsize=2**16)
def _word_digest(word: str) -> bytes:
    return hashlib.blake2b(word.encode(), digest_size=8).digest()


def _text_hashes(lines: Iterable[str]) -> Iterator[np.ndarray]:
    """Yield the hashes of the n-grams of a text, which may cross its lines."""
    text_words: list[str] = []
    for line in lines:
        text_words += words(normalise(line))
        if len(text_words) >= _HASHED_TOGETHER:
            yield _ngram_hashes(text_words)
            text_words = text_words[1 - NGRAM_WORDS :]
    yield _ngram_hashes(text_words)


def _texts(file: InputFile) -> Iterator[Iterable[str]]:
    """Yield the texts of a file, each as lines, without holding the file in memory."""
    if is_parquet(file.path):
        for row in read_values(file, max_bytes=_MAX_JSON_BYTES):
            yield from ([string] for string in _strings(row))
        return
    name = plain_name(file.path)
    limit = _MAX_JSON_BYTES if name.endswith(".json") else _MAX_BYTES
    try:
        with open_chunks(file.path) as chunks:
            stream = as_stream(_limited(chunks, file, limit))
            # Lines end at "\n" only, because a string of JSON may contain U+2028.
            text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="\n")
            if name.endswith(".json"):
                yield from ([string] for string in _strings(json.loads(text.read())))
            elif name.endswith(".jsonl"):
                for line in filter(str.strip, _lines(text, file)):
                    yield from ([string] for string in _strings(json.loads(line)))
            elif name.endswith(".tsv"):
                for line in _lines(text, file):
                    yield from ([field] for field in re.split(r"[\t\r\n]+", line))
            else:
                for _, paragraph in itertools.groupby(_lines(text, file), key=str.isspace):
                    yield paragraph
    except UserError:
        raise
    except (ValueError, RecursionError) as error:
        raise UserError(f"--decontaminate {file.path} cannot be read: {error}") from error


def _limited(chunks: Iterator[bytes], file: InputFile, limit: int) -> Iterator[bytes]:
    """Yield chunks; raise a UserError if they have more than `limit` bytes."""
    num_bytes = 0
    for chunk in chunks:
        num_bytes += len(chunk)
        if num_bytes > limit:
            raise UserError(
                f"--decontaminate {file.path} has more than {limit:,} bytes of text; give"
                " evaluation files only, or split it"
            )
        yield chunk


def _lines(text: TextIO, file: InputFile) -> Iterator[str]:
    while line := text.readline(_MAX_LINE + 1):
        if len(line) > _MAX_LINE:
            raise UserError(
                f"--decontaminate {file.path} has a line of more than {_MAX_LINE:,} characters;"
                " divide it"
            )
        yield line


def _strings(value: Any) -> Iterator[str]:
    """Yield all strings inside a JSON value."""
    pending = [value]
    while pending:
        match pending.pop():
            case str() as text:
                yield text
            case dict() as members:
                pending += reversed(members.values())
            case list() as items:
                pending += reversed(items)
