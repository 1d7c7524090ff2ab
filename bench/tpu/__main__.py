"""Compile the training step with the TPU compiler, and report its estimates.

    python -m bench.tpu
    python -m bench.tpu --chips v5e --kernels 20
    python -m bench.tpu --small

`make tpu-check` runs it, and first installs the environment of the compiler. docs/performance.md
explains the figures.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import datetime
import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.data.measure import machine
from bench.tpu import hlo, kernels
from launch.accelerators.tpus import TPUS

COMPILER_PYTHON = Path(".venv-tpu/bin/python")
WORK = Path("bench/.work/tpu")
LAMBERT_LARGE = {
    "hidden": 1024,
    "heads": 16,
    "layers": 24,
    "positions": 512,
    "predictions": 76,
    "vocab": 30522,
}


SETTING = "H={hidden} A={heads} L={layers} S={positions} P={predictions} V={vocab}"
# Newest first.
CHIPS = {name: tpu.compile_target for name, tpu in reversed(TPUS.items()) if tpu.compile_target}


@dataclasses.dataclass(frozen=True)
class Case:
    """Program to compile; batch sizes are sequences of a device, a core of v3 and a chip of v4 and v5e."""

    implementation: str
    chip: str
    batch: int
    micro_batch: int = 0
    rematerialize: bool = False
    chunk: int = 0
    attention: str = "xla"

    @property
    def name(self) -> str:
        """Name in tables and files."""
        accumulated = f"-by-{self.micro_batch}" if self.micro_batch else ""
        rematerialized = "-rematerialized" if self.rematerialize else ""
        chunked = f"-chunks-of-{self.chunk}" if self.chunk else ""
        kernel = "-kernel" if self.attention == "kernel" else ""
        settings = f"{accumulated}{rematerialized}{chunked}{kernel}"
        return f"{self.implementation}-{self.chip}-{self.batch}{settings}"


CASES = [
    # Batch 8192 on 256 cores.
    Case("lambert", "v5e", 32, 8, attention="kernel"),
    Case("lambert", "v5e", 32, 8),
    Case("lambert", "v5e", 8, attention="kernel"),
    *(
        Case(implementation, chip, batch)
        for chip in CHIPS
        for batch in (8, 16)
        for implementation in ("lambert", "tf-models")
    ),
]
# Steps of four layers, which compile faster, to check the formulas of launch/accelerators/costs.py: other
# chips, settings that save memory, another width.
SMALL = (
    (
        {"layers": 4},
        [
            *(Case("lambert", chip, 8) for chip in CHIPS),
            Case("lambert", "v5e", 8, rematerialize=True),
            Case("lambert", "v5e", 8, chunk=152),
        ],
    ),
    ({"layers": 4, "hidden": 768, "heads": 12}, [Case("lambert", "v5e", 8)]),
    # Longer sequences, as many tokens as 8 of 512.
    *(
        (
            {"layers": 4, "positions": positions, "predictions": 76 * positions // 512},
            [
                Case("lambert", "v5e", 4096 // positions, attention=attention)
                for attention in ("xla", "kernel")
            ],
        )
        for positions in (1024, 2048)
    ),
)
# All are compared with tf-models' update of 8 sequences; it cannot accumulate gradients.
BASE = Case("tf-models", "v5e", 8)
TARGETS = {
    Case("lambert", "v5e", 8): 0.86,
    Case("lambert", "v5e", 32, 8): 0.72,
    Case("lambert", "v5e", 32, 8, attention="kernel"): 0.62,
}


def run(cases: Sequence[Case], sizes: dict[str, int]) -> Iterator[dict]:
    """Yield the row of each case as soon as it is compiled."""
    WORK.mkdir(parents=True, exist_ok=True)
    shared = {
        "stage": "tpu",
        "setting": SETTING.format(**sizes) + ", bfloat16, dropout 0.1, clipping, LAMB",
        "command": "python -m bench.tpu",
        "machine": machine(),
        "date": datetime.date.today().isoformat(),
    }
    for case in cases:
        print(f"tpu: {case.name}", flush=True)
        figures = _compile(case, sizes)
        versions = figures.pop("versions")
        versions = {"tensorflow": importlib.metadata.version("tensorflow"), **versions}
        row = {
            "implementation": case.implementation,
            "chip": case.chip,
            "batch_per_core": case.batch,
            "micro_batch_size": case.micro_batch,
            "rematerialize_blocks": case.rematerialize,
            "logits_chunk_size": case.chunk,
            "attention": case.attention,
            **figures,
            "versions": versions,
            **shared,
        }
        print(f"     {describe(row)}", flush=True)
        yield row


def _compile(case: Case, sizes: dict[str, int]) -> dict:
    """Compile a case and return the compiler's figures; keep its files in the working directory."""
    setting = {
        **sizes,
        "chip": case.chip,
        "batch_per_core": case.batch,
        "micro_batch_size": case.micro_batch,
        "rematerialize_blocks": case.rematerialize,
        "logits_chunk_size": case.chunk,
        "attention": case.attention,
    }
    target = CHIPS[case.chip]
    topology = target.topology
    figures = compile_step(case.name, case.implementation, setting, topology, cores=target.cores)
    stablehlo, text = WORK / f"{case.name}.mlir", WORK / f"{case.name}.hlo"
    if "out_of_memory" in figures:
        return figures
    cost = hlo.cost(text.read_text())
    # The compiler counts the body of the loop over micro-batches once.
    figures["flops"] *= case.batch // (case.micro_batch or case.batch)
    del figures["bytes_accessed"]  # includes on-chip memory, and counts a loop once
    runs_of, kernel_cycles = hlo.custom_calls(text.read_text()), 0
    for number, kernel in enumerate(kernels.kernels(stablehlo.read_text())):
        file = WORK / f"{case.name}-kernel-{number}.mlir"
        file.write_text(kernel.module)
        program = str(Path(__file__).with_name("bundles.py"))
        output = _output([str(COMPILER_PYTHON), program, str(file), topology])
        bundles = json.loads(output.splitlines()[-1])["bundles"]
        kernel_cycles += runs_of[kernel.body] * bundles * (kernel.rounds + 2)
        figures["flops"] += runs_of[kernel.body] * kernel.flops
    cycles = cost.cycles + kernel_cycles
    share = figures["flops"] / (cycles * CHIPS[case.chip].flops_per_cycle)
    return {
        "estimated_cycles": cycles,
        "estimated_cycles_per_sequence": cycles / case.batch,
        "estimated_share_of_peak": share,
        **({"kernel_bundles": kernel_cycles} if kernel_cycles else {}),
        "asynchronously_copied_bytes": cost.copied_bytes,
        "kernels": cost.kernels,
        **figures,
    }


def compile_step(
    name: str,
    implementation: str,
    setting: dict,
    topology: str,
    *,
    cores: str = "default",
    replicas: int = 1,
) -> dict:
    """Lower and compile a step, and return the compiler's figures.

    Args:
      name: name of the files in the working directory, the StableHLO and the optimised HLO.
      implementation: whose step, see bench.tpu.lower.
      setting: sizes and settings of the step.
      topology: such as "v5e:2x2".
      cores: see `launch.accelerators.tpus.CompileTarget`.
      replicas: devices that run the step, connected by its exchanges.
    """
    stablehlo, text = WORK / f"{name}.mlir", WORK / f"{name}.hlo"
    lower = [sys.executable, "-m", "bench.tpu.lower", "--implementation", implementation]
    _output([*lower, "--setting", json.dumps(setting), "--output", str(stablehlo)])
    program = str(Path(__file__).with_name("compile.py"))
    command = [str(COMPILER_PYTHON), program, str(stablehlo), topology, str(text)]
    output = _output([*command, "--replicas", str(replicas), "--cores", cores])
    figures: dict = json.loads(output.splitlines()[-1])
    return figures


def _output(command: Sequence[str]) -> str:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
    except FileNotFoundError:
        sys.exit(f"tpu: {command[0]} is missing; `make tpu-check` makes it")
    if done.returncode:
        sys.exit(f"tpu: {' '.join(command)} failed:\n{done.stderr}")
    return done.stdout


def describe(row: dict) -> str:
    """Format a row as a line."""
    if "out_of_memory" in row:
        return f"does not fit: {row['out_of_memory'][:100]}"
    bundles = row.get("kernel_bundles")
    return (
        f"{row['estimated_cycles'] / 1e6:7.1f} M cycles"
        f" {row['estimated_cycles_per_sequence'] / 1e6:6.2f} M a sequence"
        f" {row['estimated_share_of_peak']:6.1%} of peak"
        f" {row['flops'] / 1e12:6.2f} TFLOP"
        f" HBM {row['hbm_argument_bytes'] / 1e9:5.2f} + {row['hbm_temp_bytes'] / 1e9:5.2f} GB"
        f" copies {row['asynchronously_copied_bytes'] / 1e9:5.1f} GB"
        f" compiled in {row['compile_seconds']:.0f} s"
        + (f" ({bundles / 1e6:.1f} M of the cycles are bundles of kernels)" if bundles else "")
    )


def table(rows: Sequence[dict]) -> str:
    """Format all rows, and the comparison with tf-models at 8 sequences."""
    by_case = {_case(row): row for row in rows}
    width = max(len(case.name) for case in by_case)
    lines = [rows[0]["setting"]]
    lines += [f"  {case.name:<{width}} {describe(row)}" for case, row in by_case.items()]
    base = by_case.get(BASE, {}).get("estimated_cycles_per_sequence")
    for case, target in TARGETS.items():
        cycles = by_case.get(case, {}).get("estimated_cycles_per_sequence")
        if base and cycles:
            verdict = "reached" if cycles <= target * base else "MISSED"
            share = f"{cycles / base:.3f} of {BASE.name}'s cycles a sequence"
            lines.append(f"  {case.name}: {share} (target {target}: {verdict})")
    return "\n".join(lines)


def _case(row: dict) -> Case:
    return Case(
        *(row[n] for n in ("implementation", "chip", "batch_per_core", "micro_batch_size")),
        rematerialize=row.get(
            "rematerialize_blocks", False
        ),  # missing in older rows, like the next
        chunk=row.get("logits_chunk_size", 0),
        attention=row.get("attention", "xla"),
    )


def costliest_kernels(case: Case, number: int) -> str:
    """Format the kernels of a compiled case that take the most cycles, equal ones as one."""
    totals: collections.Counter = collections.Counter()
    runs: collections.Counter = collections.Counter()
    for kernel in hlo.kernels((WORK / f"{case.name}.hlo").read_text()):
        key = (kernel.shape[:80], kernel.operation.rpartition("/")[2])
        totals[key] += kernel.cycles * kernel.runs
        runs[key] += kernel.runs
    lines = [
        f"costliest kernels of {case.name}: thousands of cycles in all, runs, thousands per run"
    ]
    for key, cycles in totals.most_common(number):
        shape, operation = key
        each = cycles / runs[key] / 1e3
        lines.append(f"  {cycles / 1e3:9,.0f} {runs[key]:5} {each:9,.1f}  {shape} {operation}")
    return "\n".join(lines)


def _compile_small(results: Path) -> None:
    rows = []
    for sizes, cases in SMALL:
        for row in run(cases, {**LAMBERT_LARGE, **sizes}):
            rows.append({**row, "command": "python -m bench.tpu --small"})
            results.write_text(json.dumps(rows, indent=1) + "\n")
    print(f"tpu: rows in {results}; programs in {WORK}/")


def main(argv: Sequence[str] | None = None) -> None:
    """Compile, write the rows and print them."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.tpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--chips", nargs="+", choices=CHIPS, default=list(CHIPS))
    parser.add_argument("--implementations", nargs="+", default=["lambert", "tf-models"])
    parser.add_argument("--attention", nargs="+", default=["kernel", "xla"])
    parser.add_argument("--sizes", type=json.loads, default={}, help="sizes to replace, as JSON")
    parser.add_argument(
        "--kernels", type=int, default=0, help="list this many kernels of each program"
    )
    parser.add_argument("--small", action="store_true", help="compile steps of four layers only")
    parser.add_argument("--results", type=Path, default=Path("bench/results/tpu.json"))
    args = parser.parse_args(argv)
    if args.small:
        _compile_small(args.results.with_name("tpu_small.json"))
        return
    cases = [
        case
        for case in CASES
        if case.chip in args.chips
        and case.implementation in args.implementations
        and case.attention in args.attention
    ]
    earlier = json.loads(args.results.read_text()) if args.results.exists() else []
    rows = {_case(row): row for row in earlier}
    args.results.parent.mkdir(parents=True, exist_ok=True)
    for row in run(cases, {**LAMBERT_LARGE, **args.sizes}):
        rows[_case(row)] = row  # rows of other cases remain
        in_order = [rows[case] for case in CASES if case in rows]
        args.results.write_text(json.dumps(in_order, indent=1) + "\n")
        if args.kernels and "out_of_memory" not in row:
            print(costliest_kernels(_case(row), args.kernels))
    print(table(in_order))
    print(f"tpu: rows in {args.results}; programs in {WORK}/")


if __name__ == "__main__":
    main()
