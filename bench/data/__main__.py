"""Benchmark of the data build and its peers, on the same text, on one core each.

    python -m bench.data                       every stage
    python -m bench.data --stage reading       one stage
    python -m bench.data --profile packing     profile of our implementation of a stage

`make bench-data` makes the peers' environment first. docs/benchmarks.md explains the figures.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.data import material, quality, report
from bench.data.cases import CASES, STAGES, Case
from bench.data.measure import machine
from bench.data.workspace import Workspace

_PEERS_PYTHON = Path(".venv-bench/bin/python")
_RESULTS = Path("bench/results/data.json")


def measure(case: Case, workspace: Workspace, stopwatch: dict) -> list[dict]:
    """Measure a case in a separate process; return no rows if its implementation is missing."""
    python = str(_PEERS_PYTHON) if case.is_peer else sys.executable
    if not Path(python).exists():
        print(f"bench: {case.name} left out: no {python}; `make bench-data` makes it")
        return []
    output = workspace.scratch("rows") / f"{case.name}.json"
    worker = [python, "-m", "bench.data.worker", "--case", case.name]
    worker += ["--work", str(workspace.root), "--output", str(output)]
    worker += ["--stopwatch", json.dumps(stopwatch)]
    log_path = workspace.scratch("logs") / f"{case.name}.txt"
    print(f"bench: {case.name}", flush=True)
    with open(log_path, "w") as log:
        stdout = None if stopwatch.get("profile") else log
        done = subprocess.run(worker, stdout=stdout, stderr=log)
    if done.returncode:
        log = log_path.read_text()
        missing = [line for line in log.splitlines() if line.startswith("ModuleNotFoundError")]
        if case.is_peer and missing:
            print(f"bench: {case.name} left out: {missing[-1]}; `make bench-data` installs it")
            return []
        sys.exit(f"bench: {case.name} failed:\n{log}")
    # The command that a user runs, not that of the worker.
    command = f"python -m bench.data --stage {case.stage}"
    return [{**row, "command": command} for row in json.loads(output.read_text())]


def run(stages: Sequence[str], workspace: Workspace, results: Path, stopwatch: dict) -> list[dict]:
    """Measure stages and replace their rows in the results file; rows of other stages remain."""
    rows = [row for stage in stages for row in _measure_stage(stage, workspace, stopwatch)]
    earlier = json.loads(results.read_text()) if results.exists() else []
    others = [row for row in earlier if row["stage"] not in stages]
    merged = sorted([*others, *rows], key=lambda row: STAGES.index(row["stage"]))
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_text(json.dumps(merged, indent=1, ensure_ascii=False) + "\n")
    return rows


def _measure_stage(stage: str, workspace: Workspace, stopwatch: dict) -> list[dict]:
    shared = {"machine": machine(), "date": datetime.date.today().isoformat()}
    cases = [case for case in CASES if case.stage == stage]
    rows = [row for case in cases for row in measure(case, workspace, stopwatch)]
    if stage == "extraction":
        speed = {row["implementation"]: row for row in rows}
        for row in quality.compare(workspace, speed):
            timed = speed[row["implementation"]]
            rows.append({**row, "versions": timed["versions"], "command": timed["command"]})
    return [{**row, **shared} for row in rows]


def main(argv: Sequence[str] | None = None) -> None:
    """Prepare the text, measure, and print the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.data",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--stage", choices=STAGES)
    parser.add_argument("--profile", choices=STAGES, metavar="STAGE")
    parser.add_argument("--work", type=Path, default=Path("bench/.work"))
    parser.add_argument("--results", type=Path, default=_RESULTS)
    args = parser.parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # inherited by the workers
    workspace = Workspace(args.work)
    workspace.root.mkdir(parents=True, exist_ok=True)
    material.prepare(workspace)
    if args.profile:
        (case,) = (c for c in CASES if (c.stage, c.implementation) == (args.profile, "lambert"))
        measure(case, workspace, {"profile": True})
        return
    rows = run([args.stage] if args.stage else STAGES, workspace, args.results, {})
    print(report.table(rows))
    if args.stage in (None, "extraction"):
        print(report.quality_table(rows, workspace))
    print(f"bench: rows in {args.results}")


if __name__ == "__main__":
    main()
