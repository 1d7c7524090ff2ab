"""Learn a WordPiece vocabulary reproducibly."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import regex

from data import schema
from data.errors import UserError
from data.sources.progress import Phase, Progress
from data.vocab import MAX_PIECE_BYTES, Vocab
from data.vocab.graph_tokenizer import GraphTokenizer
from data.vocab.normalization import normalize_for_learning

# Without --max_characters, characters beyond this number get pieces while a text needs them: Chinese
# does, an alphabet does not.
_USUAL_CHARACTERS = 1000
_COVERAGE = 0.9999
# What BERT's tokenizer takes for Chinese.
_CHINESE_RANGES = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f"
_CHINESE = regex.compile(f"[{_CHINESE_RANGES}]")
# Words between white space, punctuation (as BERT has it) and Chinese that may be too long to learn.
_LONG_WORD = regex.compile(
    rf"[^\s\p{{P}}$+<=>^`|~{_CHINESE_RANGES}]{{{MAX_PIECE_BYTES // 4 + 1},}}+"
)
_BATCH_CHARACTERS, _CHECKED_CHARACTERS = 10**6, 20 * 10**6


def learn(
    texts: Iterable[str],
    *,
    vocab_size: int,
    min_frequency: int = 2,
    max_characters: int | None = None,
    lower_case: bool = True,
) -> Vocab:
    """Learn a WordPiece vocabulary; equal texts give an equal vocabulary.

    The trainer of Hugging Face tokenizers numbers single characters in the order of a hash map and
    breaks ties by these numbers, so its runs differ. Here the trainer runs twice: without merges, to
    collect the characters, and again starting from the characters in sorted order.

    Args:
      texts: paragraphs of text.
      vocab_size: number of pieces, special tokens included.
      min_frequency: minimum number of occurrences for a pair to be merged.
      max_characters: number of characters, the most frequent ones, that get a piece of their own;
        None takes 1,000, or as many as make up 99.99% of the text if those are more and the
        vocabulary has room for them.
      lower_case: whether to lower-case text and strip accents first ("uncased").

    Raises:
      UserError: there is no text, or vocab_size is smaller than special tokens and characters
        together, or larger than the number of pieces that the text supports.
    """
    texts = list(texts)
    normal = normalize_for_learning(_watched(texts, "preparing text"), lower_case=lower_case)
    texts = list(map(_without_long_words, normal))
    texts = _replace_rare_characters(texts, max_characters, vocab_size=vocab_size)
    specials = list(schema.SPECIAL_TOKENS)
    characters = _train(texts, 0, min_frequency, specials)[len(specials) :]
    if not characters:
        raise UserError("there is no text to learn a vocabulary from")
    alphabet = sorted(piece for piece in characters if not piece.startswith("##"))
    continuations = sorted(set(characters) - set(alphabet))
    fixed = specials + alphabet + continuations
    if vocab_size < len(fixed):
        raise UserError(
            f"--vocab_size {vocab_size} is too small: special tokens and single characters alone take"
            f" {len(fixed)} pieces"
        )
    pieces = _train(texts, vocab_size, min_frequency, fixed)
    if len(pieces) < vocab_size:
        raise UserError(
            f"--vocab_size {vocab_size}: the text has only {len(pieces)} pieces that occur"
            f" {min_frequency} times or more; give more text, or ask for at most that many"
        )
    return Vocab(tuple(pieces))


def _train(
    texts: Sequence[str], size: int, min_frequency: int, special_tokens: list[str]
) -> list[str]:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token=schema.UNK))
    # The texts are normalised already, but for spaces around Chinese characters.
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=False, handle_chinese_chars=True, strip_accents=False, lowercase=False
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=min_frequency,
        special_tokens=special_tokens,
        show_progress=False,
    )
    with contextlib.ExitStack() as merging:

        def words() -> Iterator[str]:
            yield from _watched(texts, "counting words")
            # The library does not say how far it is.
            phase = Phase(name=f"choosing {size:,} pieces", total=None, unit="piece")
            merging.enter_context(Progress(phase, program="vocab"))

        tokenizer.train_from_iterator(words(), trainer)
    ids = tokenizer.get_vocab()
    return sorted(ids, key=ids.__getitem__)


def _without_long_words(text: str) -> str:
    """Leave out words that could become a piece too long for the tokenizer.

    The trainer's time grows with the square of a word's length, too.
    """

    def replace(match: regex.Match[str]) -> str:
        return " " if len(match[0].encode()) > MAX_PIECE_BYTES else match[0]

    return _LONG_WORD.sub(replace, text)


def _replace_rare_characters(
    texts: list[str], max_characters: int | None, *, vocab_size: int
) -> list[str]:
    """Replace all but the most frequent characters by spaces; break ties by code point."""
    counts: collections.Counter[str] = collections.Counter()
    for text in texts:
        counts.update(text)
    ranked = sorted(counts, key=lambda character: (-counts[character], character))
    if max_characters is None:
        covered = np.cumsum([0, *(counts[character] for character in ranked)])
        needed = int(np.searchsorted(covered, _COVERAGE * covered[-1]))
        # Inside a word a character is another piece ("##a"); Chinese ones are words of their own.
        pieces = np.cumsum([1 if _CHINESE.match(character) else 2 for character in ranked])
        fitting = int(np.searchsorted(pieces, vocab_size - len(schema.SPECIAL_TOKENS), "right"))
        max_characters = max(_USUAL_CHARACTERS, min(needed, fitting))
    if len(ranked) <= max_characters:
        return texts
    spaces = dict.fromkeys(map(ord, ranked[max_characters:]), " ")
    return [text.translate(spaces) for text in texts]


@dataclasses.dataclass(frozen=True)
class Coverage:
    """How a vocabulary fits a text."""

    tokens: int
    unknown_tokens: int
    # Pieces, special ones apart, that no part of the text is made of.
    unused_pieces: int
    # The most frequent words that became [UNK], as written, with their numbers.
    unknown_words: tuple[tuple[str, int], ...]

    @property
    def unknown_share(self) -> float:
        """Share of tokens that are [UNK]."""
        return self.unknown_tokens / max(self.tokens, 1)


def measure_coverage(vocab: Vocab, texts: Sequence[str], *, lower_case: bool) -> Coverage:
    """Tokenize texts, at most 20 million characters of them, as a build will.

    Args:
      vocab: vocabulary.
      texts: paragraphs.
      lower_case: whether the vocabulary is uncased.
    """
    import tensorflow as tf

    tokenizer = GraphTokenizer(vocab.pieces, lower_case=lower_case)
    counts = np.zeros(len(vocab), np.int64)
    unknown_words: collections.Counter[str] = collections.Counter()
    unknown_id = vocab.ids[schema.UNK]
    for batch in _batches(texts, "tokenizing the text again"):
        ids, begins, ends = tokenizer.tokenize_with_offsets(tf.constant(batch))
        counts += np.bincount(ids.values, minlength=len(vocab))
        is_unknown = ids.values.numpy() == unknown_id
        rows = ids.value_rowids().numpy()[is_unknown]
        ranges = zip(
            begins.values[is_unknown].numpy(), ends.values[is_unknown].numpy(), strict=True
        )
        for row, (begin, end) in zip(rows, ranges, strict=True):
            unknown_words[batch[row].encode()[begin:end].decode(errors="replace")] += 1
    counts[unknown_id], unknown = 0, int(counts[unknown_id])
    unused = int(np.count_nonzero(counts == 0)) - len(vocab.special_ids)
    ranked = sorted(unknown_words.items(), key=lambda item: (-item[1], item[0]))
    return Coverage(int(counts.sum()) + unknown, unknown, unused, tuple(ranked[:5]))


def _batches(texts: Sequence[str], name: str) -> Iterator[list[str]]:
    """Yield texts in lists of about a million characters, until there are enough to check."""
    batch: list[str] = []
    num_characters = size = 0
    total = min(sum(map(len, texts)), _CHECKED_CHARACTERS)
    with Progress(Phase(name=name, total=total, unit="character"), program="vocab") as progress:
        for text in texts:
            batch.append(text)
            size += len(text)
            if size >= _BATCH_CHARACTERS:
                yield batch
                num_characters += size
                progress.update(min(num_characters, total))
                batch, size = [], 0
                if num_characters >= _CHECKED_CHARACTERS:
                    return
        if batch:
            yield batch


def _watched(texts: Sequence[str], name: str) -> Iterator[str]:
    """Yield texts, and show how many of their characters are done."""
    done, total = 0, sum(map(len, texts))
    with Progress(Phase(name=name, total=total, unit="character"), program="vocab") as progress:
        for text in texts:
            yield text
            done += len(text)
            progress.update(done)
