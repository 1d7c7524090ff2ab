"""Take over rows that a GPU machine has written, and print the tables of docs/performance.md.

    python -m bench.gpu OUT/rows.jsonl
    python -m bench.gpu

`make gpu-rows ROWS=OUT/rows.jsonl` runs it. Without a file it prints the tables of earlier rows.
bench/gpu/folder.py writes what goes to such a machine.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from bench.gpu.report import merge, read_rows, results, table
from data.cli.main import run_main


def main(argv: Sequence[str] | None = None) -> None:
    """Merge rows into the results, and print the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("rows", type=Path, nargs="*", help="rows.jsonl of GPU machines")
    parser.add_argument("--results", type=Path, default=Path("bench/results/gpu.json"))
    args = parser.parse_args(argv)
    rows = json.loads(args.results.read_text()) if args.results.exists() else []
    for path in args.rows:
        rows = merge(rows, results(read_rows(path), rows))
    if args.rows:
        args.results.parent.mkdir(parents=True, exist_ok=True)
        args.results.write_text(json.dumps(rows, indent=1) + "\n")
    print(table(rows))
    if args.rows:
        print(f"\nbench: rows in {args.results}")


if __name__ == "__main__":
    run_main(main)
