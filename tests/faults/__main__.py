"""Damage files in every way of the table, run a command on each, and check what it does.

    python -m tests.faults                        all cases and the fuzzing; writes docs/faults.md
    python -m tests.faults --only manifest.json   cases whose area, row or detail match a pattern

Every case ends in one line with the right exit code, or in a correct result: no stack trace, no hang,
nothing changed that may not change, nothing written elsewhere.
"""

from __future__ import annotations

import argparse
import collections
import os
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

# Before TensorFlow loads.
os.environ.update(CUDA_VISIBLE_DEVICES="", TF_CPP_MIN_LOG_LEVEL="3", LAMBERT_PREEMPTION_URL="")

from tqdm import tqdm

from tests.faults import fuzz, page
from tests.faults.case import Row, expand
from tests.faults.results import Result, read_results, result_of, write_result
from tests.faults.server import Outcome, load_libraries, make_artefacts, run_cases
from tests.faults.table import table


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument(
        "--only",
        metavar="RE",
        help="cases that match, without fuzzing (unless --inputs asks for more)",
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="cases at a time")
    parser.add_argument(
        "--inputs", type=int, default=fuzz.INPUTS, metavar="N", help="inputs of each fuzzing"
    )
    parser.add_argument("--folder", type=Path, metavar="F", help="keep artefacts and logs here")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="F",
        help="write all results as JSON lines; cases that are right in F already are not run again",
    )
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the cases that the command line asks for; return the exit code."""
    args = _parser().parse_args(argv)
    started, rows = time.monotonic(), table()
    with tempfile.TemporaryDirectory(prefix="lambert-faults-") as scratch:
        folder = (args.folder or Path(scratch)).resolve()
        output = args.output or folder / "results.jsonl"
        print("loading the libraries", flush=True)
        load_libraries()
        make_artefacts(folder / "artefacts", lambda name: print(f"making {name}", flush=True))
        results = _run(rows, folder / "artefacts", output, args)
        is_fuzzing = not args.only or args.inputs > fuzz.INPUTS
        fuzzed = fuzz.run_all(folder, inputs=args.inputs) if is_fuzzing else []
    _summarize(results, fuzzed, time.monotonic() - started)
    if any(result.problems for result in results) or any(entry.problem for entry in fuzzed):
        return 1
    if not args.only and args.inputs >= fuzz.INPUTS:
        page.write(rows, results, fuzzed)
        print(f"the list is in {page.FILE}")
    return 0


def _run(rows: Sequence[Row], folder: Path, output: Path, args: argparse.Namespace) -> list[Result]:
    """Run the cases of the table, print failures as they occur, and return all results."""
    cases = expand(list(rows), folder)
    names = {
        id(case): f"{rows[case.row].area}: {rows[case.row].title}: {case.detail}" for case in cases
    }
    if args.only:
        cases = [case for case in cases if re.search(args.only, names[id(case)])]
    known = {result.key: result for result in read_results(output) if not result.problems}
    results = [known[key] for case in cases if (key := result_of(rows, case).key) in known]
    cases = [case for case in cases if result_of(rows, case).key not in known]
    total = len(cases) + len(results)
    with tqdm(
        total=total, initial=len(results), unit="case", desc="undamaged files", disable=None
    ) as bar:
        for entry in run_cases(cases, folder, jobs=args.jobs):
            if not isinstance(entry, Outcome):
                continue
            results.append(result_of(rows, entry.case, entry.ran, entry.problems))
            write_result(output, results[-1])
            bar.set_description("cases")
            bar.update()
            if entry.problems:
                text = f"FAILED {names[id(entry.case)]}\n    {'; '.join(entry.problems)}"
                bar.write(f"{text[:2000]}\n    {entry.ran.last_line[:300]}", file=sys.stdout)
                sys.stdout.flush()
    return results


def _summarize(results: Sequence[Result], fuzzed: Sequence[fuzz.Fuzzed], seconds: float) -> None:
    """Print a table: cases and failures by area, and what fuzzing found."""
    areas: dict[str, collections.Counter[str]] = {}
    for result in results:
        counts = areas.setdefault(result.area, collections.Counter())
        counts["cases"] += 1
        counts["one line"] += bool(result.code)
        counts["correct"] += result.code == 0
        counts["FAILED"] += bool(result.problems)
    names = ("cases", "one line", "correct", "FAILED")
    print(f"\n{'':28}" + "".join(f"{name:>10}" for name in names))
    for area, counts in areas.items():
        print(f"{area:28}" + "".join(f"{counts[name]:>10,}" for name in names))
    total = sum(areas.values(), collections.Counter())
    print(f"{'all':28}" + "".join(f"{total[name]:>10,}" for name in names))
    for entry in fuzzed:
        print(
            f"fuzzing of {entry.name}: {entry.inputs:,} inputs, {entry.problem or entry.outcomes}"
        )
    print(f"{seconds / 60:.1f} minutes")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
