"""Show a finished build: its counts, some masked sequences, and an HTML page with figures.

    python -m data.view build                                   # writes build/report.html too
    python -m data.view build --split eval --sequence 7 --html ''

Counts are added up again and compared, and masks are compared with the records on disk.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from rich.console import Console, JustifyMethod
from rich.rule import Rule
from rich.table import Table as Grid
from rich.text import Text

from data import files, schema
from data.cli.main import run_main
from data.cli.parser import CommandParser
from data.errors import UserError
from data.manifest import Manifest
from data.stages.corpus_checks import warnings_about
from data.view.sequences import (
    MASK,
    PADDING,
    PLAIN,
    PREDICTED,
    RANDOM,
    SAME,
    SEPARATOR,
    MaskedSequence,
    SequenceViewer,
    Span,
    gaps,
)
from data.view.tables import (
    Row,
    Table,
    account_tables,
    check_manifest,
    packed_table,
    unknown_table,
)

REPORT_FILE = "report.html"
_STYLES = {
    MASK: "bold cyan",
    RANDOM: "bold magenta",
    SAME: "bold green",
    SEPARATOR: "reverse",
    PADDING: "dim",
    PLAIN: "",
}
_UNLIMITED = 10_000  # columns
_ROW_STYLES = {"whole": "bold", "sum": "green", "part": "", "note": "dim"}


def print_tables(console: Console, tables: Sequence[Table]) -> None:
    """Print tables; zeros are dim, and a narrow terminal truncates no number."""
    width, console.width = console.width, _UNLIMITED
    for table in tables:
        grid = Grid(box=None, pad_edge=False, padding=(0, 0, 0, 2))
        grid.add_column(table.title.upper(), header_style="bold", min_width=26, no_wrap=True)
        for column in table.columns:
            justify: JustifyMethod = "left" if column in table.text_columns else "right"
            grid.add_column(column, justify=justify, header_style="dim", no_wrap=True)
        for row in table.rows:
            grid.add_row(_label(row), *(Text(v, _cell_style(row, v)) for v in row.values))
        console.print(grid)
        console.print()
    console.width = width


def _label(row: Row) -> Text:
    prefix = {"part": "  ", "sum": "= "}.get(row.kind, "")
    return Text(f"{prefix}{row.label}", _ROW_STYLES[row.kind])


def _cell_style(row: Row, value: str) -> str:
    return "dim" if value in ("0", "0.00%", "-") else _ROW_STYLES[row.kind]


def print_sequence(console: Console, sequence: MaskedSequence) -> None:
    """Print the text of a sequence with its masks."""
    title = f"{sequence.split} sequence {sequence.index:,}, copy {sequence.copy}"
    console.print(Rule(Text(title, "bold"), align="left", style="dim"))
    text = Text()
    for span, gap in zip(sequence.spans, gaps(sequence.spans), strict=True):
        text.append(gap)
        text.append_text(_styled(span))
    console.print(text)
    footer = (
        f"equals {sequence.record}" if sequence.record else "masked while reading: no copy on disk"
    )
    console.print(Text(footer, "dim"))
    console.print()


def _styled(span: Span) -> Text:
    style = _STYLES[span.kind]
    if not span.label:
        return Text(span.text, style)
    # Shown piece and label are distinguishable without colours, too.
    label = (f"→{span.label}", f"{style} not bold") if span.kind != SAME else ("=", style)
    shown = "MASK" if span.kind == MASK else span.text
    return Text.assemble(("[", "dim"), (shown, style), label, ("]", "dim"))


def _legend() -> Text:
    parts = [Text("predicted:")]
    for kind, example in {MASK: "[MASK→word]", RANDOM: "[other→word]", SAME: "[word=]"}.items():
        parts += [Text(f"  {example}", _STYLES[kind]), Text(f" {PREDICTED[kind]}", "dim")]
    return Text.assemble(*parts)


def choose_sequences(
    viewer: SequenceViewer, *, split: str, first: int | None, copy: int, number: int | None
) -> list[MaskedSequence]:
    """Return the sequences that the command line selects.

    Args:
      viewer: viewer of the build.
      split: "train" or "eval".
      first: index of the first sequence; None for a sample of the split.
      copy: number of the masked copy.
      number: number of sequences; None for one from `first` on, or a sample of three.

    Raises:
      UserError: there is no such sequence or copy.
    """
    indices: Sequence[int]
    if first is None:
        indices = viewer.choose(split, 3 if number is None else number)
    else:
        indices = range(first, first + (1 if number is None else number))
    return [viewer.view(split, index, copy) for index in indices]


def main(argv: Sequence[str]) -> None:
    """Print the counts and some sequences, and write the page."""
    args = _parse(argv)
    files.require_local("the build directory", args.directory)
    if args.number is not None and args.number < 0:
        raise UserError(f"--number {args.number}: must be 0 or more")
    manifest = Manifest.load(args.directory)
    check_manifest(manifest, files.join(args.directory, schema.MANIFEST_FILE))
    viewer = SequenceViewer(args.directory, manifest)
    sequences = choose_sequences(
        viewer, split=args.split, first=args.sequence, copy=args.copy, number=args.number
    )
    console = Console(highlight=False, markup=False, emoji=False)
    tables = [*account_tables(manifest), packed_table(manifest)]
    unknown = unknown_table(manifest, viewer.vocab)
    for warning in warnings_about(manifest):
        console.print(Text(f"warning: {warning}\n", "bold red"))
    print_tables(console, [*tables, *([unknown] if unknown else [])])
    if sequences:
        console.print(_legend())
        console.print()
    for sequence in sequences:
        print_sequence(console, sequence)
    if args.html != "":
        from data.view.html import write_page

        page = files.join(args.directory, REPORT_FILE) if args.html is None else args.html
        write_page(page, args.directory, manifest, viewer, tables, unknown, sequences)
        print(f"view: figures in {page}")


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = CommandParser(
        prog="python -m data.view",
        allow_abbrev=False,
        description=__doc__,
    )
    parser.add_argument("directory", metavar="D", help="a finished build")
    parser.add_argument(
        "--split", choices=schema.SPLITS, default="train", help="split that the sequences are from"
    )
    parser.add_argument(
        "--sequence", type=int, metavar="N", help="first sequence to show; default: a sample"
    )
    parser.add_argument(
        "--copy", type=int, default=0, metavar="K", help="number of the masked copy (default: 0)"
    )
    parser.add_argument(
        "--number", type=int, metavar="M", help="sequences to show (default: a few)"
    )
    parser.add_argument(
        "--html", metavar="PATH", help=f"page to write; default: D/{REPORT_FILE}; '' for none"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    run_main(main)
