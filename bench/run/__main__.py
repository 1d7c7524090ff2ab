"""Measures what a run costs beside its steps, on this machine's CPUs.

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

# The speed of a step does not depend on the rate, and runs of a few steps have no room to warm up.
_LEARNING = ("OptimizerConfig.warmup_steps = 1", "OptimizerConfig.peak_learning_rate = 1e-4")
_DISTRIBUTIONS = ("tensorflow", "tf_keras")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Sizes of the measurements.

    Attributes:
      rounds: of starts and of workers; the best one counts.
      input_steps: watched for the time that they wait for input.
      save_batches: sequences of a step in the runs that are watched while they save.
      save_intervals: steps between two saves, in each of these runs.
      saves: in each of these runs; the first is not counted.
      worker_batch: sequences of a worker's step.
      worker_steps: of a run of workers, in rows of ten steps.
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
    """What a figure of a row should be: at least or at most so much, in rows of some batches."""

    figure: str
    bound: float
    at_least: bool = False
    batch: int | None = None


TARGETS = {
    START: Target(figure="seconds", bound=40),
    RESUME: Target(figure="seconds", bound=40),
    INPUT: Target(figure="share_of_step_time", bound=0.02),
    # In a step of the demo, of some hundredths of a second, the same work weighs more.
    SAVE: Target(figure="share_of_a_step", bound=0.05, batch=64),
    SCALING: Target(figure="speedup", bound=1.7, at_least=True),
}


def starts(arguments: Sequence[str], work: Path, settings: Settings) -> list[dict]:
    """Seconds from a command to the line of its first step: of a new run, and of one that goes on."""
    seconds: dict[str, list[float]] = {START: [], RESUME: []}
    for number in range(settings.rounds):
        for what, last_step in ((START, 2), (RESUME, 4)):
            run = timed_run(
                arguments, work / f"start-{number}", train_steps=last_step, log_interval=1
            )
            seconds[what].append(min(run.shown.values()))
    return [
        {"what": what, "seconds": min(found), "seconds_of_rounds": found}
        for what, found in seconds.items()
    ]


def input_wait(arguments: Sequence[str], work: Path, settings: Settings) -> list[dict]:
    """The share of their time that steps wait for input, as the run itself reports it."""
    run = timed_run(arguments, work / "input", train_steps=settings.input_steps)
    rows = run.rows[1:]  # the first has the compilation
    # Rows are of equally many steps.
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
    """What a save adds to the steps that follow it, until all is written."""
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
        extra = extra_seconds(run.shown, interval)
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


def extra_seconds(shown: dict[int, float], interval: int) -> float:
    """What a save every `interval` steps adds to them.

    The first half of the steps between two saves is compared with the second, in which nothing is
    written any more. Each step counts with its median over the saves: a disturbance is left out.

    Args:
      shown: by step, when its line came, in seconds; a save follows the line of its step.
      interval: steps between two saves.
    """
    times = []
    for offset in range(interval):
        # From the second save on: the first goes another way inside TensorFlow.
        steps = [step for step in shown if step >= 2 * interval and step % interval == offset]
        found = [shown[step + 1] - shown[step] for step in steps if step + 1 in shown]
        times.append(statistics.median(found))
    half = interval // 2
    usual = statistics.fmean(times[half:])
    return sum(time - usual for time in times[:half])


def scaling(arguments: Sequence[str], work: Path, settings: Settings) -> list[dict]:
    """Speed of two workers with a core each, times that of one worker with one core."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    for number in range(settings.rounds):
        for workers, found in rates.items():
            run = timed_run(
                arguments,
                work / f"workers-{workers}-{number}",
                workers=workers,
                cores=workers,
                train_steps=settings.worker_steps,
                log_interval=10,
                global_batch_size=workers * settings.worker_batch,
            )
            found.append(statistics.median(row["tokens_per_second"] for row in run.rows[1:]))
    one, two = (max(found) for found in rates.values())
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


def described(row: dict) -> str:
    """A row as one line, with what becomes of its target."""
    target = TARGETS[row["what"]]
    batch = f", {row['batch']} sequences" if "batch" in row else ""
    line = f"{row['what']}{batch}: {target.figure.replace('_', ' ')} {row[target.figure]:.4g}"
    if target.batch not in (None, row.get("batch")):
        return line
    side = "least" if target.at_least else "most"
    is_reached = (row[target.figure] >= target.bound) == target.at_least
    return f"{line} (target at {side} {target.bound:g}: {'reached' if is_reached else 'MISSED'})"


def main(argv: Sequence[str] | None = None) -> None:
    """Measures, writes the rows and prints them; rows of what is not measured stay."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", action="append", choices=MEASUREMENTS, help="repeatable")
    parser.add_argument("--settings", type=json.loads, default={}, help="JSON, to replace some")
    parser.add_argument("--gin_file", default="gin/lambert_tiny.gin", help="what is trained")
    parser.add_argument("--gin_param", action="append", default=[], help="as of pretrain.run")
    parser.add_argument("--work", type=Path, default=Path("bench/.work/run"))
    parser.add_argument("--data_dir", type=Path, help="a build; default: that of the demo")
    parser.add_argument("--results", type=Path, default=Path("bench/results/run.json"))
    args = parser.parse_args(argv)
    os.environ["LAMBERT_PREEMPTION_URL"] = ""
    data_dir = args.data_dir or make_build(args.work, "--gin_file", "gin/data_demo.gin")
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
        found = MEASUREMENTS[name](arguments, runs, Settings(**args.settings))
        rows += [{**row, **shared} for row in found]
    shutil.rmtree(runs)
    args.results.parent.mkdir(parents=True, exist_ok=True)
    measured = {row["what"] for row in rows}
    before = json.loads(args.results.read_text()) if args.results.exists() else []
    kept = [row for row in before if row["what"] not in measured]
    args.results.write_text(json.dumps(kept + rows, indent=1) + "\n")
    print("\n" + "\n".join(map(described, rows)))
    print(f"bench: rows in {args.results}")


if __name__ == "__main__":
    main()
