"""Pretrains a small encoder with ours and with tf-models' reference trainer, on the same data.

    python -m bench.learn

`make learn` runs it. docs/benchmarks.md explains the figures.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.data.measure import machine
from bench.sample_build import make_build
from data.manifest import Manifest

SETTINGS = {
    "hidden": 128,
    "layers": 2,
    "heads": 2,
    "batch": 16,
    "steps": 1000,
    "warmup": 100,
    "learning_rate": 0.01,
    "evaluate_every": 200,
}
IMPLEMENTATIONS = ("lambert", "tf-models")
# Of held-out accuracy, granted to chance: other seeds, another order of the sequences.
TOLERANCE = 0.002
_BUILD = ("copies = 10", "max_seq_length = 128", "max_predictions = 20", "eval_fraction = 0.05")
_BUILD_FLAGS = [flag for setting in _BUILD for flag in ("--gin_param", f"BuildConfig.{setting}")]
_DISTRIBUTIONS = ("tensorflow", "tf_keras", "tf-models-official")


def learn(implementation: str, data_dir: Path, settings: dict) -> list[dict]:
    """The evaluations of one run, in a process of its own."""
    command = [sys.executable, "-m", "bench.learn.worker", "--implementation", implementation]
    command += ["--data_dir", str(data_dir), "--settings", json.dumps(settings)]
    print(f"bench: {implementation}, seed {settings['seed']}", flush=True)
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"bench: {implementation} failed:\n{done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def row_of(implementation: str, settings: dict, curve: list[dict], shared: dict) -> dict:
    """A run as a row of the results; the curve has its evaluations."""
    last = curve[-1]
    return {
        "implementation": implementation,
        "what": "held-out text after the last step",
        "seed": settings["seed"],
        "held_out_loss": last["loss"],
        "held_out_mlm_accuracy": last["mlm_accuracy"],
        "held_out_hidden_accuracy": last["hidden_accuracy"],
        "training_seconds": last["seconds"],
        "curve": curve,
        **shared,
    }


def facts(settings: dict, data_dir: Path) -> dict:
    """What is the same for all rows."""
    build = Manifest.load(data_dir).config
    setting = (
        "L={layers} H={hidden} A={heads}, {steps} steps of {batch} sequences, dropout 0.1, LAMB,"
        " peak learning rate {learning_rate}, float32; {length} tokens, {predictions} predictions,"
        " {copies} masked copies"
    ).format(
        **settings,
        length=build.max_seq_length,
        predictions=build.max_predictions,
        copies=build.copies,
    )
    return {
        "stage": "learn",
        "setting": setting,
        "command": "python -m bench.learn",
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in _DISTRIBUTIONS},
        },
        "machine": machine(),
        "date": datetime.date.today().isoformat(),
    }


def table(rows: Sequence[dict]) -> str:
    """Held-out accuracy step by step, means over seeds, and the verdict."""
    lines = [rows[0]["setting"], f"  {'step':>8}" + "".join(f"{n:>24}" for n in IMPLEMENTATIONS)]
    curves = {
        name: [r["curve"] for r in rows if r["implementation"] == name] for name in IMPLEMENTATIONS
    }
    for points in zip(*(zip(*curves[name], strict=True) for name in IMPLEMENTATIONS), strict=True):
        cells = "".join(
            f"{_mean(at, 'mlm_accuracy'):>12.2%} loss {_mean(at, 'loss'):.3f}".rjust(24)
            for at in points
        )
        lines.append(f"  {points[0][0]['step']:>8,}{cells}")
    ours, theirs = (_mean([c[-1] for c in curves[n]], "mlm_accuracy") for n in IMPLEMENTATIONS)
    reached = ours >= theirs - TOLERANCE
    lines.append(
        f"  ours {ours:.2%}, tf-models {theirs:.2%}: at least as good (within {TOLERANCE:.1%}):"
        f" {'reached' if reached else 'MISSED'}"
    )
    return "\n".join(lines)


def _mean(evaluations: Sequence[dict], name: str) -> float:
    return statistics.fmean(evaluation[name] for evaluation in evaluations)


def main(argv: Sequence[str] | None = None) -> None:
    """Trains all, writes the rows and prints them."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.learn",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, default=2, help="runs of each implementation")
    parser.add_argument("--settings", type=json.loads, default={}, help="JSON, to replace some")
    parser.add_argument("--work", type=Path, default=Path("bench/.work/learn"))
    parser.add_argument("--data_dir", type=Path, help="a build; default: made of the sample text")
    parser.add_argument("--results", type=Path, default=Path("bench/results/learn.json"))
    args = parser.parse_args(argv)
    data_dir = args.data_dir or make_build(args.work, *_BUILD_FLAGS)
    settings = {**SETTINGS, **args.settings}
    shared = facts(settings, data_dir)
    rows = []
    for seed in range(args.seeds):
        for implementation in IMPLEMENTATIONS:
            with_seed = {**settings, "seed": seed}
            curve = learn(implementation, data_dir, with_seed)
            rows.append(row_of(implementation, with_seed, curve, shared))
    args.results.parent.mkdir(parents=True, exist_ok=True)
    args.results.write_text(json.dumps(rows, indent=1) + "\n")
    print(table(rows))
    print(f"bench: rows in {args.results}")


if __name__ == "__main__":
    main()
