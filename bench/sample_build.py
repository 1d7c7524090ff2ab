"""A build of the sample text, for benchmarks that train."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def make_build(work: Path, *flags: str, vocab: Path | None = None) -> Path:
    """Sample text, vocabulary and build below `work`; what is there already is kept.

    Args:
      work: a directory for all of it.
      *flags: of data.build, which settings to build with.
      vocab: the vocabulary; None learns one of 8,000 pieces from the text.
    """
    samples, build = work / "samples", work / "build"
    vocab = vocab or work / "vocab.txt"
    wiki, books = f"{samples}/wiki/*", f"{samples}/books/*"
    run_module("data.samples", "--output_dir", samples)
    if not vocab.exists():
        texts = ("--input", wiki, "--input", books)
        run_module("data.vocab", *texts, "--vocab_size", 8000, "--output_file", vocab)
    run_module(
        *("data.build", *flags, "--wiki", wiki, "--books", books),
        *("--vocab_file", vocab, "--output_dir", build),
    )
    return build


def run_module(module: str, *arguments: object) -> None:
    """Runs a program of ours; ends this one if it fails."""
    done = subprocess.run([sys.executable, "-m", module, *map(str, arguments)])
    if done.returncode:
        sys.exit(f"bench: {module} failed")
