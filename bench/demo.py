"""Benchmark of the demo: train its encoder with several seeds. Does each learn to use context?

    python -m bench.demo
    python -m bench.demo --seeds 1 --gin_param 'EncoderConfig.initializer_range = 0.02'

Every run is the command of `make demo` with another seed of weights and order. `make bench-demo` runs it.
docs/small-runs.md explains the figures.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import resource
import shutil
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from bench.data.measure import machine
from bench.sample_build import make_build, run_module
from pretrain.train.metrics_log import is_on_plateau, read_metrics

GIN, DATA_GIN, PIECES = "gin/demo.gin", "gin/data_demo.gin", 2000  # as in the Makefile
# Every seed must reach both on hidden tokens: an accuracy, and a multiple of the most frequent piece.
TARGET_ACCURACY, TARGET_MULTIPLE = 0.25, 5
_DISTRIBUTIONS = ("tensorflow", "tf_keras")


def train(data_dir: Path, model_dir: Path, seed: int, params: Sequence[str]) -> dict:
    """Run the training of one seed and return the figures of its row; its files are removed.

    Args:
      data_dir: build directory.
      model_dir: model directory to make.
      seed: TrainConfig.seed.
      params: further settings, as of --gin_param.
    """
    shutil.rmtree(model_dir, ignore_errors=True)
    arguments = ["--gin_file", GIN, "--data_dir", data_dir, "--model_dir", model_dir]
    for param in (*params, f"TrainConfig.seed = {seed}"):
        arguments += ["--gin_param", param]
    started, used = time.perf_counter(), _cpu_seconds()
    run_module("pretrain.run", *arguments)
    figures = {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": _cpu_seconds() - used,
        **learned(read_metrics(model_dir)),
    }
    shutil.rmtree(model_dir)
    return figures


def _cpu_seconds() -> float:
    """Return the CPU time of all child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def learned(rows: Sequence[dict]) -> dict:
    """Return what the held-out text shows about a run.

    Args:
      rows: rows of metrics.jsonl.

    Returns:
      Figures of the last evaluation, the first evaluated step after the plateau (None if there is none),
      and the curve.
    """
    curve = [row for row in rows if "eval_loss" in row]
    last = curve[-1]
    return {
        "held_out_loss": last["eval_loss"],
        "held_out_hidden_accuracy": last["eval_hidden_accuracy"],
        "most_frequent_piece": last["eval_hidden_baseline_accuracy"],
        "left_the_plateau_at": next((r["step"] for r in curve if not is_on_plateau(r)), None),
        "curve": [
            {
                "step": row["step"],
                "loss": row["eval_loss"],
                "hidden_accuracy": row["eval_hidden_accuracy"],
            }
            for row in curve
        ],
    }


def table(rows: Sequence[dict]) -> str:
    """Format the runs of one setting, a line per seed, and the verdict."""
    lines = [rows[0]["setting"]]
    lines.append(f"  {'seed':>6}{'hidden':>10}{'loss':>9}{'left the plateau':>19}{'CPU s':>9}")
    for row in rows:
        left = row["left_the_plateau_at"]
        left = "never" if left is None else f"step {left:,}"
        lines.append(
            f"  {row['seed']:>6}{row['held_out_hidden_accuracy']:>10.2%}{row['held_out_loss']:>9.3f}"
            f"{left:>19}{row['cpu_seconds']:>9,.0f}"
        )
    accuracies = [row["held_out_hidden_accuracy"] for row in rows]
    share = rows[0]["most_frequent_piece"]
    target = max(TARGET_ACCURACY, TARGET_MULTIPLE * share)
    lines.append(
        f"  hidden tokens: mean {statistics.fmean(accuracies):.2%}, least {min(accuracies):.2%}; the most"
        f" frequent piece {share:.2%} (target for every seed at least {target:.2%}:"
        f" {'reached' if min(accuracies) >= target else 'MISSED'})"
    )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Train the seeds, write their rows and print them; rows of other settings remain in the file."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.demo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, default=5, help="number of runs")
    parser.add_argument("--first_seed", type=int, default=1, help="the others follow it")
    parser.add_argument("--gin_param", action="append", default=[], help="see pretrain.run")
    parser.add_argument("--work", type=Path, default=Path("bench/.work/demo"))
    parser.add_argument(
        "--data_dir", type=Path, help="build directory; default: a build like the demo's"
    )
    parser.add_argument("--results", type=Path, default=Path("bench/results/demo.json"))
    args = parser.parse_args(argv)
    os.environ["LAMBERT_PREEMPTION_URL"] = ""
    data_dir = args.data_dir or make_build(args.work, "--gin_file", DATA_GIN, pieces=PIECES)
    shared = {
        "implementation": "lambert",
        "stage": "demo",
        "what": "held-out text after the last step",
        "setting": ", ".join([GIN, *args.gin_param]),
        "command": "python -m bench.demo",
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in _DISTRIBUTIONS},
        },
        "machine": machine(),
        "date": datetime.date.today().isoformat(),
    }
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    for seed in seeds:
        figures = train(data_dir, args.work / f"model-{seed}", seed, args.gin_param)
        _add({**shared, "seed": seed, **figures}, args.results)
    rows = [row for row in _read(args.results) if row["setting"] == shared["setting"]]
    print(table(rows))
    print(f"bench: rows in {args.results}")


def _add(row: dict, results: Path) -> None:
    """Write a row, in the place of an earlier one of its setting and seed."""
    key = row["setting"], row["seed"]
    rows = [other for other in _read(results) if (other["setting"], other["seed"]) != key]
    rows = sorted([*rows, row], key=lambda row: (row["setting"], row["seed"]))
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_text(json.dumps(rows, indent=1) + "\n")


def _read(results: Path) -> list[dict]:
    return json.loads(results.read_text()) if results.exists() else []


if __name__ == "__main__":
    main()
