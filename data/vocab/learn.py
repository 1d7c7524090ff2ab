"""Learning a WordPiece vocabulary: the same text always gives the same one."""

from __future__ import annotations

import collections
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

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
    """Learns a WordPiece vocabulary; the same texts always give the same one.

    The trainer of Hugging Face tokenizers numbers single letters in the order of a hash map and
    breaks ties by these numbers, so two runs differ. Here the letters are numbered by us: a first
    pass with no merges finds them, the second one starts from them in sorted order.

    Args:
      texts: paragraphs of text.
      vocab_size: pieces, special tokens included.
      min_frequency: how often a pair must occur to be merged.
      max_characters: the most frequent characters that get a piece of their own.
      lower_case: lower-case and strip accents first ("uncased").

    Raises:
      UserError: no text, or vocab_size is smaller than the special tokens and the alphabet, or
        larger than what the text gives.
    """
    # As the tokenizer will see it: "uncased" takes accents off, so they do not make new characters.
    form = "NFD" if lower_case else "NFC"
    texts = [unicodedata.normalize(form, text) for text in texts]
    texts = _without_rare_characters(texts, max_characters=max_characters)
    specials = list(schema.SPECIAL_TOKENS)
    letters = _train(texts, 0, min_frequency, specials, lower_case)[len(specials) :]
    if not letters:
        raise UserError("there is no text to learn a vocabulary from")
    alphabet = sorted(piece for piece in letters if not piece.startswith("##"))
    continuations = sorted(set(letters) - set(alphabet))
    fixed = specials + alphabet + continuations
    if vocab_size < len(fixed):
        raise UserError(
            f"--vocab_size {vocab_size} is too small: special tokens and single letters alone take"
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


def _without_rare_characters(texts: list[str], *, max_characters: int) -> list[str]:
    """Keeps the most frequent characters (ties by code point); the others become blanks."""
    counts: collections.Counter[str] = collections.Counter()
    for text in texts:
        counts.update(text)
    ranked = sorted(counts, key=lambda character: (-counts[character], character))
    if len(ranked) <= max_characters:
        return texts
    blanks = dict.fromkeys(map(ord, ranked[max_characters:]), " ")
    return [text.translate(blanks) for text in texts]


def paragraphs_of(inputs: Sequence[InputFile], *, max_bytes: int) -> Iterator[str]:
    """The clean paragraphs of the files, up to a number of bytes."""
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
