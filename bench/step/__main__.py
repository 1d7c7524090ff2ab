"""Benchmark of the training steps of Lambert, tf-models and Hugging Face, on this machine's CPUs.

    python -m bench.step

`make bench-step` runs it, and first installs the environment of Hugging Face. docs/benchmarks.md
explains the figures.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.data.measure import machine
from bench.step.work import model_flops

PRECISIONS = ("mixed_bfloat16", "float32")
PEER_PYTHON = Path(".venv-parity/bin/python")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contestant:
    """Implementation of a training step, measured in a separate process.

    Attributes:
      implementation: name in rows.
      what: description of the work in rows.
      module: program that measures it.
      python: interpreter of the environment with its libraries.
      distributions: installed packages whose versions are recorded.
    """

    implementation: str
    what: str
    module: str = "bench.step.in_tensorflow"
    python: Path = Path(sys.executable)
    distributions: tuple[str, ...] = ("tensorflow",)


_UPDATE = "forward, backward, clipping and"
# By the value of --implementation.
CONTESTANTS = {
    "lambert": Contestant(
        implementation="lambert",
        what=f"{_UPDATE} LAMB",
        distributions=("tensorflow", "tf_keras"),
    ),
    "lambert-jit": Contestant(
        implementation="lambert",
        what=f"{_UPDATE} LAMB, all compiled by XLA (jit_compile)",
        distributions=("tensorflow", "tf_keras"),
    ),
    "lambert-undropped": Contestant(
        implementation="lambert",
        what=f"{_UPDATE} LAMB, without dropout: what its masks cost",
        distributions=("tensorflow", "tf_keras"),
    ),
    "tf-models": Contestant(
        implementation="tf-models",
        what=f"{_UPDATE} LAMB",
        distributions=("tensorflow", "tf_keras", "tf-models-official"),
    ),
    "huggingface": Contestant(
        implementation="huggingface",
        what=f"{_UPDATE} fused AdamW",
        module="bench.step.in_torch",
        python=PEER_PYTHON,
        distributions=("torch", "transformers"),
    ),
}
CEILING = "tf.matmul"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """Sizes of a model and its batch, and the contestants that are measured with them."""

    sizes: dict[str, int]
    contestants: tuple[str, ...]

    def __str__(self):
        return (
            "H={hidden} A={heads} L={layers} S={positions} B={batch} P={predictions} V={vocab},"
            " dropout 0.1".format(**self.sizes)
        )


_COMMON = {"layers": 4, "positions": 512, "predictions": 76, "vocab": 30522}
SETTINGS = (
    Setting(
        sizes={"hidden": 512, "heads": 8, "batch": 8, **_COMMON},
        contestants=("lambert", "lambert-jit", "lambert-undropped", "tf-models", "huggingface"),
    ),
    Setting(
        sizes={"hidden": 1024, "heads": 16, "batch": 4, **_COMMON},
        contestants=("lambert", "tf-models"),
    ),
    Setting(  # of the demo (gin/demo.gin), for plans of small runs on CPUs
        sizes={
            **{"hidden": 128, "heads": 2, "layers": 2, "batch": 64},
            **{"positions": 32, "predictions": 5, "vocab": 2000},
        },
        contestants=("lambert", "tf-models"),
    ),
)
MATRIX = {"matrix": 4096}
# (index of the setting, peer): multiple of its tokens/s in bfloat16; target, and stretch target.
TARGETS = {(0, "huggingface"): (4.0,), (1, "tf-models"): (1.25, 1.5)}


def measure(name: str, precision: str, sizes: dict, repeats: int) -> float:
    """Return the best seconds of a step, measured in a separate process."""
    contestant = CONTESTANTS.get(name, CONTESTANTS["lambert"])
    command = [str(contestant.python), "-m", contestant.module, "--implementation", name]
    command += ["--precision", precision, "--sizes", json.dumps(sizes)]
    command += ["--repeats", str(repeats)]
    print(f"bench: {name}, {precision}, {json.dumps(sizes)}", flush=True)
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        sys.exit(f"bench: {contestant.python} is missing; `make bench-step` makes it")
    if done.returncode:
        sys.exit(f"bench: {name}, {precision} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])["seconds"]


def rounds_of(
    names: Sequence[str], precision: str, sizes: dict, *, rounds: int, repeats: int
) -> dict[str, list[float]]:
    """Return the seconds of each round; contestants alternate, so that a disturbance affects all."""
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            seconds[name].append(measure(name, precision, sizes, repeats))
    return seconds


def run(settings: Sequence[Setting], matrix: dict, *, rounds: int, repeats: int) -> list[dict]:
    """Return a row for each setting, precision and contestant; the best round counts."""
    shared = {
        "stage": "step",
        "command": "python -m bench.step",
        "machine": machine(),
        "date": datetime.date.today().isoformat(),
    }
    rows, ceilings = [], {}
    for precision in PRECISIONS:
        (seconds,) = rounds_of(
            [CEILING], precision, matrix, rounds=rounds, repeats=repeats
        ).values()
        ceilings[precision] = 2 * matrix["matrix"] ** 3 / min(seconds)
        rows.append(
            {
                "implementation": CEILING,
                "what": "product of two square matrices",
                "precision": precision,
                "gflop_per_second": ceilings[precision] / 1e9,
                "seconds": min(seconds),
                "seconds_of_rounds": seconds,
                "setting": f"{matrix['matrix']} rows",
                "versions": versions(CONTESTANTS["lambert"]),
                **shared,
            }
        )
    for setting in settings:
        sizes, flops = setting.sizes, model_flops(setting.sizes)
        for precision in PRECISIONS:
            measured = rounds_of(
                setting.contestants, precision, sizes, rounds=rounds, repeats=repeats
            )
            rows += [
                {
                    "implementation": CONTESTANTS[name].implementation,
                    "what": CONTESTANTS[name].what,
                    "precision": precision,
                    "tokens_per_second": sizes["batch"] * sizes["positions"] / min(seconds),
                    "model_gflop_per_step": flops / 1e9,
                    "share_of_matmul_ceiling": flops / min(seconds) / ceilings[precision],
                    "seconds": min(seconds),
                    "seconds_of_rounds": seconds,
                    "setting": str(setting),
                    "versions": versions(CONTESTANTS[name]),
                    **shared,
                }
                for name, seconds in measured.items()
            ]
    return rows


def versions(contestant: Contestant) -> dict[str, str]:
    """Return the versions of Python and the libraries in the contestant's environment."""
    program = (
        "import importlib.metadata, json, platform, sys;"
        "print(json.dumps({'python': platform.python_version(),"
        " **{name: importlib.metadata.version(name) for name in sys.argv[1:]}}))"
    )
    command = [str(contestant.python), "-c", program, *contestant.distributions]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def table(rows: Sequence[dict]) -> str:
    """Format the rows."""
    lines = []
    for row in rows:
        if row["implementation"] == CEILING:
            lines.append(
                f"{row['what']}, {row['setting']}, {row['precision']}:"
                f" {row['gflop_per_second']:,.0f} GFLOP/s"
            )
    steps = [row for row in rows if "tokens_per_second" in row]
    for setting in dict.fromkeys(row["setting"] for row in steps):
        lines += ["", setting]
        lines += [
            f"  {row['precision']:<15}{row['implementation']:<12}"
            f"{row['tokens_per_second']:>8,.0f} tokens/s"
            f"{row['share_of_matmul_ceiling']:>7.1%} of the ceiling  {row['what']}"
            for row in steps
            if row["setting"] == setting
        ]
    return "\n".join(lines)


def verdicts(rows: Sequence[dict], settings: Sequence[Setting]) -> str:
    """Format our speed as a multiple of each peer's, and whether it reaches the targets."""
    lines = []
    for index, setting in enumerate(settings):
        for precision in PRECISIONS:
            # The first row of an implementation counts: of ours, the one without jit_compile.
            rates: dict[str, float] = {}
            for row in rows:
                if (row["setting"], row["precision"]) == (str(setting), precision):
                    rates.setdefault(row["implementation"], row["tokens_per_second"])
            for peer in rates:
                if peer != "lambert" and "lambert" in rates:
                    factor = rates["lambert"] / rates[peer]
                    targets = TARGETS.get((index, peer), ()) if precision == PRECISIONS[0] else ()
                    results = [
                        f"{name} {target:g}: {'reached' if factor >= target else 'MISSED'}"
                        for name, target in zip(("target", "stretch"), targets, strict=False)
                    ]
                    lines.append(
                        f"H={setting.sizes['hidden']} {precision}: {factor:.2f} x {peer}"
                        + (f" ({', '.join(results)})" if results else "")
                    )
    return "\n".join(lines)


def _with_others(rows: Sequence[dict], earlier: Sequence[dict]) -> list[dict]:
    """Return earlier rows with those of a setting replaced; a share is of the ceiling of its own run."""
    measured = {row["setting"] for row in rows if row["implementation"] != CEILING}
    return [
        *(row for row in earlier if row["setting"] not in measured),
        *(row for row in rows if row["setting"] in measured),
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, write the rows and print them."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.step",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=5, help="steps per round")
    parser.add_argument(
        "--without", action="append", default=[], choices=CONTESTANTS, help="leave one out"
    )
    parser.add_argument(
        "--hidden",
        type=int,
        choices=[setting.sizes["hidden"] for setting in SETTINGS],
        help="measure one setting, by its hidden size, and keep the rows of the others",
    )
    parser.add_argument("--results", type=Path, default=Path("bench/results/step.json"))
    args = parser.parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # inherited by the measuring processes
    settings = [
        dataclasses.replace(
            setting,
            contestants=tuple(name for name in setting.contestants if name not in args.without),
        )
        for setting in SETTINGS
        if args.hidden in (None, setting.sizes["hidden"])
    ]
    rows = run(settings, MATRIX, rounds=args.rounds, repeats=args.repeats)
    if args.hidden:
        rows = _with_others(rows, json.loads(args.results.read_text()))
    args.results.parent.mkdir(parents=True, exist_ok=True)
    args.results.write_text(json.dumps(rows, indent=1) + "\n")
    print(f"\n{table(rows)}\n\n{verdicts(rows, SETTINGS)}")
    print(f"bench: rows in {args.results}")


if __name__ == "__main__":
    main()
