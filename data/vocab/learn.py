"""Learn a WordPiece vocabulary reproducibly."""

from __future__ import annotations

import collections
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from data import schema
from data.config import BuildConfig
from data.errors import UserError
from data.sources.documents import Document, InputFile, Reject, text_bytes
from data.sources.formats import read_part, split_file
from data.vocab import Vocab


def learn(
    texts: Iterable[str],
    *,
    vocab_size: int,
    min_frequency: int = 2,
    max_characters: int = 1000,
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
      max_characters: number of characters, the most frequent ones, that get a piece of their own.
      lower_case: whether to lower-case text and strip accents first ("uncased").

    Raises:
      UserError: there is no text, or vocab_size is smaller than special tokens and characters
        together, or larger than the number of pieces that the text supports.
    """
    # Uncased tokenization strips accents: decompose them, so that they do not add characters.
    form: Literal["NFD", "NFC"] = "NFD" if lower_case else "NFC"
    texts = [unicodedata.normalize(form, text) for text in texts]
    texts = _replace_rare_characters(texts, max_characters=max_characters)
    specials = list(schema.SPECIAL_TOKENS)
    characters = _train(texts, 0, min_frequency, specials, lower_case)[len(specials) :]
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
    pieces = _train(texts, vocab_size, min_frequency, fixed, lower_case)
    if len(pieces) < vocab_size:
        raise UserError(
            f"--vocab_size {vocab_size}: the text has only {len(pieces)} pieces that occur"
            f" {min_frequency} times or more; give more text, or ask for at most that many"
        )
    return Vocab(tuple(pieces))


def _train(
    texts: Sequence[str], size: int, min_frequency: int, special_tokens: list[str], lower_case: bool
) -> list[str]:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token=schema.UNK))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lower_case)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=min_frequency,
        special_tokens=special_tokens,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    ids = tokenizer.get_vocab()
    return sorted(ids, key=ids.__getitem__)


def _replace_rare_characters(texts: list[str], *, max_characters: int) -> list[str]:
    """Replace all but the most frequent characters by spaces; break ties by code point."""
    counts: collections.Counter[str] = collections.Counter()
    for text in texts:
        counts.update(text)
    ranked = sorted(counts, key=lambda character: (-counts[character], character))
    if len(ranked) <= max_characters:
        return texts
    spaces = dict.fromkeys(map(ord, ranked[max_characters:]), " ")
    return [text.translate(spaces) for text in texts]


def read_paragraphs(inputs: Sequence[InputFile], *, max_bytes: int) -> Iterator[str]:
    """Yield the clean paragraphs of the files until they have `max_bytes` bytes of UTF-8."""
    from tqdm import tqdm

    num_bytes = 0
    for file in tqdm(inputs, desc="reading", unit="file", disable=None):
        for part in split_file(file):
            for item in read_part(part, max_document_bytes=BuildConfig.max_document_bytes):
                if isinstance(item, Reject):
                    print(f"skipped {item.source} at {item.offset}: {item.reason}")
                if not isinstance(item, Document):
                    continue
                yield from item.paragraphs
                num_bytes += sum(text_bytes(item.paragraphs))
                if num_bytes >= max_bytes:
                    print(f"stopped reading after {num_bytes:,} bytes of text (--max_megabytes)")
                    return
