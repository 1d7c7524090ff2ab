r"""What a run amounts to before any money is spent: memory, speed, days, cost, storage, failures.

    python -m launch.plan --gin_file gin/lambert_large.gin --accelerator v5e-256
    python -m launch.plan --gin_file gin/lambert_large.gin --gin_file gin/data_lambert.gin \
        --sequences 8630000 --accelerator v4-128 --price_per_chip_hour 3.22 --json plan.json
    python -m launch.plan --gin_file F --accelerator h100x64 --data_dir D --scaling scaling.html
    python -m launch.plan --gin_file gin/lambert_large.gin --gin_file job.gin

TPU names count what Google's do: v3-32, v4-128 and v5p-64 cores, v5e-256 and v6e-64 chips. The description
of a job (docs/launching.md) has its machines. docs/plan.md explains every figure and what it is worth.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from data.errors import UserError, run_main
from launch.plan import compiled
from launch.plan.micro_batch import HEADROOM, known_machine
from launch.plan.planner import Assumptions, figures, make_plan
from launch.plan.settings import load_subject
from launch.plan.text import plan_text
from pretrain.gin_files import add_gin_flags


def _positive(text: str) -> float:
    return _number(text, lambda value: 0 < value < math.inf, "must be above 0")


def _share(text: str) -> float:
    return _number(text, lambda value: 0 <= value < 1, "must be at least 0 and below 1")


def _number(text: str, is_right: Callable[[float], bool], wanted: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not is_right(value):
        raise argparse.ArgumentTypeError(f"{text}: {wanted}")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m launch.plan",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    add_gin_flags(parser)
    add, number = parser.add_argument, {"type": _positive, "metavar": "N"}
    add(
        "--accelerator",
        help="v3-32, v4-128, v5e-256, v5p-64, v6e-64, h100x8, cpu; that of LaunchConfig without it",
    )
    add("--data_dir", help="a build, for its sequences, lengths and vocabulary")
    add("--sequences", type=int, help="training sequences, where there is no build yet")
    add("--price_per_chip_hour", **number, help="of a chip or GPU, in any currency")
    add(
        "--headroom",
        type=_share,
        metavar="N",
        default=HEADROOM,
        help=f"memory to leave free, a share ({HEADROOM})",
    )
    add("--as_configured", action="store_true", help="plan with the file's micro-batch")
    add("--grace_seconds", **number, default=30.0, help="from notice to preemption (30)")
    add("--failures_per_day", **number, help="of the whole job; by default that of large clusters")
    add("--restart_seconds", **number, default=300.0, help="from a failure to going on (300)")
    add(
        "--most_lost",
        type=_share,
        metavar="N",
        default=0.01,
        help="share of the time that may be lost (0.01)",
    )
    add("--json", type=Path, metavar="F", help="write all numbers")
    add("--scaling", type=Path, metavar="F", help="write a page on larger slices and batches")
    return parser


def main(argv: Sequence[str]) -> None:
    """Parses the command line, prints the plan and writes what is asked for."""
    args = _parser().parse_args(argv)
    if not args.gin_file and not args.gin_param:
        raise UserError("there is nothing to plan: give --gin_file, e.g. gin/lambert_large.gin")
    subject = load_subject(
        gin_files=args.gin_file,
        gin_params=args.gin_param,
        strict=args.strict_gin,
        accelerator=args.accelerator,
        data_dir=args.data_dir,
        sequences=args.sequences,
    )
    assumptions = Assumptions(
        sequences=subject.sequences,
        as_configured=args.as_configured,
        price_per_chip_hour=args.price_per_chip_hour,
        grace_seconds=args.grace_seconds,
        failures_per_day=args.failures_per_day,
        restart_seconds=args.restart_seconds,
        most_lost=args.most_lost,
        reader_rates=compiled.reader_rates(compiled.rows("data")),
    )
    machine = known_machine(subject.accelerator, headroom=args.headroom)
    plan = make_plan(subject.run, subject.build, machine, assumptions)
    print(plan_text(plan))
    if args.json:
        args.json.write_text(json.dumps(figures(plan), indent=1) + "\n")
        print(f"\nnumbers: {args.json}")
    if args.scaling:
        from launch.plan.scaling_html import page_of

        args.scaling.write_text(page_of(plan))
        print(f"\nscaling: {args.scaling}")


if __name__ == "__main__":
    run_main(main)
