"""WordPiece vocabularies in BERT's format: one piece per line, the line number from 0 is the id."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import re

import numpy as np

from data import files, schema
from data.errors import UserError

# Placeholders in the published vocabularies, which text never produces.
_UNUSED = re.compile(r"\[unused\d+\]")


# TensorFlow's tokenizer takes no longer pieces ("##" does not count).
MAX_PIECE_BYTES = 256


@dataclasses.dataclass(frozen=True)
class Vocab:
    """A valid vocabulary: `pieces[i]` has id i."""

    pieces: tuple[str, ...]

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Vocab:
        """Read a vocabulary file; a byte order mark at its start is skipped.

        Raises:
          UserError: the file does not exist or is not UTF-8, a piece is empty, repeated or too long,
            or a special token is missing.
        """
        try:
            lines = files.read_bytes(path).decode("utf-8-sig").split("\n")
        except FileNotFoundError:
            raise UserError(
                f"vocabulary file {path} does not exist; learn one with `python -m data.vocab`"
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"vocabulary file {path} cannot be read: {error}") from error
        pieces = tuple(line.rstrip("\r") for line in (lines if lines[-1] else lines[:-1]))
        return cls.from_pieces(pieces, f"vocabulary file {path}")

    @classmethod
    def from_pieces(cls, pieces: tuple[str, ...], source: str) -> Vocab:
        """Return a vocabulary after checking its pieces.

        Args:
          pieces: pieces in the order of their ids.
          source: origin of the pieces, for errors.

        Raises:
          UserError: a piece is empty, repeated or too long, or a special token is missing.
        """
        if missing := [token for token in schema.SPECIAL_TOKENS if token not in set(pieces)]:
            raise UserError(
                f"{source} ({len(pieces)} pieces) has no {', '.join(missing)};"
                " use a BERT vocabulary, one piece per line, or learn one with `python -m data.vocab`"
            )
        first_line: dict[str, int] = {}
        for number, piece in enumerate(pieces, start=1):
            if not piece:
                raise UserError(f"{source}: line {number} is empty")
            if first_line.setdefault(piece, number) != number:
                raise UserError(f"{source}: {piece!r} is on lines {first_line[piece]} and {number}")
            if len(piece.removeprefix("##").encode()) > MAX_PIECE_BYTES:
                raise UserError(
                    f"{source}: {piece[:20]!r}... on line {number} has more than {MAX_PIECE_BYTES} bytes"
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
        """Sorted ids of special and unused pieces, int64 [n]; never masked, never random replacements."""
        special = [
            i
            for i, piece in enumerate(self.pieces)
            if piece in schema.SPECIAL_TOKENS or _UNUSED.fullmatch(piece)
        ]
        return np.array(special, np.int64)

    @functools.cached_property
    def sha256(self) -> str:
        """SHA-256 of the vocabulary file, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def text(self) -> str:
        """Content of the vocabulary file."""
        return "".join(f"{piece}\n" for piece in self.pieces)

    @property
    def token_dtype(self) -> np.dtype:
        """Smallest unsigned type that holds every id."""
        return token_dtype(len(self))


def token_dtype(num_pieces: int) -> np.dtype:
    """Return the smallest unsigned type that holds the ids of `num_pieces` pieces."""
    return np.dtype(np.uint16 if num_pieces <= 2**16 else np.uint32)
