"""Program that measures one case, pinned to one core; the peers' environment runs it too.

It prints profiles only, and writes the rows to --output as JSON.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import platform
from pathlib import Path

from bench.data.cases import CASES, Case
from bench.data.measure import Stopwatch, pin_to_one_core
from bench.data.workspace import Workspace


def run_case(case: Case, workspace: Workspace, stopwatch: Stopwatch) -> list[dict]:
    """Measure a case and return its rows.

    Raises:
      ModuleNotFoundError: a measured library is not installed.
    """
    module, _, name = case.function.partition(":")
    function = getattr(importlib.import_module(f"bench.data.{module}"), name.replace("-", "_"))
    versions = {name: importlib.metadata.version(name) for name in case.distributions}
    shared = {
        "implementation": case.implementation,
        "stage": case.stage,
        "versions": {"python": platform.python_version(), **versions},
    }
    return [{**shared, **row} for row in function(workspace, stopwatch)]


def main() -> None:
    """Measure the case that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", required=True)
    parser.add_argument("--work", required=True, type=Path)
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--stopwatch", type=json.loads, default={})
    args = parser.parse_args()
    (case,) = (case for case in CASES if case.name == args.case)
    if case.stage not in ("memory", "corpus"):  # they measure all processes of a build
        pin_to_one_core()
    rows = run_case(case, Workspace(args.work), Stopwatch(**args.stopwatch))
    args.output.write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
