"""Embed lines of text, or write an encoder that embeds texts elsewhere.

    python -m pretrain.embed --export E --input lines.txt --output F.npy
    python -m pretrain.embed --export E --saved_model_dir S --sentence_transformers_dir T

E is an export of pretrain.export, or a directory in Hugging Face's format or of sentence-transformers; the
settings of the latter are defaults. F.npy is float32 [lines, hidden size]; row i is the vector of line i.
S is a SavedModel whose signature takes text; SentenceTransformer(T) gives the same vectors.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from data import files
from data.cli.main import run_main
from data.cli.parser import CommandParser
from data.errors import UserError
from data.files import read_lines
from pretrain.embed.publish import check_target, write_saved_model, write_sentence_transformers
from pretrain.embed.source import POOLINGS, EmbeddingSettings, check_length, read_source
from pretrain.export.load import local_copy

if TYPE_CHECKING:
    from pretrain.embed.model import Embedder

_BLOCK_BYTES = 2**22


def embed_lines(embedder: Embedder, lines: list[str], target: str, *, batch_size: int) -> str:
    """Embed lines into a .npy file, written atomically; return a summary of one line.

    Args:
      embedder: model from text to vectors.
      lines: N lines of text.
      target: file to write.
      batch_size: lines per batch.
    """
    empty, truncated = sum(not line.strip() for line in lines), 0
    # Batches of similar length, longest first: padding costs as much as text.
    order = np.argsort([len(line) for line in lines], kind="stable")[::-1]
    shape = (len(lines), embedder.hidden_size)
    with (
        _npy_file(target, shape) as vectors,
        tqdm(total=len(lines), unit="line", disable=None) as bar,
    ):
        for start in range(0, len(lines), batch_size):
            rows = order[start : start + batch_size]
            outputs = embedder.embed([lines[row] for row in rows])
            vectors[rows] = outputs["embedding"]
            truncated += int((outputs["tokens"].numpy() > embedder.max_length).sum())
            bar.update(len(rows))
    return (
        f"embed: {len(lines):,} lines in {target}, float32 [{shape[0]}, {shape[1]}]; {empty:,} empty"
        f" (the vector of [CLS] [SEP]), {truncated:,} truncated to {embedder.max_length} tokens"
    )


@contextlib.contextmanager
def _npy_file(target: str, shape: tuple[int, int]) -> Iterator[np.ndarray]:
    """Yield the float32 array of a .npy file, which gets its name at the end; in a bucket, by a copy."""
    if not files.is_remote(target):
        with files.atomic_path(target) as path:
            vectors = np.lib.format.open_memmap(path, "w+", dtype="<f4", shape=shape)
            yield vectors
            vectors.flush()
        return
    with tempfile.TemporaryDirectory(prefix="lambert-") as folder:
        local = os.path.join(folder, "vectors.npy")
        with _npy_file(local, shape) as array:
            yield array
        with open(local, "rb") as source, files.atomic_write(target) as remote:
            shutil.copyfileobj(source, remote, _BLOCK_BYTES)


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="python -m pretrain.embed",
        description=__doc__,
    )
    parser.add_argument(
        *("--export", "--model_dir"),
        dest="export",
        required=True,
        metavar="E",
        help="the encoder; --model_dir is an older name of this flag",
    )
    parser.add_argument("--input", metavar="L", help="text file, one text per line (default: none)")
    parser.add_argument("--output", metavar="F", help=".npy file to create (default: none)")
    parser.add_argument(
        "--saved_model_dir",
        metavar="S",
        help="SavedModel to create, from text to vectors (default: none)",
    )
    parser.add_argument(
        "--sentence_transformers_dir",
        metavar="T",
        help="directory to create, for sentence-transformers (default: none)",
    )
    parser.add_argument(
        "--pooling",
        choices=POOLINGS,
        help="mean of the outputs of all tokens, or the output at [CLS] (default: mean, or as E says)",
    )
    parser.add_argument(
        "--normalize",
        action=argparse.BooleanOptionalAction,
        help="divide each vector by its norm (default: not, or as E says)",
    )
    parser.add_argument(
        "--max_length",
        type=int,
        metavar="N",
        help="tokens of a text to use, [CLS] and [SEP] included (default: all that E takes)",
    )
    parser.add_argument(
        "--batch_size", type=int, default=32, metavar="N", help="texts computed together"
    )
    return parser


def _check(args: argparse.Namespace) -> None:
    """Raise a UserError if the flags ask for nothing or contradict each other or existing files."""
    if args.batch_size < 1:
        raise UserError(f"--batch_size {args.batch_size}: must be at least 1")
    if bool(args.input) != bool(args.output):
        given, missing = ("--input", "--output") if args.input else ("--output", "--input")
        raise UserError(f"{given} needs {missing}")
    directories = ("saved_model_dir", "sentence_transformers_dir")
    if not any(getattr(args, name) for name in ("input", *directories)):
        flags = " or ".join(f"--{name}" for name in directories)
        raise UserError(f"there is nothing to do: give --input and --output, or {flags}")
    if args.output and files.exists(args.output):
        raise UserError(f"--output {args.output} exists; delete it or choose another name")
    for name in directories:
        if target := getattr(args, name):
            check_target(f"--{name}", target)


def _settings(args: argparse.Namespace, found: EmbeddingSettings) -> EmbeddingSettings:
    """Return the settings of the source with those of the command line in their place."""
    given = {field.name: getattr(args, field.name) for field in dataclasses.fields(found)}
    return dataclasses.replace(
        found, **{name: value for name, value in given.items() if value is not None}
    )


def main(argv: Sequence[str]) -> None:
    """Parse the command line and embed."""
    args = _parser().parse_args(argv)
    _check(args)
    lines = read_lines(args.input) if args.input else []  # fail before the weights are read
    with local_copy("--export", args.export) as source:
        _run(source, args, lines)


def _run(source: str, args: argparse.Namespace, lines: list[str]) -> None:
    imported, settings = read_source(source)
    settings = _settings(args, settings)
    check_length(settings.max_length, imported.encoder.max_position_embeddings)
    if args.sentence_transformers_dir:
        write_sentence_transformers(args.sentence_transformers_dir, imported, settings)
        print(f"embed: {args.export} for sentence-transformers in {args.sentence_transformers_dir}")
    if not args.saved_model_dir and not args.input:
        return
    from pretrain.embed.model import Embedder  # TensorFlow

    embedder = Embedder(imported, settings)
    if args.saved_model_dir:
        write_saved_model(args.saved_model_dir, imported, settings, embedder)
        print(f"embed: a SavedModel from text to vectors in {args.saved_model_dir}")
    if args.input:
        print(embed_lines(embedder, lines, args.output, batch_size=args.batch_size))


if __name__ == "__main__":
    run_main(main)
