"""Write the folder that goes to a GPU machine: programs, scripts and what these import.

    python -m bench.gpu.folder

Exports the programs that the jobs need, which takes an hour and 6 GB; those that are current are kept.
Nothing in the folder needs TensorFlow.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.gpu.jobs import Job, small_waves, waves
from bench.gpu.programs import PROGRAMS

WORK = Path("bench/.work/gpu")
MAX_BYTES = 40 * 2**20
# Modules of the scripts, and ours that they import.
MODULES = (
    *("bench", "bench.gpu", "bench.gpu.ceilings", "bench.gpu.device", "bench.gpu.in_jax"),
    *("bench.gpu.in_torch", "bench.gpu.jobs", "bench.gpu.numbers", "bench.gpu.process"),
    *("bench.gpu.programs", "bench.gpu.rows", "bench.gpu.stablehlo"),
    *("bench.data", "bench.data.measure", "bench.step", "bench.step.work"),
    *("data", "data.checked_json", "data.errors", "data.files"),
    *("model", "model.config", "model.flops"),
)
_ROOT = Path(__file__).resolve().parents[2]


def copy_modules(folder: Path) -> None:
    """Copy MODULES into a folder; remove what earlier code left there."""
    for package in {module.partition(".")[0] for module in MODULES}:
        shutil.rmtree(folder / package, ignore_errors=True)
    for module in MODULES:
        source = _ROOT.joinpath(*module.split("."))
        source = source / "__init__.py" if source.is_dir() else source.with_suffix(".py")
        target = folder / source.relative_to(_ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def needed_programs(jobs: Iterable[Job]) -> list[str]:
    """Return the names of the programs that jobs run, in their order."""
    words = (Path(word).name for job in jobs for word in job.command)
    return list(dict.fromkeys(word for word in words if word in PROGRAMS))


def main(argv: Sequence[str] | None = None) -> None:
    """Write the folder, and print how to use it."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.gpu.folder",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--output_dir", type=Path, default=WORK)
    parser.add_argument("--small", action="store_true", help="only what device.py --small needs")
    args = parser.parse_args(argv)
    programs_dir = args.output_dir / "programs"
    make = small_waves if args.small else waves
    jobs = [job for wave in make(programs_dir, args.output_dir) for job in wave]
    names = needed_programs(jobs)
    from bench.gpu.export import export_all

    export_all(names, programs_dir)
    copy_modules(args.output_dir)
    for file in programs_dir.iterdir():
        if file.name.partition(".")[0] not in names:
            file.unlink()
    size = sum(file.stat().st_size for file in args.output_dir.rglob("*") if file.is_file())
    if size > MAX_BYTES:
        sys.exit(f"gpu: {args.output_dir} has {size:,} bytes, more than {MAX_BYTES:,}")
    print(
        f"gpu: copy {args.output_dir} ({size / 1e6:.1f} MB) to a machine with a GPU, and there run\n"
        "    python3 -m bench.gpu.device --output_dir OUT\n"
        "in it. Bring OUT/rows.jsonl back, and here run\n"
        "    make gpu-rows ROWS=OUT/rows.jsonl"
    )


if __name__ == "__main__":
    main()
