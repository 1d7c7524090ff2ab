"""A page about a run, or about several side by side.

    python -m pretrain.report M                                 # writes M/report.html
    python -m pretrain.report M1 M2 M3 --output compared.html

The page needs nothing from outside. A run writes its own at every evaluation and at its end.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from data.errors import UserError, run_main
from data.files import require_local
from pretrain.report.pages import MOST_RUNS, REPORT_FILE, write_report


def main(argv: Sequence[str]) -> None:
    """Parses the command line and writes the page."""
    parser = argparse.ArgumentParser(
        prog="python -m pretrain.report",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("model_dirs", nargs="+", metavar="M", help="model directories")
    parser.add_argument(
        "--output", metavar="F", help=f"default, for one run alone: M/{REPORT_FILE}"
    )
    args = parser.parse_args(argv)
    for model_dir in args.model_dirs:
        require_local("model directory", model_dir)
    if len(args.model_dirs) > MOST_RUNS:
        raise UserError(
            f"{len(args.model_dirs)} model directories are given, and one page shows at most"
            f" {MOST_RUNS}; compare fewer"
        )
    if len(args.model_dirs) > 1 and not args.output:
        raise UserError("several runs are compared in one page: say where with --output F")
    output_file = args.output or str(Path(args.model_dirs[0], REPORT_FILE))
    write_report(args.model_dirs, output_file)
    print(f"report: {output_file}")


if __name__ == "__main__":
    run_main(main)
