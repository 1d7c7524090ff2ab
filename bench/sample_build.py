"""A build of the sample text, for benchmarks that train."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def make_build(work: Path, *flags: str) -> Path:
    """Sample text, vocabulary of 8,000 pieces and build below `work`; what is there already is kept.

    Args:
      work: a directory for all of it.
      *flags: of data.build, which settings to build with.
    """
    samples, vocab, build = work / "samples", work / "vocab.txt", work / "build"
    wiki, books = f"{samples}/wiki/*", f"{samples}/books/*"
    _command("data.samples", "--output_dir", samples)
    if not vocab.exists():
        texts = ("--input", wiki, "--input", books)
        _command("data.vocab", *texts, "--vocab_size", 8000, "--output_file", vocab)
    _command(
        *("data.build", *flags, "--wiki", wiki, "--books", books),
        *("--vocab_file", vocab, "--output_dir", build),
    )
    return build


def _command(module: str, *arguments: object) -> None:
    done = subprocess.run([sys.executable, "-m", module, *map(str, arguments)])
    if done.returncode:
        sys.exit(f"bench: {module} failed")
