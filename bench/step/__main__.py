"""Measures the training step beside that of tf-models, on this machine's CPUs.

    python -m bench.step

`make bench-step` runs it. docs/benchmarks.md explains the figures.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.data.measure import machine

SIZES = {
    "hidden": 1024,
    "heads": 16,
    "layers": 4,
    "positions": 512,
    "batch": 4,
    "predictions": 76,
    "vocab": 30522,
}
PRECISIONS = ("mixed_bfloat16", "float32")
IMPLEMENTATIONS = ("lambert", "tf-models")
TARGET = 1.25  # times tf-models, in bfloat16
_DISTRIBUTIONS = ("tensorflow", "tf_keras", "tf-models-official")


def measure(implementation: str, precision: str, sizes: dict, repeats: int) -> float:
    """Best seconds of a step, in a process of its own."""
    command = [sys.executable, "-m", "bench.step.worker", "--implementation", implementation]
    command += ["--precision", precision, "--sizes", json.dumps(sizes)]
    command += ["--repeats", str(repeats)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"bench: {implementation}, {precision} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])["seconds"]


def run(sizes: dict, *, rounds: int, repeats: int) -> list[dict]:
    """One row for each precision and implementation; they take turns, the best round counts."""
    seconds: dict[tuple[str, str], list[float]] = {}
    for precision in PRECISIONS:
        for turn in range(rounds):
            for implementation in IMPLEMENTATIONS:
                print(f"bench: {implementation}, {precision}, round {turn + 1}", flush=True)
                found = measure(implementation, precision, sizes, repeats)
                seconds.setdefault((precision, implementation), []).append(found)
    shared = {
        "stage": "step",
        "setting": "H={hidden} A={heads} L={layers} S={positions} B={batch} P={predictions}"
        " V={vocab}, dropout 0.1".format(**sizes),
        "command": "python -m bench.step",
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in _DISTRIBUTIONS},
        },
        "machine": machine(),
        "date": datetime.date.today().isoformat(),
    }
    tokens = sizes["batch"] * sizes["positions"]
    return [
        {
            "implementation": implementation,
            "what": f"forward, backward, clipping and LAMB, {precision}",
            "precision": precision,
            "tokens_per_second": tokens / min(rounds_),
            "seconds": min(rounds_),
            "seconds_of_rounds": rounds_,
            **shared,
        }
        for (precision, implementation), rounds_ in seconds.items()
    ]


def table(rows: list[dict]) -> str:
    """Rows as text, and the target."""
    lines = [rows[0]["setting"]]
    for precision in dict.fromkeys(row["precision"] for row in rows):
        rates = {
            r["implementation"]: r["tokens_per_second"] for r in rows if r["precision"] == precision
        }
        lines += [
            f"  {precision:<16}{name:<12}{rate:>10,.0f} tokens/s" for name, rate in rates.items()
        ]
        factor = rates["lambert"] / rates["tf-models"]
        verdict = ""
        if precision == "mixed_bfloat16":
            verdict = f" (target {TARGET}: {'reached' if factor >= TARGET else 'MISSED'})"
        lines.append(f"  {'':<16}{factor:.2f} x tf-models{verdict}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Measures, writes the rows and prints them."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.step",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=5, help="steps of a round")
    parser.add_argument("--sizes", type=json.loads, default={}, help="JSON, to replace some")
    parser.add_argument("--results", type=Path, default=Path("bench/results/step.json"))
    args = parser.parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # of the other processes
    rows = run({**SIZES, **args.sizes}, rounds=args.rounds, repeats=args.repeats)
    args.results.parent.mkdir(parents=True, exist_ok=True)
    args.results.write_text(json.dumps(rows, indent=1) + "\n")
    print(table(rows))
    print(f"bench: rows in {args.results}")


if __name__ == "__main__":
    main()
