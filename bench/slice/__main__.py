"""Benchmark of the host side of a run on a TPU slice: real processes, with CPU devices in place of chips.

    python -m bench.slice

`make bench-slice` runs it. docs/benchmarks.md explains the figures.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bench.data.measure import machine
from bench.sample_build import make_build
from bench.slice.watched import Mark, servers, watched_run

CHIPS = 4  # of each host
TARGET_HOSTS = 64
HOSTS = (1, 2, 4)
# The host's work depends on the number of variables and replicas, not on the sizes of tensors.
_PARAMS = (
    *("EncoderConfig.hidden_size = 32", "EncoderConfig.intermediate_size = 64"),
    *("EncoderConfig.num_hidden_layers = 1", "EncoderConfig.max_position_embeddings = 64"),
    *("OptimizerConfig.warmup_steps = 1", "OptimizerConfig.peak_learning_rate = 1e-4"),
    *("TrainConfig.steps_per_loop = 1", "TrainConfig.log_interval = 5"),
    "TrainConfig.checkpoint_interval = 10",
)
_LOG, _SAVE = 5, 10
# Figures that may grow with the slice.
FIGURES = ("cpu_seconds_of_a_step", "cpu_seconds_at_start", "sent_bytes_to_each_host")


def measure(
    hosts: int, *, shard: bool, steps: int, arguments: Sequence[str], model_dir: Path
) -> dict:
    """Run on a number of hosts, and return the row."""
    flags = [
        *arguments,
        *("--mode", "train", "--gin_param", f"OptimizerConfig.shard = {shard}"),
        *("--gin_param", f"TrainConfig.train_steps = {steps}"),
        *("--gin_param", f"TrainConfig.global_batch_size = {hosts * CHIPS}"),
    ]
    with servers(hosts, CHIPS) as started:
        marks = watched_run(flags, model_dir, started)
    row = {"hosts": hosts, "replicas": hosts * CHIPS, "shard": shard, **figures(marks)}
    others = (
        {"sent_bytes_to_each_host": row["sent_bytes_at_start"] / (hosts - 1)} if hosts > 1 else {}
    )
    return {**row, **others}


def figures(marks: Mapping[int, Mark]) -> dict[str, float]:
    """Return the figures of a run that logs every fifth step and saves after every tenth.

    A save follows the line of its step, so intervals with and without a save alternate. The first save is
    left out: it creates copies of all variables.
    """
    quiet, saving = [], []
    for step in sorted(marks):
        if step >= 2 * _SAVE and step + _LOG in marks:
            pair = (marks[step], marks[step + _LOG])
            (quiet if step % _SAVE else saving).append(pair)
    cpu, seconds = (
        {
            kind: statistics.median(getattr(b, name) - getattr(a, name) for a, b in pairs)
            for kind, pairs in (("quiet", quiet), ("saving", saving))
        }
        for name in ("cpu_seconds", "seconds")
    )
    first = marks[_LOG]
    more = (_LOG - 1) / _LOG  # of an interval, after the first step
    return {
        "first_step_seconds": first.seconds - more * seconds["quiet"],
        "cpu_seconds_at_start": first.cpu_seconds - more * cpu["quiet"],
        "sent_bytes_at_start": first.sent_bytes,
        "cpu_seconds_of_a_step": cpu["quiet"] / _LOG,
        "cpu_seconds_of_a_save": cpu["saving"] - cpu["quiet"],
        "step_seconds": seconds["quiet"] / _LOG,
    }


def extrapolate(rows: Sequence[Mapping], hosts: int = TARGET_HOSTS) -> dict[str, dict[str, float]]:
    """Fit a + b * replicas to each figure of unsharded rows, and return a, b and the value for `hosts`.

    Nothing shrinks as a slice grows: where noise makes b negative, the figure is the mean.
    """
    laws = {}
    for figure in FIGURES:
        used = [row for row in rows if not row["shard"] and figure in row]
        replicas = np.array([row["replicas"] for row in used], float)
        values = np.array([row[figure] for row in used], float)
        slope, constant = np.polyfit(replicas, values, 1) if len(used) > 1 else (0.0, values[0])
        if slope < 0:
            slope, constant = 0.0, values.mean()
        errors = values - (constant + slope * replicas)
        laws[figure] = {
            "constant": float(constant),
            "per_replica": float(slope),
            "largest_error": float(np.abs(errors).max()),
            "extrapolated": float(constant + slope * hosts * CHIPS),
        }
    return laws


def describe(row: Mapping) -> str:
    """Format a row as lines."""
    if "laws" in row:
        laws = row["laws"].items()
        return "\n".join(
            f"{name}: {law['constant']:.4g} + {law['per_replica']:.4g} for each replica;"
            f" {row['hosts']} hosts: {law['extrapolated']:.4g}"
            for name, law in laws
        )
    return (
        f"{row['hosts']} hosts, {row['replicas']} replicas{', sharded' if row['shard'] else ''}:"
        f" first step after {row['first_step_seconds']:.0f} s and {row['cpu_seconds_at_start']:.0f} s of CPU,"
        f" {row['sent_bytes_at_start'] / 1e6:.1f} MB sent;"
        f" {1e3 * row['cpu_seconds_of_a_step']:.1f} ms of CPU a step,"
        f" {1e3 * row['cpu_seconds_of_a_save']:.0f} ms a save"
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, write the rows and print them."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.slice",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--hosts", type=int, nargs="+", default=list(HOSTS))
    parser.add_argument("--steps", type=int, default=65, help="of each run (65)")
    parser.add_argument("--work", type=Path, default=Path("bench/.work/slice"))
    parser.add_argument("--data_dir", type=Path, help="build with sequences of 64 tokens")
    parser.add_argument("--results", type=Path, default=Path("bench/results/slice.json"))
    args = parser.parse_args(argv)
    os.environ["LAMBERT_PREEMPTION_URL"] = ""
    short = ("--gin_param", "BuildConfig.max_seq_length = 64")
    few = ("--gin_param", "BuildConfig.max_predictions = 10")
    data_dir = args.data_dir or make_build(
        args.work, "--gin_file", "gin/data_tiny.gin", *short, *few
    )
    arguments = ["--gin_file", "gin/lambert_tiny.gin", "--data_dir", str(data_dir)]
    for param in _PARAMS:
        arguments += ["--gin_param", param]
    shared = {
        "stage": "slice",
        "setting": "gin/lambert_tiny.gin, 1 layer, H=32, 64 positions, 1 sequence a replica",
        "command": "python -m bench.slice",
        "date": datetime.date.today().isoformat(),
    }
    runs = args.work / "runs"
    shutil.rmtree(runs, ignore_errors=True)
    cases = [*((hosts, False) for hosts in args.hosts), (max(args.hosts), True)]
    rows: list[dict] = []
    for hosts, shard in cases:
        model_dir = runs / f"{hosts}-{shard}"
        row = measure(
            hosts, shard=shard, steps=args.steps, arguments=arguments, model_dir=model_dir
        )
        rows.append({**row, **shared, "machine": machine()})
        print(describe(row), flush=True)
    if len(args.hosts) > 1:
        rows.append({"hosts": TARGET_HOSTS, "laws": extrapolate(rows), **shared})
        print(describe(rows[-1]))
    shutil.rmtree(runs)
    args.results.parent.mkdir(parents=True, exist_ok=True)
    args.results.write_text(json.dumps(rows, indent=1) + "\n")
    print(f"bench: rows in {args.results}")


if __name__ == "__main__":
    main()
