"""Fuzzing: many inputs that nobody would write, one process for each reader.

An input must be read with a correct result, or be refused with one line. Meanwhile nothing outside the
folder of the inputs is opened, and nothing is imported.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tqdm import tqdm

from tests.faults.sandbox import Ran, in_child

INPUTS = 1000  # by default; 100,000 of each take about 40 minutes
_LIMIT_SECONDS = 4 * 3600


@dataclasses.dataclass(frozen=True)
class Fuzzed:
    """Outcomes of the inputs of one reader.

    Attributes:
      name: what was fuzzed.
      inputs: number of inputs.
      outcomes: how many were read and refused, as text.
      problem: what went wrong; "" if nothing did.
    """

    name: str
    inputs: int
    outcomes: str
    problem: str


# Takes an empty folder, the folder of the artefacts and the numbers of the inputs; yields "read" or
# "refused" for each input, and raises if something else happens.
Fuzz = Callable[[Path, Path, Iterator[int]], Iterator[str]]


def targets() -> dict[str, Fuzz]:
    """Return the function that fuzzes each reader, by name."""
    from tests.faults.fuzz import gin, records, tfrecords

    return {
        "gin files in strict mode": gin.fuzz,
        "manifests": records.fuzz_manifests,
        "other JSON records": records.fuzz_others,
        "masked records, read with numpy": tfrecords.fuzz_numpy,
        "masked records, read with TensorFlow": tfrecords.fuzz_graph,
    }


def run_all(folder: Path, *, inputs: int) -> list[Fuzzed]:
    """Fuzz all readers, one after the other.

    Args:
      folder: folder with the artefacts.
      inputs: number of inputs of each reader.
    """
    found = []
    for name, fuzz in targets().items():
        work = folder / "fuzz"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        found.append(run_one(name, fuzz, work, folder / "artefacts", inputs))
        shutil.rmtree(work, ignore_errors=True)
    return found


def run_one(name: str, fuzz: Fuzz, work: Path, artefacts: Path, inputs: int) -> Fuzzed:
    """Fuzz one reader in a fork of this process."""
    terminal = os.dup(2)

    def run() -> int:
        counts: dict[str, int] = {}
        with (
            open(terminal, "w", closefd=False) as stream,
            tqdm(total=inputs, desc=name, unit="input", disable=None, file=stream) as bar,
        ):
            try:
                for outcome in fuzz(work / "inside", artefacts, iter(range(inputs))):
                    counts[outcome] = counts.get(outcome, 0) + 1
                    bar.update()
            except BaseException:
                print(f"after {sum(counts.values()):,} inputs:", file=sys.stderr)
                raise
        print(", ".join(f"{count:,} {outcome}" for outcome, count in sorted(counts.items())))
        return 0 if sum(counts.values()) == inputs else 3

    (work / "inside").mkdir()
    started = time.monotonic()
    ran = in_child(run, stdout=work / "stdout", stderr=work / "stderr", limit=_LIMIT_SECONDS)
    os.close(terminal)
    seconds = time.monotonic() - started
    print(f"fuzzing of {name}: {ran.stdout.strip() or 'failed'} in {seconds:.0f} s", flush=True)
    return Fuzzed(name=name, inputs=inputs, outcomes=ran.stdout.strip(), problem=_problem(ran))


def _problem(ran: Ran) -> str:
    if ran.code == 0:
        return ""
    end = ran.stderr.strip()[-3000:]
    return f"FAILED with exit code {ran.code}: {end}"
