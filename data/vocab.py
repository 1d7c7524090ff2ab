"""The WordPiece vocabulary: reading and checking one, and learning one from text.

    python -m data.vocab --input 'samples/books/*.txt' --vocab_size 8000 --output_file vocab.txt

A vocabulary file has one piece a line, the line number is the id: BERT's format.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import functools
import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from data import schema
from data.errors import UserError, run_main
from data.files import require_local, write_atomically

# Placeholders of the published vocabularies, which no text contains.
_UNUSED = re.compile(r"\[unused\d+\]")


@dataclasses.dataclass(frozen=True)
class Vocab:
    """A checked vocabulary: `pieces[i]` has id i."""

    pieces: tuple[str, ...]

    @classmethod
    def load(cls, path: str | os.PathLike) -> Vocab:
        """Reads a vocabulary file.

        Raises:
          UserError: no such file, not UTF-8, an empty or repeated piece, or a special token missing.
        """
        try:
            with open(path, encoding="utf-8") as file:
                pieces = tuple(line.rstrip("\r\n") for line in file)
        except FileNotFoundError:
            raise UserError(
                f"vocabulary file {path} does not exist; learn one with `python -m data.vocab`"
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"vocabulary file {path} cannot be read: {error}") from error
        if missing := [token for token in schema.SPECIAL_TOKENS if token not in set(pieces)]:
            raise UserError(
                f"vocabulary file {path} ({len(pieces)} pieces) has no {', '.join(missing)};"
                " use a BERT vocabulary, one piece a line, or learn one with `python -m data.vocab`"
            )
        first_line: dict[str, int] = {}
        for number, piece in enumerate(pieces, start=1):
            if not piece:
                raise UserError(f"vocabulary file {path}: line {number} is empty")
            if first_line.setdefault(piece, number) != number:
                raise UserError(
                    f"vocabulary file {path}: {piece!r} stands on lines {first_line[piece]} and {number}"
                )
        return cls(pieces)

    def __len__(self) -> int:
        return len(self.pieces)

    @functools.cached_property
    def ids(self) -> dict[str, int]:
        """Id of each piece."""
        return {piece: i for i, piece in enumerate(self.pieces)}

    @functools.cached_property
    def special_ids(self) -> np.ndarray:
        """Sorted ids that are never masked and never drawn as replacements, int64 [n]."""
        special = [
            i
            for i, piece in enumerate(self.pieces)
            if piece in schema.SPECIAL_TOKENS or _UNUSED.fullmatch(piece)
        ]
        return np.array(special, np.int64)

    @functools.cached_property
    def sha256(self) -> str:
        """Hash of the pieces in order."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def text(self) -> str:
        """The content of the vocabulary file."""
        return "".join(f"{piece}\n" for piece in self.pieces)

    @property
    def token_dtype(self) -> np.dtype:
        """The smallest unsigned type that holds every id."""
        return np.dtype(np.uint16 if len(self) <= 2**16 else np.uint32)


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


def _paragraphs(patterns: Sequence[str], *, max_bytes: int) -> Iterator[str]:
    """The clean paragraphs of dumps (files with ".xml" in their name) and books (any other)."""
    from tqdm import tqdm

    from data.documents import Reject, find_inputs
    from data.sources import read_input

    files = []
    for pattern in patterns:
        for file in find_inputs("input", pattern):
            is_dump = ".xml" in Path(file.path).name
            files.append(dataclasses.replace(file, kind="wiki" if is_dump else "books"))
    num_bytes = 0
    for file in tqdm(files, desc="reading", unit="file", disable=None):
        for document in read_input(file):
            if isinstance(document, Reject):
                print(f"skipped {document.source} at {document.offset}: {document.reason}")
                continue
            for paragraph in document.paragraphs:
                yield paragraph
                num_bytes += len(paragraph.encode())
            if num_bytes >= max_bytes:
                print(f"stopped reading after {num_bytes:,} bytes of text (--max_megabytes)")
                return


def main(argv: Sequence[str]) -> None:
    """Learns a vocabulary from files."""
    parser = argparse.ArgumentParser(
        prog="python -m data.vocab",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--input", action="extend", nargs="+", required=True, metavar="GLOB")
    parser.add_argument("--vocab_size", type=int, default=30522)
    parser.add_argument("--output_file", required=True)
    parser.add_argument("--cased", action="store_true", help="keep case and accents")
    parser.add_argument("--max_megabytes", type=int, default=500, help="text to learn from")
    args = parser.parse_args(argv)
    require_local("--output_file", args.output_file)
    if os.path.exists(args.output_file):
        vocab = Vocab.load(args.output_file)
        if len(vocab) != args.vocab_size:
            raise UserError(
                f"{args.output_file} exists and has {len(vocab)} pieces, not --vocab_size"
                f" {args.vocab_size}; delete it or choose another --output_file"
            )
        print(
            f"vocab: {args.output_file} is there already ({len(vocab):,} pieces; not compared with"
            " --input)"
        )
        return
    vocab = learn(
        _paragraphs(args.input, max_bytes=args.max_megabytes * 10**6),
        vocab_size=args.vocab_size,
        lower_case=not args.cased,
    )
    write_atomically(args.output_file, vocab.text.encode())
    print(f"vocab: {len(vocab):,} pieces in {args.output_file}")


if __name__ == "__main__":
    run_main(main)
