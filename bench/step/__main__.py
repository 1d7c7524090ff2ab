"""Measures the training step beside those of tf-models and Hugging Face, on this machine's CPUs.

    python -m bench.step

`make bench-step` runs it, and makes the environment of Hugging Face before. docs/benchmarks.md
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
    """What is measured in a process of its own.

    Attributes:
      implementation: as rows name it.
      what: the work, for people.
      module: the program.
      python: whose environment has the program's libraries.
      distributions: those whose versions matter.
    """

    implementation: str
    what: str
    module: str = "bench.step.in_tensorflow"
    python: Path = Path(sys.executable)
    distributions: tuple[str, ...] = ("tensorflow",)


_UPDATE = "forward, backward, clipping and"
# By the name that the programs know them by.
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
    """Sizes of a model and its batch, and who is measured with them."""

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
        contestants=("lambert", "lambert-jit", "tf-models", "huggingface"),
    ),
    Setting(
        sizes={"hidden": 1024, "heads": 16, "batch": 4, **_COMMON},
        contestants=("lambert", "tf-models"),
    ),
)
MATRIX = {"matrix": 4096}
# (setting, peer): times its tokens a second, in bfloat16; the goal, and what would be better still.
TARGETS = {(0, "huggingface"): (4.0,), (1, "tf-models"): (1.25, 1.5)}


def measure(name: str, precision: str, sizes: dict, repeats: int) -> float:
    """Best seconds of a step, in a process of its own."""
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
    """Seconds of each round; the contestants take turns, so that a disturbance hits them all."""
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            seconds[name].append(measure(name, precision, sizes, repeats))
    return seconds


def run(settings: Sequence[Setting], matrix: dict, *, rounds: int, repeats: int) -> list[dict]:
    """One row for each setting, precision and contestant; the best round counts."""
    shared = {
        "stage": "step",
        "command": "python -m bench.step",
        "machine": machine(),
        "date": datetime.date.today().isoformat(),
    }
    rows, ceilings = [], {}
    for precision in PRECISIONS:
        turns = rounds_of([CEILING], precision, matrix, rounds=rounds, repeats=repeats)[CEILING]
        ceilings[precision] = 2 * matrix["matrix"] ** 3 / min(turns)
        rows.append(
            {
                "implementation": CEILING,
                "what": "product of two square matrices",
                "precision": precision,
                "gflop_per_second": ceilings[precision] / 1e9,
                "seconds": min(turns),
                "seconds_of_rounds": turns,
                "setting": f"{matrix['matrix']} rows",
                "versions": versions(CONTESTANTS["lambert"]),
                **shared,
            }
        )
    for setting in settings:
        sizes, flops = setting.sizes, model_flops(setting.sizes)
        for precision in PRECISIONS:
            found = rounds_of(setting.contestants, precision, sizes, rounds=rounds, repeats=repeats)
            rows += [
                {
                    "implementation": CONTESTANTS[name].implementation,
                    "what": CONTESTANTS[name].what,
                    "precision": precision,
                    "tokens_per_second": sizes["batch"] * sizes["positions"] / min(turns),
                    "model_gflop_per_step": flops / 1e9,
                    "share_of_matmul_ceiling": flops / min(turns) / ceilings[precision],
                    "seconds": min(turns),
                    "seconds_of_rounds": turns,
                    "setting": str(setting),
                    "versions": versions(CONTESTANTS[name]),
                    **shared,
                }
                for name, turns in found.items()
            ]
    return rows


def versions(contestant: Contestant) -> dict[str, str]:
    """Of Python and the libraries in the contestant's environment."""
    program = (
        "import importlib.metadata, json, platform, sys;"
        "print(json.dumps({'python': platform.python_version(),"
        " **{name: importlib.metadata.version(name) for name in sys.argv[1:]}}))"
    )
    command = [str(contestant.python), "-c", program, *contestant.distributions]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def table(rows: Sequence[dict]) -> str:
    """Rows as text."""
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
    """How many times the peers' speed ours is, and whether that is what it should be."""
    lines = []
    for index, setting in enumerate(settings):
        for precision in PRECISIONS:
            # The first row of an implementation: ours is not the one that XLA compiles.
            rates: dict[str, float] = {}
            for row in rows:
                if (row["setting"], row["precision"]) == (str(setting), precision):
                    rates.setdefault(row["implementation"], row["tokens_per_second"])
            for peer in rates:
                if peer != "lambert" and "lambert" in rates:
                    factor = rates["lambert"] / rates[peer]
                    targets = TARGETS.get((index, peer), ()) if precision == PRECISIONS[0] else ()
                    found = [
                        f"{name} {target:g}: {'reached' if factor >= target else 'MISSED'}"
                        for name, target in zip(("target", "stretch"), targets, strict=False)
                    ]
                    lines.append(
                        f"H={setting.sizes['hidden']} {precision}: {factor:.2f} x {peer}"
                        + (f" ({', '.join(found)})" if found else "")
                    )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Measures, writes the rows and prints them."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.step",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=5, help="steps of a round")
    parser.add_argument(
        "--without", action="append", default=[], choices=CONTESTANTS, help="leave one out"
    )
    parser.add_argument("--results", type=Path, default=Path("bench/results/step.json"))
    args = parser.parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # of the other processes
    settings = [
        dataclasses.replace(
            setting,
            contestants=tuple(name for name in setting.contestants if name not in args.without),
        )
        for setting in SETTINGS
    ]
    rows = run(settings, MATRIX, rounds=args.rounds, repeats=args.repeats)
    args.results.parent.mkdir(parents=True, exist_ok=True)
    args.results.write_text(json.dumps(rows, indent=1) + "\n")
    print(f"\n{table(rows)}\n\n{verdicts(rows, settings)}")
    print(f"bench: rows in {args.results}")


if __name__ == "__main__":
    main()
