r"""Plan a run before any money is spent: memory, speed, days, cost, storage, failures.

    python -m launch.plan --gin_file gin/lambert_large.gin --accelerator v5e-256
    python -m launch.plan --gin_file gin/lambert_large.gin --gin_file gin/data_lambert.gin \
        --sequences 8630000 --accelerator v4-128 --price_per_chip_hour 3.22 --json plan.json
    python -m launch.plan --gin_file F --accelerator h100x64 --data_dir D --scaling scaling.html
    python -m launch.plan --gin_file gin/lambert_large.gin --gin_file job.gin
    python -m launch.plan --gin_file F --accelerator l40sx8 --tflops 362 --memory_gb 48 \
        --memory_gb_per_second 864

The number in a TPU's name counts as Google does: cores in v3-32, v4-128 and v5p-64, chips in v5e-256 and
v6e-64. Without --accelerator the plan is for the machines of LaunchConfig (docs/launching.md). docs/plan.md
explains every figure and its error.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from data.cli.main import run_main
from data.cli.parser import CommandParser
from data.errors import UserError, name_file
from launch.accelerators.gpus import Numbers
from launch.plan.bench_results import load_rows, reader_rates
from launch.plan.figures import figures
from launch.plan.micro_batch import DEFAULT_HEADROOM, load_machine
from launch.plan.planner import Assumptions, make_plan
from launch.plan.scaling_html import scaling_page
from launch.plan.settings import load_plan_input
from launch.plan.text import plan_text
from pretrain.gin_files import add_gin_flags


def _positive(text: str) -> float:
    return _number(text, lambda value: 0 < value < math.inf, "must be above 0")


def _share(text: str) -> float:
    return _number(text, lambda value: 0 <= value < 1, "must be at least 0 and below 1")


def _number(text: str, is_valid: Callable[[float], bool], requirement: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not is_valid(value):
        raise argparse.ArgumentTypeError(f"{text}: {requirement}")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="python -m launch.plan",
        description=__doc__,
    )
    add_gin_flags(parser)
    add = parser.add_argument
    number: dict[str, Any] = {"type": _positive, "metavar": "N"}
    add(
        "--accelerator",
        help="v3-32, v4-128, v5e-256, v5p-64, v6e-64, h100x8, l4, cpu; default: that of LaunchConfig",
    )
    _add_gpu_flags(parser, number)
    add("--data_dir", help="build whose sequences, lengths and vocabulary are used (default: none)")
    add(
        "--sequences",
        type=int,
        help="training sequences, if there is no build yet (default: those of the build)",
    )
    add(
        "--price_per_chip_hour",
        **number,
        help="price of a chip or GPU, in any currency (default: no costs)",
    )
    add(
        "--headroom",
        type=_share,
        metavar="N",
        default=DEFAULT_HEADROOM,
        help="share of the memory to leave free",
    )
    add("--as_configured", action="store_true", help="plan with the configured micro-batch")
    add("--grace_seconds", **number, default=30.0, help="seconds from notice to preemption")
    add(
        "--failures_per_day",
        **number,
        help="failures of the whole job; default: those of large clusters",
    )
    add(
        "--restart_seconds",
        **number,
        default=300.0,
        help="seconds from a failure until the run resumes",
    )
    add(
        "--most_lost",
        type=_share,
        metavar="N",
        default=0.01,
        help="share of the time that may be lost",
    )
    add("--json", type=Path, metavar="F", help="write all figures as JSON (default: no file)")
    add(
        "--scaling",
        type=Path,
        metavar="F",
        help="write a page on larger slices and batches (default: none)",
    )
    return parser


def _add_gpu_flags(parser: argparse.ArgumentParser, number: dict[str, Any]) -> None:
    gpu = parser.add_argument_group(
        "GPUs by their numbers",
        "for any NAMExN in --accelerator; known ones need only what differs",
    )
    gpu.add_argument(
        "--tflops", **number, help="dense bfloat16 peak, TFLOP/s (default: that of a known one)"
    )
    gpu.add_argument("--memory_gb", **number, help="memory, GB (default: that of a known one)")
    gpu.add_argument(
        "--memory_gb_per_second",
        **number,
        help="bandwidth of the memory, GB/s (default: that of a known one)",
    )
    gpu.add_argument(
        "--link_gb_per_second",
        **number,
        help="bandwidth to the other GPUs of a machine, one way, GB/s\n"
        "(default for unknown ones: 32, PCIe 4.0)",
    )
    gpu.add_argument(
        "--network_gb_per_second",
        **number,
        help="bandwidth to other machines for each GPU, GB/s\n"
        "(default for unknown ones: 1.56, 100 Gbit/s for 8 GPUs)",
    )


def _numbers(args: argparse.Namespace) -> Numbers:
    def times(value: float | None, unit: float) -> float | None:
        return None if value is None else value * unit

    return Numbers(
        flops_per_second=times(args.tflops, 1e12),
        memory_bytes=times(args.memory_gb, 1e9),
        memory_bytes_per_second=times(args.memory_gb_per_second, 1e9),
        link_bytes_per_second=times(args.link_gb_per_second, 1e9),
        network_bytes_per_second=times(args.network_gb_per_second, 1e9),
    )


def main(argv: Sequence[str]) -> None:
    """Parse the command line, print the plan and write the requested files."""
    args = _parser().parse_args(argv)
    if not args.gin_file and not args.gin_param:
        raise UserError("there is nothing to plan: give --gin_file, e.g. gin/lambert_large.gin")
    plan_input = load_plan_input(
        gin_files=args.gin_file,
        gin_params=args.gin_param,
        strict=args.strict_gin,
        accelerator=args.accelerator,
        numbers=_numbers(args),
        data_dir=args.data_dir,
        sequences=args.sequences,
    )
    assumptions = Assumptions(
        sequences=plan_input.sequences,
        as_configured=args.as_configured,
        price_per_chip_hour=args.price_per_chip_hour,
        grace_seconds=args.grace_seconds,
        failures_per_day=args.failures_per_day,
        restart_seconds=args.restart_seconds,
        most_lost=args.most_lost,
        reader_rates=reader_rates(load_rows("data")),
    )
    machine = load_machine(plan_input.accelerator, headroom=args.headroom)
    plan = make_plan(plan_input.run, plan_input.build, machine, assumptions)
    print(plan_text(plan))
    if args.json:
        with name_file(args.json):
            args.json.write_text(json.dumps(figures(plan), indent=1) + "\n")
        print(f"\nnumbers: {args.json}")
    if args.scaling:
        with name_file(args.scaling):
            args.scaling.write_text(scaling_page(plan))
        print(f"\nscaling: {args.scaling}")


if __name__ == "__main__":
    run_main(main)
