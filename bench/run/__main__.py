"""Benchmark of the overhead of a run besides its steps, on this machine's CPUs.

    python -m bench.run

`make bench-run` runs it. docs/benchmarks.md explains the figures.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import importlib.metadata
import json
import os
import platform
import shutil
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.data.measure import machine
from bench.run.timed import timed_run
from bench.sample_build import make_build

# Runs of a few steps are too short for the warmup; the speed of a step depends on neither setting.
_LEARNING = ("OptimizerConfig.warmup_steps = 1", "OptimizerConfig.peak_learning_rate = 1e-4")
_DISTRIBUTIONS = ("tensorflow", "tf_keras")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Sizes of the measurements.

    Attributes:
      rounds: rounds of starts and of workers; the best one counts.
      input_steps: steps of the run that measures the wait for input.
      save_batches: global batch size of each run that measures saves.
      save_intervals: steps between two saves, for each of these runs.
      saves: saves of each of these runs; the first is not counted.
      worker_batch: sequences per worker and step.
      worker_steps: steps of a run of workers, logged every ten steps.
    """

    rounds: int = 2
    input_steps: int = 600
    save_batches: tuple[int, ...] = (4, 64)
    save_intervals: tuple[int, ...] = (20, 4)
    saves: int = 13
    worker_batch: int = 16
    worker_steps: int = 70


START, RESUME = "start to first step", "resume to first step"
INPUT, SAVE, SCALING = "waiting for input", "an asynchronous save", "two workers beside one"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """Target of a figure: a minimum or maximum, for rows of one batch size or of all."""

    figure: str
    bound: float
    at_least: bool = False
    batch: int | None = None


TARGETS = {
    START: Target(figure="seconds", bound=40),
    RESUME: Target(figure="seconds", bound=40),
    INPUT: Target(figure="share_of_step_time", bound=0.02),
    # A step of 4 sequences takes some hundredths of a second, so the same work is a larger share.
    SAVE: Target(figure="share_of_a_step", bound=0.05, batch=64),
    SCALING: Target(figure="speedup", bound=1.7, at_least=True),
}


def starts(arguments: Sequence[str], work: Path, settings: Settings) -> list[dict]:
    """Measure seconds from the command to the line of the first step, of new and of resumed runs."""
    seconds: dict[str, list[float]] = {START: [], RESUME: []}
    for number in range(settings.rounds):
        for what, last_step in ((START, 2), (RESUME, 4)):
            run = timed_run(
                arguments, work / f"start-{number}", train_steps=last_step, log_interval=1
            )
            seconds[what].append(min(run.step_seconds.values()))
    return [
        {"what": what, "seconds": min(rounds), "seconds_of_rounds": rounds}
        for what, rounds in seconds.items()
    ]


def input_wait(arguments: Sequence[str], work: Path, settings: Settings) -> list[dict]:
    """Measure the share of time that steps wait for input, as the run reports it."""
    run = timed_run(arguments, work / "input", train_steps=settings.input_steps)
    rows = run.rows[1:]  # the first includes compilation
    # All rows cover the same number of steps.
    seconds = [1 / row["examples_per_second"] for row in rows]
    waits = [row["input_wait_fraction"] * t for row, t in zip(rows, seconds, strict=True)]
    return [
        {
            "what": INPUT,
            "share_of_step_time": sum(waits) / sum(seconds),
            "examples_per_second": len(rows) / sum(seconds),
        }
    ]


def saves(arguments: Sequence[str], work: Path, settings: Settings) -> list[dict]:
    """Measure the time that a save adds to the steps during which it is written."""
    rows = []
    for batch, interval in zip(settings.save_batches, settings.save_intervals, strict=True):
        run = timed_run(
            arguments,
            work / f"saves-{batch}",
            train_steps=interval * (settings.saves + 1),
            log_interval=1,
            checkpoint_interval=interval,
            global_batch_size=batch,
        )
        step = statistics.median(batch / row["examples_per_second"] for row in run.rows[interval:])
        extra = extra_seconds(run.step_seconds, interval)
        rows.append(
            {
                "what": SAVE,
                "batch": batch,
                "share_of_a_step": extra / step,
                "seconds": extra,
                "step_seconds": step,
            }
        )
    return rows


def extra_seconds(step_seconds: dict[int, float], interval: int) -> float:
    """Return the seconds that a save adds to the steps after it.

    The first half of the steps between two saves is compared with the second, when nothing is written
    any more. Each step counts with its median over the saves, which leaves out disturbances.

    Args:
      step_seconds: time of the line of each step, in seconds; a save follows the line of its step.
      interval: steps between two saves.
    """
    times = []
    for offset in range(interval):
        # From the second save on: TensorFlow treats the first differently.
        steps = [s for s in step_seconds if s >= 2 * interval and s % interval == offset]
        durations = [step_seconds[s + 1] - step_seconds[s] for s in steps if s + 1 in step_seconds]
        times.append(statistics.median(durations))
    half = interval // 2
    usual = statistics.fmean(times[half:])
    return sum(time - usual for time in times[:half])


def scaling(arguments: Sequence[str], work: Path, settings: Settings) -> list[dict]:
    """Measure the speed-up of two workers with a core each over one worker with one core."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    for number in range(settings.rounds):
        for workers, rates_of_rounds in rates.items():
            run = timed_run(
                arguments,
                work / f"workers-{workers}-{number}",
                workers=workers,
                cores=workers,
                train_steps=settings.worker_steps,
                log_interval=10,
                global_batch_size=workers * settings.worker_batch,
            )
            rate = statistics.median(row["tokens_per_second"] for row in run.rows[1:])
            rates_of_rounds.append(rate)
    one, two = (max(rates_of_rounds) for rates_of_rounds in rates.values())
    return [
        {
            "what": SCALING,
            "batch": settings.worker_batch,
            "speedup": two / one,
            "tokens_per_second": two,
            "tokens_per_second_of_one": one,
            "tokens_per_second_of_rounds": rates,
        }
    ]


MEASUREMENTS: dict[str, Callable[[Sequence[str], Path, Settings], list[dict]]] = {
    "start": starts,
    "input": input_wait,
    "save": saves,
    "workers": scaling,
}


def describe(row: dict) -> str:
    """Format a row as one line, and whether it reaches its target."""
    target = TARGETS[row["what"]]
    batch = f", {row['batch']} sequences" if "batch" in row else ""
    line = f"{row['what']}{batch}: {target.figure.replace('_', ' ')} {row[target.figure]:.4g}"
    if target.batch not in (None, row.get("batch")):
        return line
    side = "least" if target.at_least else "most"
    is_reached = (row[target.figure] >= target.bound) == target.at_least
    return f"{line} (target at {side} {target.bound:g}: {'reached' if is_reached else 'MISSED'})"


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, write the rows and print them; rows of other measurements remain in the file."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", action="append", choices=MEASUREMENTS, help="repeatable")
    parser.add_argument(
        "--settings", type=json.loads, default={}, help="settings to replace, as JSON"
    )
    parser.add_argument("--gin_file", default="gin/lambert_tiny.gin", help="settings of the run")
    parser.add_argument("--gin_param", action="append", default=[], help="see pretrain.run")
    parser.add_argument("--work", type=Path, default=Path("bench/.work/run"))
    parser.add_argument(
        "--data_dir", type=Path, help="build directory; default: a build of the sample text"
    )
    parser.add_argument("--results", type=Path, default=Path("bench/results/run.json"))
    args = parser.parse_args(argv)
    os.environ["LAMBERT_PREEMPTION_URL"] = ""
    data_dir = args.data_dir or make_build(args.work, "--gin_file", "gin/data_tiny.gin")
    arguments = ["--gin_file", args.gin_file, "--data_dir", str(data_dir)]
    for param in (*_LEARNING, *args.gin_param):
        arguments += ["--gin_param", param]
    shared = {
        "implementation": "lambert",
        "stage": "run",
        "setting": " ".join([args.gin_file, *args.gin_param]),
        "command": "python -m bench.run",
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in _DISTRIBUTIONS},
        },
        "machine": machine(),
        "date": datetime.date.today().isoformat(),
    }
    runs = args.work / "runs"
    shutil.rmtree(runs, ignore_errors=True)
    rows = []
    for name in args.only or MEASUREMENTS:
        measured = MEASUREMENTS[name](arguments, runs, Settings(**args.settings))
        rows += [{**row, **shared} for row in measured]
    shutil.rmtree(runs)
    args.results.parent.mkdir(parents=True, exist_ok=True)
    replaced = {row["what"] for row in rows}
    earlier = json.loads(args.results.read_text()) if args.results.exists() else []
    others = [row for row in earlier if row["what"] not in replaced]
    args.results.write_text(json.dumps(others + rows, indent=1) + "\n")
    print("\n" + "\n".join(map(describe, rows)))
    print(f"bench: rows in {args.results}")


if __name__ == "__main__":
    main()
