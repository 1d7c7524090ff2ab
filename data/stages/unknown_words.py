"""Count the words of a corpus that become [UNK], with an example of each."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from data import schema
from data.text.wordpiece import WordPieceTokenizer
from data.vocab import Vocab

COUNT, EXAMPLE = "count", "example"
MOST_OF_UNIT, MOST_OF_BUILD = 1000, 20  # words that a report and a manifest keep
_CONTEXT = 30  # characters before and after the word in an example
_MAX_CHARACTERS = 100  # of a word; longer ones are [UNK] for their length

# By word: COUNT, and EXAMPLE, text around one of its occurrences.
UnknownWords = dict[str, dict[str, Any]]


class UnknownWordCounter:
    """Finds the words behind [UNK] in tokenized sentences."""

    def __init__(self, vocab: Vocab):
        self._unknown_id = vocab.ids[schema.UNK]
        self._words: UnknownWords = {}

    def add(
        self,
        sentences: Sequence[str],
        ids: np.ndarray,
        lengths_K: np.ndarray,
        tokenizer: WordPieceTokenizer,
    ) -> None:
        """Count the unknown words of K sentences; only sentences that have some are tokenized again.

        Args:
          sentences: K sentences.
          ids: their concatenated token ids.
          lengths_K: the number of tokens of each.
          tokenizer: tokenizer that made the ids.
        """
        is_unknown = ids == self._unknown_id
        if not is_unknown.any():
            return
        sentence_of_token = np.repeat(np.arange(len(sentences)), lengths_K)
        affected = [sentences[k] for k in np.unique(sentence_of_token[is_unknown])]
        ids, lengths, begins, ends = tokenizer.encode_with_offsets(affected)
        rows = np.repeat(np.arange(len(affected)), lengths)
        is_unknown = ids == self._unknown_id
        for row, begin, end in zip(
            rows[is_unknown], begins[is_unknown], ends[is_unknown], strict=True
        ):
            self._count(affected[row], int(begin), int(end))

    def _count(self, sentence: str, begin: int, end: int) -> None:
        word = sentence[begin : min(end, begin + _MAX_CHARACTERS)]
        if word in self._words:
            self._words[word][COUNT] += 1
        else:
            example = sentence[max(begin - _CONTEXT, 0) : begin + len(word) + _CONTEXT]
            self._words[word] = {COUNT: 1, EXAMPLE: example}

    def report(self) -> UnknownWords:
        """Return the MOST_OF_UNIT most frequent words."""
        return most_frequent([self._words], MOST_OF_UNIT)


def most_frequent(
    reports: Iterable[Mapping[str, Mapping[str, Any]]], most: int = MOST_OF_BUILD
) -> UnknownWords:
    """Return the most frequent words of several reports together; their order makes no difference.

    Args:
      reports: words with count and example.
      most: number of words to keep.
    """
    total: UnknownWords = {}
    for report in reports:
        for word, entry in report.items():
            known = total.setdefault(word, {COUNT: 0, EXAMPLE: entry[EXAMPLE]})
            known[COUNT] += entry[COUNT]
            known[EXAMPLE] = min(known[EXAMPLE], entry[EXAMPLE])
    return dict(sorted(total.items(), key=lambda item: (-item[1][COUNT], item[0]))[:most])


def characters_without_piece(word: str, vocab: Vocab) -> str:
    """Return the characters of a word, as written, that no piece contains, in order, each once."""
    known = set("".join(piece for piece in vocab.pieces if piece not in schema.SPECIAL_TOKENS))
    return "".join(dict.fromkeys(c for c in word if not _forms(c) & known))


def _forms(character: str) -> set[str]:
    """Return a character, and what it becomes in uncased text."""
    lower = character.lower()
    return {character, lower, *(unicodedata.normalize("NFD", lower)[:1])}
