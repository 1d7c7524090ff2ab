"""Write an HTML report of a run, or of several side by side.

    python -m pretrain.report M                                 # writes M/report.html
    python -m pretrain.report M1 M2 M3 --output compared.html

The page is self-contained. A run writes its own report after each evaluation and at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data.cli.main import run_main
from data.cli.parser import CommandParser
from data.errors import UserError
from data.files import require_local
from pretrain.report.pages import MAX_RUNS, REPORT_FILE, write_report


def main(argv: Sequence[str]) -> None:
    """Parse the command line and write the report."""
    parser = CommandParser(
        prog="python -m pretrain.report",
        description=__doc__,
    )
    parser.add_argument("model_dirs", nargs="+", metavar="M", help="model directories")
    parser.add_argument(
        "--output", metavar="F", help=f"file to write (default for one run: M/{REPORT_FILE})"
    )
    args = parser.parse_args(argv)
    for model_dir in args.model_dirs:
        require_local("model directory", model_dir)
    if len(args.model_dirs) > MAX_RUNS:
        raise UserError(
            f"{len(args.model_dirs)} model directories: a page shows at most {MAX_RUNS}; compare fewer"
        )
    if len(args.model_dirs) > 1 and not args.output:
        raise UserError("a comparison of several runs needs --output F")
    output_file = args.output or str(Path(args.model_dirs[0], REPORT_FILE))
    write_report(args.model_dirs, output_file)
    print(f"report: {output_file}")


if __name__ == "__main__":
    run_main(main)
