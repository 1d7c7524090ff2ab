"""Measuring processes of a GPU machine, in waves: the most important rows first.

The processes of a wave compile side by side. XLA and PyTorch choose kernels by timing them, so few
processes share the device: four in a wave, besides checks, which do not choose kernels.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.gpu.programs import CHECKS, LONG, Program

# XLA on GPUs otherwise keeps float32 copies of tensors that the step rounds to bfloat16.
ROUND_AS_WRITTEN = "--xla_allow_excess_precision=false"
_NO_AUTOTUNING = "--xla_gpu_autotune_level=0"
_TIMED_JOBS = 5  # of a wave, with that of the ceilings, which has nothing to compile


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """A measuring process.

    Attributes:
      label: name of the row.
      command: program and arguments.
      environment: variables to set.
      takes_turn: whether it compiles first and then waits until the device is its own.
    """

    label: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    takes_turn: bool = True


def ceilings() -> Job:
    """Return the job that measures what the device reaches."""
    return Job(label="ceilings", command=(sys.executable, "-m", "bench.gpu.ceilings"))


def check(program: Program, programs_dir: Path) -> Job:
    """Return the job that compares a program with the numbers of the CPU."""
    flags = ["--check"]
    # What the step rounds is then rounded here too.
    xla_flags = f"{ROUND_AS_WRITTEN} {_NO_AUTOTUNING}"
    if program.precision == "float32":
        flags.append("--full_precision")
    return Job(
        label=f"check-{program.name}",
        command=_in_jax(programs_dir / program.name, *flags),
        environment={"XLA_FLAGS": xla_flags},
        takes_turn=False,
    )


def step(program: Program, programs_dir: Path, *flags: str, excess_precision: bool = False) -> Job:
    """Return the job that times a program.

    Args:
      program: an exported program.
      programs_dir: folder with its files.
      flags: further flags of bench.gpu.in_jax.
      excess_precision: whether XLA may leave out roundings to bfloat16, its default.
    """
    label = program.name + ("-excess-precision" if excess_precision else "")
    environment = {} if excess_precision else {"XLA_FLAGS": ROUND_AS_WRITTEN}
    return Job(
        label=label,
        command=_in_jax(programs_dir / program.name, *flags),
        environment=environment,
    )


def huggingface(
    batch: int,
    *flags: str,
    layers: int = 24,
    hidden: int = 1024,
    positions: int = 512,
    head: str = "gathered",
    optimizer: str = "adamw",
    compiled: bool = True,
) -> Job:
    """Return the job that times BertForMaskedLM in PyTorch; see bench/gpu/in_torch.py."""
    program = Program(
        implementation="huggingface", layers=layers, batch=batch, hidden=hidden, positions=positions
    )
    label = f"{program.name}-{head}-{optimizer}{'-compiled' if compiled else ''}"
    sizes = {"layers": layers, "batch": batch, "hidden": hidden, "positions": positions}
    command = [sys.executable, "-m", "bench.gpu.in_torch"]
    for name, value in (sizes | {"head": head, "optimizer": optimizer}).items():
        command += [f"--{name}", str(value)]
    return Job(label=label, command=(*command, *["--compile"] * compiled, *flags))


def _in_jax(program: Path, *flags: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "bench.gpu.in_jax", str(program), *flags)


def waves(programs_dir: Path, output_dir: Path) -> list[list[Job]]:
    """Return the jobs on a GPU, in waves.

    Args:
      programs_dir: folder with the exported programs.
      output_dir: folder for the optimized programs of profiled steps.
    """

    def ours(batch: int, *flags: str, form: str = "", **options: bool) -> Job:
        program = Program(implementation="lambert", layers=24, batch=batch, form=form)
        return step(program, programs_dir, *flags, **options)

    def tf_models(batch: int, *flags: str) -> Job:
        program = Program(implementation="tf-models", layers=24, batch=batch)
        # As its users run it: with XLA's defaults.
        return step(program, programs_dir, *flags, excess_precision=True)

    def profile(name: str) -> tuple[str, ...]:
        return ("--profile", "--hlo", str(output_dir / f"{name}.hlo.gz"))

    small = [program for program in CHECKS if program.layers == 2]
    medium = [program for program in CHECKS if program.layers > 2]
    return [
        [
            ceilings(),
            *(check(program, programs_dir) for program in small),
            ours(32, *profile("kernel"), form="kernel"),
            ours(32, *profile("xla")),
            huggingface(32, "--profile"),
        ],
        [
            tf_models(32, "--profile"),
            huggingface(32, "--profile", head="all"),
            huggingface(32, head="all", compiled=False),
            ours(32, excess_precision=True),
        ],
        [ours(64, form="kernel"), ours(64), huggingface(64), tf_models(64)],
        [ours(8, form="kernel"), ours(8), huggingface(8), tf_models(8)],
        [
            *(check(program, programs_dir) for program in medium),
            huggingface(32, optimizer="lamb"),
            *(huggingface(batch, head="all", compiled=False) for batch in (64, 8, 16)),
        ],
        [ours(16, form="kernel"), ours(16), huggingface(16), tf_models(16)],
        [
            *(step(program, programs_dir) for program in LONG),
            huggingface(16, positions=1024),
            huggingface(8, positions=2048),
        ],
        [ours(32, form="cudnn"), ours(32, form="kernel-undropped")],
    ]


def select(all_waves: Sequence[Sequence[Job]], pattern: str) -> list[list[Job]]:
    """Return waves of the jobs whose labels contain a match of a regular expression, in their order.

    Checks are all in the first wave.
    """
    jobs = [job for wave in all_waves for job in wave if re.search(pattern, job.label)]
    timed = [job for job in jobs if job.takes_turn]
    found = [timed[i : i + _TIMED_JOBS] for i in range(0, len(timed), _TIMED_JOBS)] or [[]]
    found[0] += [job for job in jobs if not job.takes_turn]
    return [wave for wave in found if wave]


def small_waves(programs_dir: Path, output_dir: Path) -> list[list[Job]]:
    """Return jobs that try the machinery in small, on a machine without a GPU; see `waves`."""
    small = CHECKS[1]
    sizes = {"layers": small.layers, "hidden": small.hidden}
    return [
        [
            ceilings(),
            check(small, programs_dir),
            step(
                small,
                programs_dir,
                *("--steps", "2", "--profile", "--hlo", str(output_dir / "small.hlo.gz")),
            ),
            huggingface(2, "--steps", "2", "--profile", compiled=False, **sizes),
        ],
        [
            step(Program(implementation="lambert", layers=1, batch=1), programs_dir),
            huggingface(2, "--steps", "2", head="all", compiled=False, **sizes),
        ],
    ]
