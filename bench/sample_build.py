"""Build of the sample text, for benchmarks that train."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def make_build(work: Path, *flags: str, vocab: Path | None = None, pieces: int = 8000) -> Path:
    """Make sample text, vocabulary and build below a directory; existing files are kept.

    Args:
      work: directory of all files.
      *flags: flags of data.build for the settings of the build.
      vocab: vocabulary file; None learns one from the text.
      pieces: size of the vocabulary to learn.
    """
    samples, build = work / "samples", work / "build"
    vocab = vocab or work / "vocab.txt"
    wiki, books = f"{samples}/wiki/*", f"{samples}/books/*"
    run_module("data.samples", "--output_dir", samples)
    if not vocab.exists():
        texts = ("--input", wiki, "--input", books)
        run_module("data.vocab", *texts, "--vocab_size", pieces, "--output_file", vocab)
    run_module(
        *("data.build", *flags, "--wiki", wiki, "--books", books),
        *("--vocab_file", vocab, "--output_dir", build),
    )
    return build


def run_module(module: str, *arguments: object) -> None:
    """Run one of our programs; exit if it fails."""
    done = subprocess.run([sys.executable, "-m", module, *map(str, arguments)])
    if done.returncode:
        sys.exit(f"bench: {module} failed")
