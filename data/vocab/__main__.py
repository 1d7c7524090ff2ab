"""Learn a WordPiece vocabulary from text.

    python -m data.vocab --input 'samples/books/*.txt' --vocab_size 8000 --output vocab.txt

The vocabulary file is in BERT's format: one piece per line, the line number is the id.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from absl import logging

from data import files
from data.cli.main import run_main
from data.cli.parser import CommandParser
from data.cli.workers import add_workers_flag, choose_workers
from data.errors import UserError
from data.sources.documents import check_distinct
from data.sources.formats import (
    GLOB_FLAG,
    add_format_flags,
    find_flagged_inputs,
    format_flags,
)
from data.vocab import Vocab
from data.vocab.learn import Coverage, learn, measure_coverage
from data.vocab.paragraphs import read_paragraphs

_MAX_PIECES, _MAX_MEGABYTES = 10**6, 10**6
_MAX_UNKNOWN_SHARE = 0.01


def main(argv: Sequence[str]) -> None:
    """Learn a vocabulary from files, unless the output file exists."""
    parser = CommandParser(
        prog="python -m data.vocab",
        description=__doc__,
    )
    parser.add_argument("--input", help="any of the following, recognised by name", **GLOB_FLAG)
    add_format_flags(parser)
    parser.add_argument(
        "--vocab_size", type=int, default=30522, metavar="N", help="number of pieces"
    )
    parser.add_argument(
        *("--output", "--output_file"), required=True, metavar="F", help="vocabulary file to write"
    )
    parser.add_argument("--cased", action="store_true", help="keep case and accents")
    parser.add_argument(
        "--max_megabytes", type=int, default=500, help="megabytes of text to learn from"
    )
    parser.add_argument(
        "--max_characters",
        type=int,
        help="number of characters, the most frequent ones, that get a piece of their own"
        " (default: 1000, or as many as make up 99.99%% of the text, if more)",
    )
    add_workers_flag(parser)
    args = parser.parse_args(argv)
    files.require_local("--output", args.output)
    ranges = {
        "vocab_size": _MAX_PIECES,
        "max_megabytes": _MAX_MEGABYTES,
        "max_characters": _MAX_PIECES,
    }
    for flag, largest in ranges.items():
        value = getattr(args, flag)
        if value is not None and not 1 <= value <= largest:
            raise UserError(f"--{flag} {value}: must be between 1 and {largest:,}")
    if os.path.exists(args.output):
        vocab = Vocab.load(args.output)
        if len(vocab) != args.vocab_size:
            raise UserError(
                f"{args.output} exists and has {len(vocab)} pieces, not --vocab_size"
                f" {args.vocab_size}; delete it or choose another --output"
            )
        print(
            f"vocab: {args.output} already exists ({len(vocab):,} pieces; not compared with"
            " --input)"
        )
        return
    inputs = find_flagged_inputs(args)
    check_distinct(inputs)
    if not inputs:
        raise UserError(f"there is nothing to learn from: give --input, {format_flags()}")
    workers = choose_workers(args.workers, num_bytes=sum(file.num_bytes for file in inputs))
    os.environ.setdefault("RAYON_NUM_THREADS", str(workers))  # of the library that learns
    max_bytes = args.max_megabytes * 10**6
    texts = list(read_paragraphs(inputs, max_bytes=max_bytes, workers=workers))
    vocab = learn(
        texts,
        vocab_size=args.vocab_size,
        max_characters=args.max_characters,
        lower_case=not args.cased,
    )
    files.write_atomically(args.output, vocab.text.encode())
    print(f"vocab: {len(vocab):,} pieces in {args.output}")
    coverage = measure_coverage(vocab, texts, lower_case=not args.cased)
    print(describe(coverage))
    if coverage.unknown_share > _MAX_UNKNOWN_SHARE:
        logging.warning(warning_about(coverage))


def describe(coverage: Coverage) -> str:
    """Return one line about a vocabulary on its text."""
    return (
        f"vocab: on this text {coverage.unknown_share:.3%} of the tokens are [UNK];"
        f" {coverage.unused_pieces:,} pieces are parts of others only and never a token"
    )


def warning_about(coverage: Coverage) -> str:
    """Return a warning about a vocabulary that loses much of its text."""
    words = ", ".join(f"{word!r} ({number:,})" for word, number in coverage.unknown_words)
    return (
        f"vocab: more than {_MAX_UNKNOWN_SHARE:.0%} of the text is lost as [UNK], most often {words};"
        " give --max_characters or a larger --vocab_size"
    )


if __name__ == "__main__":
    run_main(main)
