"""A run of hours on two cores: what does the whole line give with 30 million words?

    python -m bench.long_run

Gathers English text (bench/long_run/text.py), learns a vocabulary, builds, pretrains, exports, fills in
blanks, and fine-tunes with few labels beside random weights. A run that was stopped goes on where it was.
`make bench-long` runs it; docs/benchmarks.md has the figures.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.demo import learned
from bench.learn import few_labels
from bench.learn.continued import by_source
from bench.learn.shared import facts
from bench.long_run.text import gather
from bench.sample_build import run_module
from data.manifest import Manifest
from pretrain.fill_mask import MaskFiller
from pretrain.train.metrics_log import read_metrics

DATA_GIN, GIN = "bench/long_run/data.gin", "bench/long_run/long_run.gin"
START = "the encoder of this run"
# The best of 3e-4, 1e-3 and 3e-3 with random weights of this architecture: the others collapse.
RANDOM_RATE = 3e-4
PIECES, TOP_K = 8000, 3
SOURCES = ("jsonl", "wiki", "books")
SENTENCES = (
    "the [MASK] of france is paris.",
    "a small animal that eats [MASK].",
    "my [MASK], i will go to the king.",
    "to be or not to [MASK], that is the question.",
    "the function returns the [MASK] of elements in the list.",
    "if the file does not [MASK], an error is raised.",
    "the opposite of hot is [MASK].",
    "he was born in [MASK] and died in 1852.",
)


def make_build(work: Path) -> Path:
    """Gather the text and build it; existing files are kept."""
    samples, vocab, build = work / "samples", work / "vocab.txt", work / "build"
    texts = gather(work)
    run_module("data.samples", "--output_dir", samples)
    forms = ["--jsonl", *texts, "--wiki", f"{samples}/wiki/*", "--books", f"{samples}/books/*"]
    if not vocab.exists():
        run_module("data.vocab", *forms, "--vocab_size", PIECES, "--output_file", vocab)
    run_module(
        *("data.build", "--gin_file", DATA_GIN, *forms),
        *("--vocab_file", vocab, "--output_dir", build),
    )
    return build


def rows(work: Path) -> Iterator[dict]:
    """Yield the row of the pretraining, and those of fine-tuning from it and from random weights.

    Args:
      work: directory of all files; finished steps in it are not repeated.
    """
    build, model, export = make_build(work), work / "model", work / "export"
    run_module("pretrain.run", "--gin_file", GIN, "--data_dir", build, "--model_dir", model)
    run_module("pretrain.export", "--model_dir", model, "--output_dir", export)
    shared = facts("long_run", str(GIN), stage="long_run")
    metrics = read_metrics(model)
    yield {
        "what": "held-out text after the last step",
        "tokens": sum(
            account["tokens_packed"] for account in Manifest.load(build).accounts.values()
        ),
        **learned(metrics),
        "by_source": by_source(metrics, SOURCES),
        "fillings": _fillings(export),
        **shared,
    }
    exports = {few_labels.RANDOM: export, START: export}
    yield from few_labels.finetune(work, work / "samples", exports, shared, random_rate=RANDOM_RATE)


def _fillings(export: Path) -> dict[str, list[str]]:
    """Return the likeliest pieces for the blank of each sentence."""
    filler = MaskFiller(str(export))
    return {
        sentence: [f"{f.piece} {f.probability:.0%}" for f in filler.fill(sentence, top_k=TOP_K)[0]]
        for sentence in SENTENCES
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Run what is missing, and write and print the rows."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.long_run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--work", type=Path, default=Path("bench/.work/long_run"))
    parser.add_argument("--results", type=Path, default=Path("bench/results/long_run.json"))
    args = parser.parse_args(argv)
    written = list(rows(args.work))
    args.results.write_text(json.dumps(written, indent=1) + "\n")
    run, *tuned = written
    print(f"hidden tokens {run['held_out_hidden_accuracy']:.2%}, loss {run['held_out_loss']:.3f}")
    for sentence, fillings in run["fillings"].items():
        print(f"  {sentence:<60}{', '.join(fillings)}")
    print(few_labels.table(tuned))
    print(f"bench: rows in {args.results}")


if __name__ == "__main__":
    main()
