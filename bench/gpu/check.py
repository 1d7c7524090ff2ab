"""Compile the training step for GPUs, without a GPU, and report memory, kernels and bytes.

    python -m bench.gpu.check
    python -m bench.gpu.check --large
    python -m bench.gpu.check lambert-L4-B32 --chips h100 --kernels 30

`make gpu-check` runs it, and first installs the environment of the compiler. It exits with 1 if a program
needs more than its row in bench/results/gpu_check.json, beyond TOLERANCE; --accept stores that as well.
docs/performance.md explains the figures.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.data.measure import machine
from bench.gpu import traffic
from bench.gpu.descriptions import DESCRIPTIONS, target_config
from bench.gpu.programs import ENCODERS, FORMS, FOUR_LAYERS, LARGE, LONG, PROGRAMS, Program
from launch.strategy import GPU_XLA_FLAGS

COMPILER_PYTHON = Path(".venv-gpu-check/bin/python")
WORK = Path("bench/.work/gpu")
# With excess precision, XLA may keep in float32 what the step rounds to bfloat16. It does by default, and
# not in our runs.
WITH_EXCESS, WITHOUT_EXCESS = "allowed", "forbidden"
_FLAGS: dict[str, dict[str, str]] = {WITH_EXCESS: {}, WITHOUT_EXCESS: GPU_XLA_FLAGS}
# Without a GPU to time them on, all products are left to cuBLAS.
_SHARED_FLAGS = {"--xla_gpu_enable_triton_gemm": "false"}
TOLERANCE = 0.02  # by which temporaries and bytes may grow


@dataclasses.dataclass(frozen=True)
class Case:
    """Program to compile, for which GPU, and whether with excess precision."""

    program: Program
    chip: str
    excess_precision: str

    @property
    def name(self) -> str:
        """Name in messages and files."""
        return _name(self.program.name, self.chip, self.excess_precision)


def _name(program: str, chip: str, excess_precision: str) -> str:
    return f"{program}-{chip}{'-excess' * (excess_precision == WITH_EXCESS)}"


def _usual_excess(program: Program) -> str:
    """Return whether a run has excess precision: tf-models leaves XLA's flags alone."""
    return WITH_EXCESS if program.implementation == "tf-models" else WITHOUT_EXCESS


SMALL_CASES = tuple(
    Case(program, chip, excess)
    for chip in DESCRIPTIONS
    for program in FOUR_LAYERS
    for excess in _FLAGS
)
LARGE_CASES = tuple(
    Case(program, chip, _usual_excess(program))
    for chip in DESCRIPTIONS
    for program in (*LARGE, *LONG)
    if program.implementation != "lambert-gradients"
)
CASES = (*SMALL_CASES, *LARGE_CASES)
# Largest values to aim at.
TARGETS = {
    "lambert-L4-B32-h100": {"hbm_temp_bytes": 3.3e9, "rest_bytes": 24e9},
}


def run(cases: Sequence[Case]) -> Iterator[dict[str, Any]]:
    """Yield the row of each case as soon as it is compiled."""
    for case in cases:
        print(f"gpu: {case.name}", flush=True)
        row = _compile(case)
        print(f"     {describe(row)}", flush=True)
        yield row


def _compile(case: Case) -> dict[str, Any]:
    program, directory = case.program, WORK / "compiled"
    directory.mkdir(parents=True, exist_ok=True)
    description = directory / f"{case.chip}.txt"
    description.write_text(target_config(case.chip))
    programs, hlo = WORK / "programs", directory / f"{case.name}.hlo"
    if not COMPILER_PYTHON.exists():
        sys.exit(f"gpu: {COMPILER_PYTHON} is missing; `make gpu-check` makes it")
    _output([sys.executable, "-m", "bench.gpu.export", "--output_dir", str(programs), program.name])
    values = _SHARED_FLAGS | _FLAGS[case.excess_precision]
    flags = " ".join(f"{flag}={value}" for flag, value in values.items())
    command = [str(COMPILER_PYTHON), "-m", "bench.gpu.compile"]
    files = [programs / f"{program.name}.mlir.gz", description, hlo]
    output = _output([*command, *map(str, files)], XLA_FLAGS=flags)
    figures = json.loads(output.splitlines()[-1])
    exported = json.loads((programs / f"{program.name}.json").read_text())
    setting = "H={hidden} A={heads} L={layers} S={positions} P={predictions} V={vocab}"
    dropout = "0.1" + ", none of attention weights" * (program.form in ENCODERS)
    return {
        "implementation": program.implementation,
        "program": program.name,
        "chip": case.chip,
        "excess_precision": case.excess_precision,
        "batch_per_core": program.batch,
        "micro_batch_size": 0,
        "rematerialize_blocks": FORMS[program.form].get("rematerialize_blocks", False),
        "attention": FORMS[program.form].get("attention", "xla"),
        **figures,
        **traffic.totals(hlo.read_text()),
        "versions": {**exported["versions"], **figures["versions"]},
        "stage": "gpu_check",
        "setting": setting.format(**program.sizes)
        + f", bfloat16, dropout {dropout}, clipping, LAMB",
        "xla_flags": flags,
        "command": "python -m bench.gpu.check",
        "machine": machine(),
        "date": datetime.date.today().isoformat(),
    }


def _output(command: Sequence[str], **environment: str) -> str:
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **quiet, **environment}
    )
    if done.returncode:
        sys.exit(f"gpu: {' '.join(command)} failed:\n{done.stderr}")
    return done.stdout


def moved_bytes(row: dict[str, Any]) -> int:
    """Return the bytes that all kernels of a row read and write."""
    return sum(row[f"{kind}_bytes"] for kind in (traffic.PRODUCTS, traffic.CALLS, traffic.REST))


def describe(row: dict[str, Any]) -> str:
    """Format a row as a line."""
    return (
        f"{row['hbm_argument_bytes'] / 1e9:.2f} + {row['hbm_temp_bytes'] / 1e9:.2f} GB,"
        f" {row['kernels']:,} kernels, products {row['products_bytes'] / 1e9:.1f} GB,"
        f" calls {row['calls_bytes'] / 1e9:.1f} GB, the rest {row['rest_bytes'] / 1e9:.1f} GB,"
        f" compiled in {row['compile_seconds']:.0f} s"
    )


def growth(row: dict[str, Any], stored: dict[str, Any]) -> list[str]:
    """Return what a row needs more than a stored one of the same case, beyond the tolerance."""
    figures = {
        "temporaries": (row["hbm_temp_bytes"], stored["hbm_temp_bytes"]),
        "bytes of all kernels": (moved_bytes(row), moved_bytes(stored)),
    }
    return [
        f"{what} grew from {before / 1e9:.3f} to {now / 1e9:.3f} GB ({now / before - 1:+.1%})"
        for what, (now, before) in figures.items()
        if now > before * (1 + TOLERANCE)
    ]


def check_targets(rows: dict[str, dict[str, Any]]) -> list[str]:
    """Return a line for each target whose case is among the rows.

    Args:
      rows: rows by the name of their case.
    """
    return [
        f"{name}: {figure} {rows[name][figure] / 1e9:.2f} GB (target {target / 1e9:.1f}:"
        f" {'reached' if rows[name][figure] <= target else 'MISSED'})"
        for name, targets in TARGETS.items()
        if name in rows
        for figure, target in targets.items()
    ]


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Format rows as a Markdown table; return its lines."""
    lines = [
        "| program | GPU | excess precision | memory | kernels | products | calls | the rest |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        memory = f"{row['hbm_argument_bytes'] / 1e9:.2f} + {row['hbm_temp_bytes'] / 1e9:.2f} GB"
        moved = (
            f"{row[f'{kind}_bytes'] / 1e9:.1f} GB"
            for kind in (traffic.PRODUCTS, traffic.CALLS, traffic.REST)
        )
        kernels = f"{row['kernels']:,}"
        cells = [row["program"], row["chip"], row["excess_precision"], memory, kernels, *moved]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def name_of(row: dict[str, Any]) -> str:
    """Return the name of the case of a row."""
    return _name(row["program"], row["chip"], row["excess_precision"])


def choose(
    names: Sequence[str],
    chips: Sequence[str],
    excess_precisions: Sequence[str],
    default: Sequence[Case] = SMALL_CASES,
) -> Sequence[Case]:
    """Return the cases of these programs.

    Args:
      names: programs of bench/gpu/programs.py; none takes the default.
      chips: GPUs.
      excess_precisions: WITH_EXCESS, WITHOUT_EXCESS; empty takes what runs have, or the default.
      default: cases to choose from where no programs are named.
    """
    if names:
        cases = [
            Case(PROGRAMS[name], chip, excess)
            for chip in DESCRIPTIONS
            for name in names
            for excess in excess_precisions or [_usual_excess(PROGRAMS[name])]
        ]
    else:
        cases = [c for c in default if c.excess_precision in (excess_precisions or _FLAGS)]
    return [case for case in cases if case.chip in chips]


def in_order(rows: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows, given by the name of their case, in the order of CASES; others are dropped."""
    return [rows[case.name] for case in CASES if case.name in rows]


def main(argv: Sequence[str] | None = None) -> None:
    """Compile, compare with the stored rows, store the new ones and print them.

    Raises:
      SystemExit: a program needs more than its stored row says.
    """
    parser = argparse.ArgumentParser(
        prog="python -m bench.gpu.check",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="PROGRAM", help="default: those of 4 layers")
    parser.add_argument("--large", action="store_true", help="compile those of 24 layers instead")
    parser.add_argument("--chips", nargs="+", choices=DESCRIPTIONS, default=list(DESCRIPTIONS))
    parser.add_argument("--excess_precision", nargs="+", choices=_FLAGS, default=[])
    parser.add_argument(
        "--kernels", type=int, default=0, help="list this many kernels of each program, by bytes"
    )
    parser.add_argument("--accept", action="store_true", help="also store rows that need more")
    parser.add_argument("--results", type=Path, default=Path("bench/results/gpu_check.json"))
    args = parser.parse_args(argv)
    if unknown := [name for name in args.names if name not in PROGRAMS]:
        parser.error(f"{', '.join(unknown)}: not in bench/gpu/programs.py: {', '.join(PROGRAMS)}")
    cases = LARGE_CASES if args.large else SMALL_CASES
    earlier = json.loads(args.results.read_text()) if args.results.exists() else []
    stored, found = {name_of(row): row for row in earlier}, {}
    grown = []
    for row in run(choose(args.names, args.chips, args.excess_precision, cases)):
        name = name_of(row)
        found[name] = row
        more = growth(row, stored[name]) if name in stored else []
        grown += [f"{name}: {text}" for text in more]
        if not more or args.accept:
            stored[name] = row
            args.results.write_text(json.dumps(in_order(stored), indent=1) + "\n")
        if args.kernels:
            hlo = (WORK / "compiled" / f"{name}.hlo").read_text()
            print("\n".join(traffic.largest(hlo, args.kernels)), flush=True)
    print("\n".join([*table(in_order(stored)), *check_targets(found)]))
    print(f"gpu: rows in {args.results}; programs in {WORK}/")
    if grown and not args.accept:
        sys.exit(
            "\n".join(["gpu: more than stored (--accept stores it):", *(f"  {g}" for g in grown)])
        )


if __name__ == "__main__":
    main()
