"""Second part: pretraining of a published encoder continued on the sample text."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.demo import learned
from bench.learn.compare import LAMBERT
from bench.learn.shared import Places, facts, pretrain
from bench.sample_build import make_build, run_module
from pretrain.checkpoints.warm_start import WarmStart
from pretrain.train.metrics_log import read_metrics

GIN, SEEDS = "bench/learn/continued.gin", 3
TARGET_ACCURACY = 0.30  # on hidden tokens, for every seed
TITLE = "a published encoder, continued"
_SOURCES = ("books", "wiki")
_BUILD = ("copies = 4", "max_seq_length = 64", "max_predictions = 10", "eval_fraction = 0.05")


def rows(places: Places, *, seeds: int, steps: int) -> Iterator[dict]:
    """Continue the pretraining with several seeds, and yield their rows.

    Args:
      places: directories.
      seeds: number of runs; 0 takes SEEDS.
      steps: updates of each run; 0 takes those of the settings.
    """
    for seed in range(1, 1 + (seeds or SEEDS)):
        model_dir = places.work / "continued" / f"model-{seed}"
        run_module("pretrain.import_weights", "--from", places.weights, "--model_dir", model_dir)
        start = WarmStart.load(str(model_dir))
        assert start is not None
        data_dir = _build(places.work, start.directory / "vocab.txt")
        print(f"bench: {TITLE}, seed {seed}", flush=True)
        pretrain(data_dir, model_dir, GIN, seed, steps)
        name = f"{start.origin['kind']} weights, sha256 {start.origin['sha256'][:8]}"
        yield {**_figures(model_dir), "seed": seed, **facts("continued", f"{name}, {GIN}")}


def _build(work: Path, vocab: Path) -> Path:
    flags = [flag for setting in _BUILD for flag in ("--gin_param", f"BuildConfig.{setting}")]
    return make_build(work / "continued", *flags, vocab=vocab)


def _figures(model_dir: Path) -> dict:
    rows = read_metrics(model_dir)
    return {
        "implementation": LAMBERT,
        "what": "held-out text after the last step",
        **learned(rows),
        "by_source": by_source(rows, _SOURCES),
    }


def by_source(rows: Sequence[dict], sources: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return loss and hidden accuracy of the last evaluation for some sources of the build.

    Args:
      rows: rows of metrics.jsonl.
      sources: names, as in the manifest.
    """
    last = [row for row in rows if "eval_loss" in row][-1]
    return {
        source: {
            "loss": last[f"eval_loss/{source}"],
            "hidden_accuracy": last[f"eval_hidden_accuracy/{source}"],
        }
        for source in sources
    }


def table(rows: Sequence[dict]) -> str:
    """Format the runs, a line per seed, their means, and the verdict."""
    lines = [f"  {'seed':>6}{'hidden':>10}{'loss':>9}" + "".join(f"{s:>19}" for s in _SOURCES)]
    for row in rows:
        cells = "".join(
            f"{row['by_source'][source]['hidden_accuracy']:>12.2%}"
            f"{row['by_source'][source]['loss']:>7.3f}"
            for source in _SOURCES
        )
        lines.append(
            f"  {row['seed']:>6}{row['held_out_hidden_accuracy']:>10.2%}{row['held_out_loss']:>9.3f}"
            + cells
        )
    accuracies = [row["held_out_hidden_accuracy"] for row in rows]
    lines.append(
        f"  hidden tokens: mean {statistics.fmean(accuracies):.2%}, least {min(accuracies):.2%}"
        f" (target for every seed {TARGET_ACCURACY:.0%}:"
        f" {'reached' if min(accuracies) >= TARGET_ACCURACY else 'MISSED'})"
    )
    return "\n".join(lines)
